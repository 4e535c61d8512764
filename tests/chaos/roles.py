"""`python -m tests.chaos.roles [--minutes N] [--seed N]`: who is primary changes again and again.

Clients write through the front door, `farshore run` copies, and the real command line makes
switchovers, failovers and rollbacks, with processes, commands and sites killed in the middle. The
seed draws what is tried. Exit codes as those of `python -m tests.chaos`.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from farshore.lab.front_door import VARIABLE
from farshore.lab.regions import Lab
from tests.chaos.diary import Diary
from tests.chaos.door import Door, read_all
from tests.chaos.errand import Errand, tell
from tests.chaos.judge import Judge
from tests.chaos.orders import FIRST, TRY_AGAIN_S, Operator, document
from tests.chaos.reigns import Claim, Story, deeds, judged
from tests.chaos.settled import own_proofs
from tests.chaos.stage import Stage, again_and_again, at_work, raised, until_ready
from tests.chaos.summary import Result
from tests.debian import server
from tests.lab.runbook_ground import COMMON, Pair
from tests.lab.runbook_ground import seed as seeded

MINUTES = 5.0
WRITERS = 3
WATCH_S, ASK_S = 0.5, 2.0
REPORT = Path("build/chaos-roles.json")
COPIED_SECONDS_MAX = 90.0


def fronted(folder: Path, lab: Lab) -> Pair:
    """Two regions behind HAProxy, and a pair whose switch is that door."""
    os.environ.setdefault(VARIABLE, server("haproxy"))
    lab.up(buckets=(COMMON,), front_door=True)
    seeded(lab, COMMON)
    pair = Pair(folder, lab, COMMON)
    pair.json("apply", "--yes")
    return pair


def run(seed: int, seconds: float, folder: Path) -> Result:
    """One run. Raises what keeps it from going on."""
    diary = Diary(folder / "chaos.log")
    with raised(folder, diary, fronted) as stage:
        pair = stage.farshore
        assert isinstance(pair, Pair)
        until_ready(stage.runner)
        diary.began = time.time()
        operator, door = Operator(stage, pair), Door(diary, pair)
        _story(stage, operator, door, seed, seconds)
        _judge(stage, pair, operator, door)
    return diary.result(seed, seconds, diary.counts.get("checks", Counter()))


def _story(stage: Stage, operator: Operator, door: Door, seed: int, seconds: float) -> None:
    judge = Judge(stage.farshore, stage.runner, stage.diary, lambda: None)

    def ask() -> None:
        said = judge.status()
        if said is not None and said["watermark"] is not None:
            mark = datetime.fromisoformat(said["watermark"]).timestamp()
            operator.claims.append(Claim(mark, time.time(), said["source"]["name"]))

    deadline, plan = time.monotonic() + seconds, deeds(seed)
    with at_work(stage) as spawn:
        for number in range(WRITERS):
            spawn(door.write, number, stage.over)
        for every_s, act in ((WATCH_S, stage.runner.watch), (ASK_S, ask)):
            spawn(again_and_again, every_s, stage.over, act)
        while time.monotonic() < deadline:
            operator.act(next(plan))
            tell(stage.diary)


def _judge(stage: Stage, pair: Pair, operator: Operator, door: Door) -> None:
    """All that was written, on both sides; and what farshore says of it itself."""
    operator.keep_divergent()
    _until_copied(stage, pair)
    written = door.written()
    stands = read_all(stage.sites, pair.bucket, [one.key for one in written])
    stage.diary.count("compared", "keys, both sides", len(written))
    stage.diary.count("compared", "left behind by failovers, and shown", len(operator.shown))
    story = Story(operator.changes, FIRST, operator.claims, frozenset(operator.shown))
    stage.diary.broken(list(judged(written, stands, story, time.time())))
    own_proofs(stage)


def _until_copied(stage: Stage, pair: Pair) -> None:
    """Until all that was acknowledged is said to be on the other side."""
    with stage.diary.ledger() as ledger:
        latest, deadline = ledger.latest, time.monotonic() + COPIED_SECONDS_MAX
    while time.monotonic() < deadline:
        mark = document(pair.run("status", "--json").stdout)["watermark"]
        if mark is not None and datetime.fromisoformat(mark).timestamp() > latest:
            return
        time.sleep(TRY_AGAIN_S)
    stage.diary.broke("it settles", "farshore status", f"not within {COPIED_SECONDS_MAX:g} s")


def main() -> int:
    return Errand("chaos-of-roles", "tests.chaos.roles", "minutes", MINUTES, REPORT).judged(run)


if __name__ == "__main__":
    sys.exit(main())
