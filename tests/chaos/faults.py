"""The faults of the schedule, done to the processes and links of one lab."""

from __future__ import annotations

import random
import shutil
import signal
import threading
import time
from collections.abc import Iterable

from farshore.lab.settings import PERFECT, LinkSettings
from tests.chaos.schedule import Fault
from tests.chaos.stage import Stage

LOSSY_EVERY_S = 0.3
"""So often a lossy line loses a connection."""


class Injector:
    """Carries out one lane's faults after the other."""

    def __init__(self, stage: Stage) -> None:
        self._lab = stage.lab
        self._sites = stage.sites
        self._farshore = stage.farshore
        self._runner = stage.runner
        self._diary = stage.diary
        self._lab_lock = threading.Lock()
        """One command at a time changes a lab."""

    def lane(self, faults: Iterable[Fault], began: float, over: threading.Event) -> None:
        """Each at its time after `began` (monotonic seconds), and healed after its time."""
        for fault in faults:
            if over.wait(max(0.0, began + fault.at - time.monotonic())):
                return
            self._diary.say(f"fault: {fault.lane}: {fault.kind} for {fault.lasts:.1f} s")
            self._diary.count("faults", f"{fault.kind} {_where(fault)}".strip())
            until = time.monotonic() + fault.lasts
            try:
                self._begin(fault, until, over)
                over.wait(max(0.0, until - time.monotonic()))
            finally:
                self._heal(fault)
            self._diary.say(f"healed: {fault.lane}: {fault.kind}")

    def _begin(self, fault: Fault, until: float, over: threading.Event) -> None:
        match fault.kind:
            case "kill":
                with self._lab_lock:
                    self._lab.kill(fault.lane)
            case "kill farshore":
                self._runner.kill()
            case "kill farshore, journal lost":
                self._runner.kill()
                shutil.rmtree(self._farshore.state_dir, ignore_errors=True)
            case "stop farshore":
                self._runner.stop()
            case "stall farshore":
                self._runner.send(signal.SIGSTOP)
            case "pause":
                self._farshore.run("pause", "--reason", "chaos", "--json")
            case "lossy":
                self._lossy(fault, until, over)
            case _:
                self._lab.link(_site(fault), _line(fault))

    def _lossy(self, fault: Fault, until: float, over: threading.Event) -> None:
        """Connections break in mid-air, one after the other."""
        rng = random.Random(fault.amount)
        while time.monotonic() < until and not over.wait(LOSSY_EVERY_S):
            bad = LinkSettings(latency_ms=3, reset_after=rng.choice([300, 3000, 60_000, 10**6]))
            self._lab.link(_site(fault), bad)

    def _heal(self, fault: Fault) -> None:
        match fault.kind:
            case "kill":
                self._revive(fault.lane)
            case "kill farshore" | "kill farshore, journal lost" | "stop farshore":
                self._runner.start()
            case "stall farshore":
                self._runner.send(signal.SIGCONT)
            case "pause":
                self._farshore.run("resume", "--json")
            case _:
                self._lab.link(_site(fault), PERFECT)

    def _revive(self, site: str) -> None:
        with self._lab_lock:
            self._lab.revive(site)
        self._sites.revived(site)


def _where(fault: Fault) -> str:
    return "" if fault.lane == "farshore" else fault.lane


def _site(fault: Fault) -> str:
    return fault.lane.removeprefix("line to ")


def _line(fault: Fault) -> LinkSettings:
    """What a line is like."""
    match fault.kind:
        case "cut":
            return LinkSettings(cut=True)
        case "refuse":
            return LinkSettings(refuse=True)
        case "slow":
            latency = 10 + fault.amount % 240
            return LinkSettings(latency_ms=latency, jitter_ms=latency / 2)
        case _:
            return LinkSettings(latency_ms=2, rate_mbit=2 + fault.amount % 18)
