"""Who listens to what farshore promises, and looks at the far side whether it is so."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPException
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from farshore.core import stamp
from tests.chaos import wire
from tests.chaos.daemon import Runner
from tests.chaos.diary import Diary
from tests.chaos.ledger import SAME, Strays
from tests.lab.farshore_cli import Farshore

LOOKS_MAX = 60
"""Keys of the far side that are looked at in one round."""

VERDICTS = {0: "SAFE", 3: "AT RISK", 4: "NOT SAFE"}
"""What `farshore status` may say, by its exit code."""

KNOWN = "the status is always known"

UNREADABLE = (OSError, HTTPException, urllib.error.URLError, ElementTree.ParseError)
"""A site that is dead, or dies while it answers."""


class Judge:
    """`far()` is a boto3 client of the far side, no link in between."""

    def __init__(
        self, farshore: Farshore, runner: Runner, diary: Diary, far: Callable[[], Any]
    ) -> None:
        self._farshore = farshore
        self._runner = runner
        self._diary = diary
        self._far = far
        self._strays = Strays()

    # -- promises ----------------------------------------------------------------------

    def listen(self) -> None:
        """To the daemon's own report."""
        self._runner.watch()
        report = self._runner.report()
        if report is None:
            self._diary.count("reports", "none: it does not answer")
            return
        told_at = time.time()
        self._diary.count("reports", "heard")
        self._diary.highest_of("backlog, keys", float(report["backlog"]["count"]))
        self._diary.highest_of("understatements of a daemon", float(report["understatements"]))
        new = self._strays.says(report["late"]["total"])
        self._diary.count("late writes", "taken back, says farshore", new)
        self._promised(report["watermark"], told_at, "the daemon")

    def ask(self) -> None:
        """`farshore status`, as a person does."""
        document = self.status()
        if document is not None:
            self._promised(document["watermark"], time.time(), "farshore status")

    def status(self) -> dict[str, Any] | None:
        """What `farshore status` says; None, and a promise broken, when it says nothing."""
        try:
            ended = self._farshore.run("status", "--json")
        except subprocess.TimeoutExpired as error:
            self._diary.broke(KNOWN, "farshore status", str(error))
            return None
        word = VERDICTS.get(ended.code)
        if word is None:
            what = f"ended with {ended.code}: {ended.stdout[-300:]} {ended.stderr[-300:]}"
            self._diary.broke(KNOWN, "farshore status", what)
            return None
        self._diary.count("verdicts", word)
        document: dict[str, Any] = json.loads(ended.stdout)
        if document["exposure_s"] is not None:
            self._diary.highest_of("exposure, s", document["exposure_s"])
        return document

    def _promised(self, text: str | None, told_at: float, who: str) -> None:
        if text is None:
            return
        watermark = datetime.fromisoformat(text).timestamp()
        with self._diary.ledger() as ledger:
            ledger.promised(watermark, told_at, who)

    # -- looks ---------------------------------------------------------------------------

    def look(self) -> None:
        """At some of the keys of which something was promised. One that cannot be read now is
        looked at later: the far server's ids tell when its versions came."""
        with self._diary.ledger() as ledger:
            due = sorted(ledger.due)[:LOOKS_MAX]
        for key in due:
            if not self.look_at(key):
                return

    def look_at(self, key: str, *, settled: bool = False) -> bool:
        """False: the far side cannot be read. Out of order is broken at once when all has
        `settled`; until then, when farshore does not say that it was taken back."""
        try:
            seen = wire.seen(self._far(), self._farshore.bucket, key)
        except UNREADABLE:
            self._diary.count("looks", "the far side cannot be read")
            return False
        with self._diary.ledger() as ledger:
            found = ledger.look(key, seen, time.time())
        self._diary.count("looks", "done")
        for one in found:
            if settled or one.promise != SAME:
                self._diary.broken([one])
            elif self._strays.seen(one):
                self._diary.say(f"out of order: {key}: {one.what}")
                self._show(key)
                self._diary.count("late writes", "keys seen with one")
        return True

    def require_told(self) -> None:
        """Of everything that stood out of order for a while, farshore has said so."""
        for key in self._strays.first:
            self._show(key)
        self._diary.broken(self._strays.unexplained())

    def _show(self, key: str) -> None:
        """The key's entries on the far side, newest first, each with its origin: for the log."""
        try:
            found = wire.history(self._far(), self._farshore.bucket, key)
        except (*UNREADABLE, BotoCoreError, ClientError) as error:
            self._diary.say(f"{key} cannot be read: {error}")
            return
        for held in found:
            what = f"{held.version.version_id} {wire.token_of(held)}"
            self._diary.say(f"  {key}: {what} <- {stamp.find(held.attributes)}")
