"""`python -m tests.chaos.roles [--minutes N] [--seed N]`: who is primary changes again and again.

Clients write through the front door, `farshore run` copies, and the real command line makes
switchovers, failovers and rollbacks, with processes, commands and sites killed in the middle. The
seed draws what is tried. Exit codes as those of `python -m tests.chaos`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from farshore.lab.front_door import VARIABLE
from farshore.lab.regions import Lab
from farshore.lab.settings import PERFECT, LinkSettings
from tests.chaos import summary
from tests.chaos.diary import Diary
from tests.chaos.door import Door, read_all
from tests.chaos.errand import Ended, Errand, tell
from tests.chaos.judge import Judge
from tests.chaos.reigns import Change, Claim, Deed, Story, deeds, judged
from tests.chaos.stage import Stage, again_and_again, at_work, raised, until_ready
from tests.chaos.summary import Result
from tests.debian import server
from tests.lab.farshore_cli import SITES
from tests.lab.runbook_ground import COMMON, Pair
from tests.lab.runbook_ground import seed as seeded

MINUTES = 5.0
WRITERS = 3
WATCH_S, ASK_S = 0.5, 2.0
REPORT = Path("build/chaos-roles.json")
FIRST = SITES[0]
OVER = ("declined", "done", "aborted")
"""States of a run in which nothing more can be done."""

REFUSED = 5
GOES_ON_MAX = 6
"""Times that an open run is gone on with before it is aborted."""

TRIES_MAX = 15
TRY_AGAIN_S = 1.0
"""Between two commands of a person who waits: other processes tell nobody when they are done."""

PROTECTED_SECONDS_MAX = 90.0
FENCED_SECONDS_MAX = 40.0
BEHIND_S = 1.0
COPIED_SECONDS_MAX = 90.0
SLOW = LinkSettings(latency_ms=60, jitter_ms=30)
TOLD_CHARS = 1200


def _other(site: str) -> str:
    return SITES[1 - SITES.index(site)]


def fronted(folder: Path, lab: Lab) -> Pair:
    """Two regions behind HAProxy, and a pair whose switch is that door."""
    os.environ.setdefault(VARIABLE, server("haproxy"))
    lab.up(buckets=(COMMON,), front_door=True)
    seeded(lab, COMMON)
    pair = Pair(folder, lab, COMMON)
    pair.json("apply", "--yes")
    return pair


class Operator:
    """Who changes roles, and puts right what then has to be put right."""

    def __init__(self, stage: Stage, pair: Pair) -> None:
        self.primary = FIRST
        self.changes: list[Change] = []
        self.shown: set[str] = set()
        self.claims: list[Claim] = []
        self._stage, self._pair, self._diary = stage, pair, stage.diary

    def act(self, deed: Deed) -> None:
        """One deed from beginning to end; afterwards the pair is protected again."""
        self._diary.say(f"deed: {deed}")
        self._diary.count("faults", deed.act)
        by_failover, old = deed.act.startswith("failover"), self.primary
        began = time.time()
        helper = threading.Thread(target=self._trouble, args=(deed, old))
        if by_failover:
            self._lose(old, deed)
        else:
            helper.start()
        try:
            self._order(deed, "failover" if by_failover else "switchover", _other(old))
        finally:
            if helper.ident is not None:
                helper.join()
            self._mend()
        self._go_on()
        self._note(began, by_failover=by_failover)
        if self.primary != old:
            self._afterwards(deed, old)
        elif by_failover:
            self._diary.broke("a failover can be made", old, f"{deed}: see the log")

    # -- the command and its trouble ----------------------------------------------------

    def _order(self, deed: Deed, verb: str, to: str) -> None:
        env = {"FARSHORE_DIE_AT": deed.place} if deed.place else {}
        for _ in range(TRIES_MAX):
            ended = self._pair.order(verb, "--to", to, "--confirm", to, env=env)
            self._diary.say(f"{verb} ended with {ended.code}: {ended.stderr[-200:]}")
            self._diary.count("commands", f"{verb} ended with {ended.code}")
            if ended.code != REFUSED:
                return
            self._diary.say(f"refused: {ended.stdout[:TOLD_CHARS]}")
            time.sleep(TRY_AGAIN_S)  # it has not caught up yet, say

    def _trouble(self, deed: Deed, source: str) -> None:
        """Something else goes wrong while the command works."""
        if "slow" in deed.act:
            for site in SITES:
                self._stage.lab.link(site, SLOW)
            return
        time.sleep(deed.after)  # the moment itself is what is tried
        if "farshore killed" in deed.act:
            self._stage.runner.kill()
        elif "target killed" in deed.act:
            self._kill(_other(source))
        elif "source killed" in deed.act:
            self._kill(source)

    def _lose(self, primary: str, deed: Deed) -> None:
        """The primary dies; perhaps with something that never came to the other side."""
        behind = "behind" in deed.act
        if behind:
            self._stage.lab.link(_other(primary), LinkSettings(refuse=True))
            time.sleep(BEHIND_S + deed.after)  # so much of what is written
        self._kill(primary)
        if behind:
            self._stage.lab.link(_other(primary), PERFECT)

    def _kill(self, site: str) -> None:
        self._diary.say(f"kill {site}")
        self._stage.lab.kill(site)

    def _mend(self) -> None:
        """Both sites are up again, the lines perfect, the daemon runs; as after any trouble."""
        for site in SITES:
            self._stage.lab.link(site, PERFECT)
        self._stage.heal()

    def _go_on(self) -> None:
        """A run that was left open is brought to its end."""
        for _ in range(GOES_ON_MAX):
            run = self._open_run()
            if run is None:
                return
            ended = self._pair.run("resume", run, "--json")
            self._diary.count("commands", f"resume ended with {ended.code}")
            self._diary.say(f"resume {run} ended with {ended.code}: {ended.stdout[:TOLD_CHARS]}")
            time.sleep(TRY_AGAIN_S if ended.code else 0.0)
        run = self._open_run()
        if run is not None:
            ended = self._pair.order("abort", run)
            self._diary.count("commands", f"abort ended with {ended.code}")
            if self._open_run() is not None:
                self._diary.broke("a run can be ended", run, ended.stdout[:TOLD_CHARS])

    def _open_run(self) -> str | None:
        found = [run["id"] for run in self._pair.runs() if run["state"] not in OVER]
        return str(found[0]) if found else None

    def _note(self, began: float, *, by_failover: bool) -> None:
        """Who is primary now."""
        records = [self._pair.record(site) for site in SITES]
        primary = str(max(records, key=lambda r: (r["epoch"], r["revision"]))["primary"])
        self._diary.say(f"primary: {primary}")
        if primary != self.primary:
            self.primary = primary
            self.changes.append(Change(began, time.time(), primary, by_failover))
        self._diary.count("roles", f"primary is {'another' if primary != FIRST else FIRST}")

    # -- what follows ----------------------------------------------------------------------

    def _afterwards(self, deed: Deed, old: str) -> None:
        """The fence bites; perhaps all is taken back; else it stays, and is copied back."""
        self._require_fenced(old)
        if deed.takes_back and self._taken_back():
            return
        committed = self._pair.order("commit")
        self._diary.count("commands", f"commit ended with {committed.code}")
        if not self._protected():
            return
        self._diary.count("roles", "protected again")

    def _require_fenced(self, old: str) -> None:
        """The application cannot write at the old side: asked there, past the front door."""
        deadline = time.monotonic() + FENCED_SECONDS_MAX
        while self._pair.fence_state(old, _other(old)) != "standing":
            if time.monotonic() > deadline:
                self._diary.broke("one writable side", old, "it is not fenced")
                return
            time.sleep(TRY_AGAIN_S)
        self._diary.count("checks", "the old side refuses")
        if self._pair.may_write(old):
            self._diary.broke("one writable side", old, "a client wrote there behind its fence")

    def _taken_back(self) -> bool:
        """A rollback is refused where something was written since: then it stays as it is."""
        began = time.time()
        ended = self._pair.order("rollback", "--confirm", _other(self.primary))
        self._diary.count("commands", f"rollback ended with {ended.code}")
        self._diary.say(f"rollback ended with {ended.code}: {ended.stdout[:TOLD_CHARS]}")
        before = self.primary
        self._go_on()
        self._note(began, by_failover=False)
        return self.primary != before

    def _protected(self) -> bool:
        """reprotect until it is so; what was left behind is shown, and kept."""
        deadline = time.monotonic() + PROTECTED_SECONDS_MAX
        while time.monotonic() < deadline:
            ended = self._pair.order("reprotect")
            document = _document(ended.stdout)
            if document.get("phase") == "protected":
                return True
            self.keep_divergent()
            time.sleep(TRY_AGAIN_S)
        self._diary.broke("it can be protected again", self.primary, ended.stdout[:TOLD_CHARS])
        return False

    def keep_divergent(self) -> None:
        listed = self._pair.run("divergent", "list", "--json")
        rows = _document(listed.stdout).get("versions", [])
        self.shown |= {row["key"] for row in rows}
        if rows:
            kept = self._pair.order("divergent", "keep", "--all")
            self._diary.count("commands", f"divergent keep ended with {kept.code}")


def _document(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return found


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
        document = judge.status()
        if document is not None and document["watermark"] is not None:
            mark = datetime.fromisoformat(document["watermark"]).timestamp()
            operator.claims.append(Claim(mark, time.time(), document["source"]["name"]))

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
    for promise, words in (
        ("verify agrees", ("verify", "--json")),
        ("the audit chain is whole", ("audit", "verify", "--json")),
    ):
        ended = pair.run(*words)
        stage.diary.count("farshore's own proofs", " ".join(words[:-1]))
        if ended.code != 0:
            stage.diary.broke(promise, " ".join(words), ended.stdout[:TOLD_CHARS])


def _until_copied(stage: Stage, pair: Pair) -> None:
    """Until all that was acknowledged is said to be on the other side."""
    with stage.diary.ledger() as ledger:
        latest, deadline = ledger.latest, time.monotonic() + COPIED_SECONDS_MAX
    while time.monotonic() < deadline:
        mark = _document(pair.run("status", "--json").stdout)["watermark"]
        if mark is not None and datetime.fromisoformat(mark).timestamp() > latest:
            return
        time.sleep(TRY_AGAIN_S)
    stage.diary.broke("it settles", "farshore status", f"not within {COPIED_SECONDS_MAX:g} s")


def _ended(seed: int, seconds: float, folder: Path) -> Ended:
    result = run(seed, seconds, folder)
    return Ended(summary.document(result), summary.lines(result), not result.violated)


def main() -> int:
    return Errand("chaos-of-roles", "tests.chaos.roles", "minutes", MINUTES, REPORT).main(_ended)


if __name__ == "__main__":
    sys.exit(main())
