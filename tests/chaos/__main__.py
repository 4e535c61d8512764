"""`python -m tests.chaos [--minutes N] [--seed N]`: real servers, real links, real kills.

The seed draws the schedule of the faults and each client's operations. Exit code 0: every
promise was kept; 1: one was broken; 2: the run itself could not go on; 130: interrupted.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from tests.chaos.clients import Client
from tests.chaos.diary import Diary
from tests.chaos.errand import Errand, tell
from tests.chaos.faults import Injector
from tests.chaos.judge import Judge
from tests.chaos.ledger import lags
from tests.chaos.operations import CLIENTS
from tests.chaos.schedule import KINDS, faults
from tests.chaos.settled import judge_all, settle
from tests.chaos.stage import (
    SOURCE,
    TARGET,
    Stage,
    again_and_again,
    at_work,
    plain,
    raised,
    until,
    until_ready,
)
from tests.chaos.summary import Result

MINUTES = 15.0
SCAN, SWEEP, SWEEP_S = "20s", "60s", 60.0
LISTEN_S, ASK_S, LOOK_S = 0.5, 7.0, 2.0
"""Pauses between two reports of the daemon, two commands, and two rounds at the far side."""

SHARED = ("shared/",)
"""Keys that several clients write at once: only the source knows their order."""

REPORT = Path("build/chaos.json")


def run(seed: int, seconds: float, folder: Path) -> Result:
    """One run. Raises what keeps it from going on."""
    diary = Diary(folder / "chaos.log", SHARED)
    prepare = plain(scan_every=SCAN, sweep_every=SWEEP, sweep_versions_per_s=1000)
    with raised(folder, diary, prepare) as s:
        until_ready(s.runner)
        judge = Judge(s.farshore, s.runner, diary, lambda: s.sites.s3(TARGET))
        diary.began = time.time()
        _story(s, judge, seed, seconds)
        if settle(s, SWEEP_S):
            judge_all(s, judge)
        s.runner.stop()
    with diary.ledger() as ledger:
        checks, seen = Counter(ledger.checks), lags(ledger)
    return diary.result(seed, seconds, checks, seen)


def _story(stage: Stage, judge: Judge, seed: int, seconds: float) -> None:
    """Clients, faults, and who watches, all at once."""
    injector, schedule = Injector(stage), faults(seed, seconds)
    began = time.monotonic()
    with at_work(stage) as spawn:
        doing = [
            spawn(injector.lane, [f for f in schedule if f.lane == lane], began, stage.over)
            for lane in KINDS
        ]
        for number in range(len(CLIENTS)):
            client = Client(
                seed, number, stage.diary, lambda: stage.sites.s3(SOURCE), stage.farshore.bucket
            )
            doing.append(spawn(client.work, stage.over))
        for every_s, act in ((LISTEN_S, judge.listen), (ASK_S, judge.ask), (LOOK_S, judge.look)):
            doing.append(spawn(again_and_again, every_s, stage.over, act))
        until(doing, seconds, lambda: tell(stage.diary))


def main() -> int:
    return Errand("chaos", "tests.chaos", "minutes", MINUTES, REPORT).judged(run)


if __name__ == "__main__":
    sys.exit(main())
