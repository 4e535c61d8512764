"""Runbooks as a person runs them: how long clients wait, and how long until they work again.

`python -m bench.live.runbooks`, over ten runs each, every one a process of its own:

- switchovers there and back, with `farshore run` at work and boto3 clients before HAProxy;
- failovers from a region that was killed a moment before;
- switchovers killed behind one step after the other, and `farshore resume`.

Times are those of the runs' own documents, by which drills report too; the times of whole
commands include the start of Python.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.child import ROOT, ClientFailed
from bench.figures import Samples, merge
from bench.live.applications import SEED
from bench.live.ground import Daemon, daemon_in
from farshore.clock import SystemClock
from farshore.config import Config
from farshore.config.load import load
from farshore.control.sites import open_access
from farshore.core.drill import frozen_s, rto_of
from farshore.core.runbook import Run
from farshore.faultpoints import VARIABLE
from farshore.fence.opening import open_fence
from farshore.lab.ports import HOST, held_ports
from farshore.lab.regions import Lab
from farshore.lab.state import STATE_FOLDER, LabState
from farshore.switch.freezing import freezers, thaw
from farshore.switch.open import open_drivers

EAST, WEST = "east", "west"
RUNS = 10
BUSY, QUIET = "files", "quiet"
"""The bucket that the clients write to, and the one in which nothing changes."""

QUIET_OBJECTS = 100
PAUSE_S = 0.2
"""Between two requests of a client: the machine is shared with all that is measured."""

COMMAND_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 60.0
LOOK_S = 0.1
EXPOSURE_MAX_S = 6.0
"""The watermark moves every two seconds or so; with less than this nothing waits to be copied
but what was written a moment ago."""

CLIENTS_END_SECONDS_MAX = 30.0
BEFORE_S, AFTER_S = 2.0, 1.0
"""The clients begin to work, and what was held at the proxy goes through."""

IN_VAIN_MAX = 2
WHY = ("--why", "bench", "--json")
KILLED = -9
NO_DAEMON = ("--override", "daemon=nothing is written meanwhile")


class Ended(NamedTuple):
    """A command that has ended. `took`: seconds, with the start of Python."""

    code: int
    document: dict[str, Any]
    took: float


@dataclass(frozen=True, slots=True)
class Team:
    """farshore in a folder of its own, for a pair with a name of its own: nothing is recorded."""

    name: str
    folder: Path

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run farshore to its end. `ClientFailed` when it says nothing that can be read."""
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "farshore", *words],
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        took = time.perf_counter() - began
        if done.returncode == KILLED:
            return Ended(KILLED, {}, took)
        try:
            return Ended(done.returncode, json.loads(done.stdout), took)
        except ValueError:
            said = f"farshore {words[0]} ended with {done.returncode}: {done.stderr}"
            raise ClientFailed(said) from None

    def done(self, *words: str) -> Ended:
        """Run a runbook, or go on with one, to its end. Raises as `well`."""
        return self.well(self.run(*words), words)

    def well(self, ended: Ended, words: Sequence[str]) -> Ended:
        """A run that is done; `ClientFailed` with its steps else."""
        if ended.code or ended.document.get("state") != "done":
            raise ClientFailed(f"{self.name}: farshore {' '.join(words[:3])} {_story(ended)}")
        return ended

    @property
    def config(self) -> Config:
        """As it is read from the file."""
        return load(self.folder / "farshore.toml")


def _story(ended: Ended) -> str:
    """How a run ended badly, in one line."""
    document = ended.document
    if "error" in document:
        return f"was refused: {document['error'].get('message')}"
    steps = [f"{s['id']} {s['outcome']} {s['note']}".strip() for s in document.get("steps", [])]
    why = document.get("aborted") or "; ".join(steps)
    return f"ended with {ended.code}, {document.get('state')}: {why}"


