"""Who changes roles by the real command line, what goes wrong meanwhile, and what follows."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

from farshore.lab.settings import PERFECT, LinkSettings
from tests.chaos.reigns import Change, Claim, Deed
from tests.chaos.stage import Stage
from tests.lab.farshore_cli import SITES
from tests.lab.runbook_ground import Pair

FIRST = SITES[0]
OVER = ("declined", "done", "aborted")
"""States of a run in which nothing more can be done."""

REFUSED = 5
IN_THE_WAY = re.compile(r"farshore abort ([\w-]+)")
"""What a refusal says where another run is open: the hint is followed."""

GOES_ON_MAX = 6
"""Times that an open run is gone on with before it is aborted."""

TRIES_MAX = 15
TRY_AGAIN_S = 1.0
"""Between two commands of a person who waits: other processes tell nobody when they are done."""

PROTECTED_SECONDS_MAX = 90.0
FENCED_SECONDS_MAX = 40.0
BEHIND_S = 1.0
SLOW = LinkSettings(latency_ms=60, jitter_ms=30)
SILENT = LinkSettings(cut=True)
TOLD_CHARS = 1200


def other(site: str) -> str:
    return SITES[1 - SITES.index(site)]


def document(text: str) -> dict[str, Any]:
    """What a command printed as JSON; nothing where it did not come to that."""
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return found


class Trouble:
    """What goes wrong while a command is at work, and what a failover is made for."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def meanwhile(self, deed: Deed, source: str) -> None:
        """Something else goes wrong while the command works; a site that is cut off comes back."""
        what = deed.act.partition(", ")[2]
        if what == "slow lines":
            for site in SITES:
                self._stage.lab.link(site, SLOW)
            return
        time.sleep(deed.after)  # the moment itself is what is tried
        site = source if what.startswith("source") else other(source)
        match what:
            case "farshore killed":
                self._stage.runner.kill()
            case "target killed" | "source killed":
                self._kill(site)
            case "target cut off" | "source cut off":
                self._cut_off(site)
                time.sleep(deed.lasts)  # it is over when it is over, whatever the command does
                self._stage.lab.link(site, PERFECT)

    def lose(self, primary: str, deed: Deed) -> None:
        """The primary dies, or nobody reaches it; perhaps with something that never came to the
        other side."""
        behind = "behind" in deed.act
        if behind:
            self._stage.lab.link(other(primary), LinkSettings(refuse=True))
            time.sleep(BEHIND_S + deed.after)  # so much of what is written
        if "cut off" in deed.act:
            self._cut_off(primary)
        else:
            self._kill(primary)
        if behind:
            self._stage.lab.link(other(primary), PERFECT)

    def mend(self) -> None:
        """Both sites are up again, the lines perfect, the daemon runs; as after any trouble."""
        self._stage.heal()

    def _kill(self, site: str) -> None:
        self._stage.diary.say(f"kill {site}")
        self._stage.lab.kill(site)

    def _cut_off(self, site: str) -> None:
        self._stage.diary.say(f"cut off {site}")
        self._stage.lab.link(site, SILENT)


class Operator:
    """Who changes roles, and puts right what then has to be put right."""

    def __init__(self, stage: Stage, pair: Pair) -> None:
        self.primary = FIRST
        self.changes: list[Change] = []
        self.shown: set[str] = set()
        self.claims: list[Claim] = []
        self._trouble = Trouble(stage)
        self._pair, self._diary = pair, stage.diary

    def act(self, deed: Deed) -> None:
        """One deed from beginning to end; afterwards the pair is protected again."""
        self._diary.say(f"deed: {deed}")
        self._diary.count("faults", deed.act)
        by_failover, old = deed.act.startswith("failover"), self.primary
        began = time.time()
        beside = threading.Thread(target=self._trouble.meanwhile, args=(deed, old))
        if by_failover:
            self._trouble.lose(old, deed)
        else:
            beside.start()
        try:
            self._order(deed, "failover" if by_failover else "switchover", other(old))
        finally:
            if beside.ident is not None:
                beside.join()
            self._trouble.mend()
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
            if (found := IN_THE_WAY.search(ended.stdout)) is not None:
                self._abort(found[1])
            time.sleep(TRY_AGAIN_S)  # it has not caught up yet, say

    def _go_on(self) -> None:
        """A run that was left open is brought to its end."""
        for _ in range(GOES_ON_MAX):
            run = self._open_run()
            if run is None:
                return
            ended = self._pair.run("resume", run, "--json")
            self._diary.count("commands", f"resume ended with {ended.code}")
            self._diary.say(f"resume {run} ended with {ended.code}: {ended.stdout[:TOLD_CHARS]}")
            time.sleep(TRY_AGAIN_S if ended.code else 0.0)  # what hindered it may be over then
        run = self._open_run()
        if run is not None:
            said = self._abort(run)
            if self._open_run() is not None:
                self._diary.broke("a run can be ended", run, said)

    def _abort(self, run: str) -> str:
        """What the command said."""
        ended = self._pair.order("abort", run)
        self._diary.count("commands", f"abort ended with {ended.code}")
        self._diary.say(f"abort {run} ended with {ended.code}: {ended.stdout[:TOLD_CHARS]}")
        return ended.stdout[:TOLD_CHARS]

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
        while self._pair.fence_state(old, other(old)) != "standing":
            if time.monotonic() > deadline:
                self._diary.broke("one writable side", old, "it is not fenced")
                return
            time.sleep(TRY_AGAIN_S)  # a fence tells nobody when it stands
        self._diary.count("checks", "the old side refuses")
        if self._pair.may_write(old):
            self._diary.broke("one writable side", old, "a client wrote there behind its fence")

    def _taken_back(self) -> bool:
        """A rollback is refused where something was written since: then it stays as it is."""
        began = time.time()
        ended = self._pair.order("rollback", "--confirm", other(self.primary))
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
            if document(ended.stdout).get("phase") == "protected":
                return True
            self.keep_divergent()
            time.sleep(TRY_AGAIN_S)  # the daemon copies meanwhile, and tells nobody
        self._diary.broke("it can be protected again", self.primary, ended.stdout[:TOLD_CHARS])
        return False

    def keep_divergent(self) -> None:
        listed = self._pair.run("divergent", "list", "--json")
        rows = document(listed.stdout).get("versions", [])
        self.shown |= {row["key"] for row in rows}
        if rows:
            kept = self._pair.order("divergent", "keep", "--all")
            self._diary.count("commands", f"divergent keep ended with {kept.code}")
