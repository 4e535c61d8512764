"""After the dust has settled: both sides are read over the wire, all of it, and compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from farshore.core.plan import LATE_WRITE
from farshore.core.rules import OWN_PREFIX
from tests.chaos import wire
from tests.chaos.judge import Judge
from tests.chaos.ledger import Violation, is_beginning
from tests.chaos.stage import TARGET, Stage
from tests.chaos.wire import HANDS, Both
from tests.lab.farshore_cli import SITES
from tests.lab.witness import rows

SETTLES_WITHIN_S = 300.0
"""Once nothing goes wrong any more, all is in step after so long at the latest."""

LOOK_S = 1.0
"""Between two looks at the daemon's report, which tells nobody when it changes."""

TOLD_CHARS = 1500
SHOWN_MAX = 5


def settle(stage: Stage, sweep_s: float) -> bool:
    """Wait until a scan and a sweep have begun since and ended, and nothing waits."""
    stage.heal()
    calm, deadline = time.time(), time.monotonic() + SETTLES_WITHIN_S
    stage.diary.say("calm")
    report: dict[str, Any] | None = None
    while time.monotonic() < deadline:
        stage.runner.watch()
        report = stage.runner.report()
        with stage.diary.ledger() as ledger:
            latest = ledger.latest
        if (
            report is not None
            and in_step(report, calm, max(latest, calm), sweep_s)
            and waits_for_nothing(_waiting(stage))
        ):
            stage.diary.highest_of("settled after, s", time.time() - calm)
            return True
        time.sleep(LOOK_S)
    waiting = _waiting(stage)
    stage.diary.say(f"its last report: {report}")
    stage.diary.broke("it settles", f"within {SETTLES_WITHIN_S:g} s", str(waiting)[:TOLD_CHARS])
    _show(stage, waiting)
    return False


def _waiting(stage: Stage) -> list[dict[str, Any]]:
    """The rows of the backlog, as a person is shown them."""
    rows: list[dict[str, Any]] = stage.farshore.json("backlog", "list")["rows"]
    return rows


def waits_for_nothing(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nothing is to be copied any more. A key whose write was not answered is looked at
    again for a quarter of an hour: all of it is there, and it is compared like any other."""
    return all(row["cause"] == LATE_WRITE for row in rows)


def _show(stage: Stage, waiting: Sequence[Mapping[str, Any]]) -> None:
    """What both sides hold of keys that never came into step: for the log."""
    for row in waiting[:SHOWN_MAX]:
        for site in SITES:
            s3, key = stage.sites.s3(site), row["key"]
            stage.diary.say(f"{site} {key}: {rows(s3, stage.farshore.bucket, key)}")


def in_step(report: dict[str, Any], calm: float, latest: float, sweep_s: float) -> bool:
    """Whether a daemon's report says that all is there. Unix seconds."""

    def at(text: str | None) -> float:
        return datetime.fromisoformat(text).timestamp() if text else 0.0

    scan, sweep = report["scan"] or {}, report["sweep"] or {}
    return (
        at(report["watermark"]) > latest
        and at(scan.get("started_at")) > calm
        and at(sweep.get("finished_at")) > calm + sweep_s
    )


def judge_all(stage: Stage, judge: Judge) -> None:
    """Everything that was promised, every history, the names, and farshore's own proofs."""
    keys = _look_at_all(stage, judge)
    _compare(stage, keys)
    _require_known_names(stage, set(keys))
    own_proofs(stage)


def judge_lightly(stage: Stage, judge: Judge) -> None:
    """The same without reading every byte."""
    _look_at_all(stage, judge)
    own_proofs(stage)


def _look_at_all(stage: Stage, judge: Judge) -> list[str]:
    """At every key that was written: which they are."""
    judge.listen()
    judge.ask()
    with stage.diary.ledger() as ledger:
        keys = sorted(key for key, entries in ledger.histories.items() if entries)
    for key in keys:
        if not judge.look_at(key, settled=True):
            raise ConnectionError(f"{TARGET} cannot be read after all is healed")
    judge.require_told()
    return keys


def _compare(stage: Stage, keys: list[str]) -> None:
    """By the simulation's checker, over the wire."""
    bucket = stage.farshore.bucket

    def both(key: str) -> Both:
        here, there = (wire.history(stage.sites.s3(site), bucket, key) for site in SITES)
        return Both(here, there)

    with ThreadPoolExecutor(HANDS) as hands:
        found = dict(zip(keys, hands.map(both, keys), strict=True))
    now = time.time()
    with stage.diary.ledger() as ledger:
        stage.diary.broken(list(wire.compared(found, ledger.histories, now)))
        back = list(wire.undone(found, ledger.histories))
        unordered = ledger.unordered
        for key in keys:
            tokens = [wire.token_of(held) for held in reversed(found[key].here)]
            if not key.startswith(unordered) and not is_beginning(
                ledger.histories[key], tokens, whole=True
            ):
                what = f"the source has {tokens}, which is not what clients were told"
                lost = Violation("nothing acknowledged lost", key, what, now)
                stage.diary.broken([lost])
    for key, version_id in back:
        stage.diary.say(f"its purge was undone by the source: {key} {version_id}")
    stage.diary.count("compared", "purges that the source has undone", len(back))
    stage.diary.count("compared", "keys", len(keys))
    entries = sum(len(one.here) + len(one.there) for one in found.values())
    stage.diary.count("compared", "versions and markers, both sides", entries)


def _require_known_names(stage: Stage, known: set[str]) -> None:
    """No side has a key that no client wrote."""
    for site in SITES:
        pages = stage.sites.s3(site).get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=stage.farshore.bucket):
            for row in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                if row["Key"] not in known and not row["Key"].startswith(OWN_PREFIX):
                    stage.diary.broke("nobody else writes", f"{site}: {row['Key']}", str(row))


def own_proofs(stage: Stage) -> None:
    """What farshore says of the end itself: it must agree."""
    checks: dict[str, tuple[str, ...]] = {
        "verify agrees": ("verify", "--json"),
        "the audit chain is whole": ("audit", "verify", "--json"),
    }
    for promise, words in checks.items():
        ended = stage.farshore.run(*words)
        stage.diary.count("farshore's own proofs", " ".join(words[:-1]))
        if ended.code != 0:
            said = f"ended with {ended.code}: {ended.stdout[:TOLD_CHARS]} {ended.stderr[-300:]}"
            stage.diary.broke(promise, " ".join(words), said)