class Stage:
    """A lab that is up, and teams on it."""

    def __init__(self, lab: Lab, state: LabState) -> None:
        self.lab = lab
        self.state = state
        self._text = (lab.folder / "farshore.toml").read_text()

    def team(self, name: str, bucket: str) -> Team:
        """A team for one of the buckets."""
        folder = self.lab.folder / name
        folder.mkdir()
        before, _, after = self._text.partition("[[pair.buckets]]")
        switch = after[after.index("[switch]") :]
        keys = f"cat {self.lab.folder}/{STATE_FOLDER}"
        text = f'{before}name = "{name}"\n\n[[pair.buckets]]\nsource = "{bucket}"\n\n{switch}'
        with held_ports(1) as (port,):  # a daemon that turns round comes back by the same one
            pass
        daemon = f'\n[daemon]\nlisten = "{HOST}:{port}"\nscan_every = "2s"\n'
        found = text.replace(f"cat {STATE_FOLDER}", keys) + daemon
        (folder / "farshore.toml").write_text(found)
        return Team(name, folder)

    def ready(self) -> None:
        """Both servers are probed, both buckets versioned; `ClientFailed` else."""
        done = subprocess.run(
            [sys.executable, "-m", "farshore", "apply", "--yes"],
            cwd=self.lab.folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise ClientFailed(f"farshore apply ended with {done.returncode}: {done.stderr}")

    @contextmanager
    def clients(self) -> Iterator[subprocess.Popen[str]]:
        """boto3 clients before the front door, in a process of their own; killed if it fails."""
        if self.state.front_door is None:
            raise ClientFailed("the lab has no front door")
        keys = self.lab.folder / STATE_FOLDER / EAST / "app.json"
        words = (self.state.front_door.endpoint, BUSY, str(keys), str(PAUSE_S))
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.live.applications", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


# -- switchovers ---------------------------------------------------------------------------


def switchovers(stage: Stage) -> Samples:
    """There and back, each under load; the pair is protected again before the next."""
    team = stage.team("there-and-back", BUSY)
    asyncio.run(_seed(team.config, BUSY, (EAST,), 1))
    frozen, took, said = list[float](), list[float](), list[dict[str, Any]]()
    given_up = list[float]()
    with daemon_in(team.folder) as daemon:
        for number in range(RUNS):
            if number:
                _turn_round(team)
            to = (WEST, EAST)[number % 2]
            with stage.clients() as clients:
                _until(lambda: _caught_up(daemon), f"an exposure below {EXPOSURE_MAX_S:g} s")
                time.sleep(BEFORE_S)
                ended, in_vain = _switched(team, to)
                time.sleep(AFTER_S)
                said.append(_counted(clients))
            frozen.append(frozen_s(Run.from_json(ended.document), time.time()))
            took.append(ended.took)
            given_up.append(in_vain)
    for one in said:
        if one["told"]:
            print(one["told"], file=sys.stderr)
    return {
        "switchover_frozen_s_max": [max(frozen)],
        "switchover_failed_requests": [sum(one["failed"] for one in said)],
        "switchover: writes frozen, s": frozen,
        "switchover: whole command, s": took,
        "switchover: failed requests of a run": [one["failed"] for one in said],
        "switchover: runs that took themselves back before": given_up,
        "switchover: writes of the clients": [sum(one["written"]) for one in said],
        "switchover: reads of the clients": [one["reads"] for one in said],
        "switchover: longest write of a client, s": [one["write_s_max"] for one in said],
        "switchover: longest read of a client, s": [one["read_s_max"] for one in said],
    }


def _switched(team: Team, to: str) -> tuple[Ended, int]:
    """(a switchover that is done, how many were made in vain): on a machine that has too much to
    do the copying may not end within the freeze. Then all is taken back, and it is made again."""
    words = ("switchover", "--to", to, "--confirm", to, *WHY)
    for in_vain in range(IN_VAIN_MAX):
        ended = team.run(*words)
        if "catch_up failed" not in ended.document.get("aborted", ""):
            return team.well(ended, words), in_vain
    return team.done(*words), IN_VAIN_MAX


def _caught_up(daemon: Daemon) -> bool:
    try:
        report = daemon.status()
    except ConnectionError:  # it is turning round
        return False
    if report["watermark"] is None:
        return False
    exposure = time.time() - datetime.fromisoformat(report["watermark"]).timestamp()
    return exposure < EXPOSURE_MAX_S


def _turn_round(team: Team) -> None:
    """commit, reprotect, and reading both sides until they are equal."""
    committed = team.run("commit", *WHY)
    if committed.code:
        raise ClientFailed(f"{team.name}: farshore commit {_story(committed)}")

    def protected() -> bool:
        return bool(team.run("reprotect", *WHY).document.get("phase") == "protected")

    _until(protected, "the pair is protected")


def _counted(clients: subprocess.Popen[str]) -> dict[str, Any]:
    """Tell the clients to end; what came of it."""
    said, _ = clients.communicate(timeout=CLIENTS_END_SECONDS_MAX)
    if clients.returncode:
        raise ClientFailed(f"the clients ended with {clients.returncode}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


# -- failovers -----------------------------------------------------------------------------


def failovers(stage: Stage) -> Samples:
    """East is killed, and given up at once."""
    acted, took = [], []
    for number in range(RUNS):
        team = stage.team(f"failover-{number}", QUIET)
        stage.lab.kill(EAST)
        ended = team.done("failover", "--to", WEST, "--confirm", WEST, *WHY)
        rto = rto_of(Run.from_json(ended.document))
        if rto is None:
            raise ClientFailed(f"{team.name}: the run has no times")
        acted.append(rto.act_s + rto.verify_s)
        took.append(ended.took)
        stage.lab.revive(EAST)
        asyncio.run(_at_east(team.config))
    return {
        "failover_act_verify_s_max": [max(acted)],
        "failover: from the approval to clients that work, s": acted,
        "failover: whole command, s": took,
    }


# -- killed runs ---------------------------------------------------------------------------


def resumed(stage: Stage) -> Samples:
    """A switchover is killed when its first, second, … step was done and not recorded."""
    took = []
    for number in range(1, RUNS + 1):
        team = stage.team(f"killed-{number}", QUIET)
        words = ("switchover", "--to", WEST, "--confirm", WEST, *NO_DAEMON, *WHY)
        killed = team.run(*words, env={VARIABLE: f"run.acted:{number}"})
        if killed.code != KILLED:
            raise ClientFailed(f"{team.name}: it was to be killed, and {_story(killed)}")
        (run,) = team.run("runs", "--json").document["runs"]
        took.append(team.done("resume", run["id"], "--json").took)
        asyncio.run(_at_east(team.config))
    return {"resume_s_max": [max(took)], "resume: whole command, s": took}


# -- what stands ---------------------------------------------------------------------------


async def _seed(config: Config, bucket: str, sites: tuple[str, ...], count: int) -> None:
    for site in sites:
        async with open_access(config, site) as access:
            await access.operator.put(bucket, SEED, b"seed")
            for number in range(1, count):
                await access.operator.put(bucket, f"{SEED}/{number}", b"seed %d" % number)


async def _at_east(config: Config) -> None:
    """Clients at east, writes thawed, no fence anywhere: as if there had been no run."""
    for site in (EAST, WEST):
        async with open_fence(config, site, SystemClock()) as fence:
            await fence.take()
    for driver in open_drivers(config):
        await thaw(freezers([driver]))
        await driver.apply(await driver.plan(EAST))
        await driver.aclose()


def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(LOOK_S)
    raise ClientFailed(f"not within {SETTLE_SECONDS_MAX:g} s: {what}")


def measure() -> Samples:
    """All figures of the runbooks."""
    with tempfile.TemporaryDirectory(prefix="farshore-bench-") as folder, Lab(folder) as lab:
        stage = Stage(lab, lab.up((EAST, WEST), buckets=(BUSY, QUIET), front_door=True))
        stage.ready()
        found = [switchovers(stage)]
        asyncio.run(_seed(load(lab.folder / "farshore.toml"), QUIET, (EAST, WEST), QUIET_OBJECTS))
        return merge([*found, failovers(stage), resumed(stage)])


if __name__ == "__main__":
    try:
        print(json.dumps(measure()))
    except ClientFailed as failure:
        sys.exit(str(failure))
