"""The last check-up and the drills, as both control buckets keep them.

doctor/PAIR.json        what `farshore doctor` found last; replaced whole, older versions purged
drills/PAIR/ID.json     one drill each: {"level", "passed", "ended_at"} and more
"""

from __future__ import annotations

from typing import Any, NamedTuple

from farshore.config import Pair
from farshore.control.documents import read_document, write_document
from farshore.control.ledger import key_of
from farshore.control.pages import standing
from farshore.core.checkup import Checkup, Wrong
from farshore.core.document import Fields, moment_text
from farshore.errors import BucketMissing, Corrupt, StateError
from farshore.s3.store import Store

DRILLS_MAX = 20
"""The newest drills that are read to find one that passed; walks through a plan not counted."""

ON_PAPER = "-drill-plan.json"
"""How the documents of drills end in which a plan was only read."""

REHEARSED = frozenset({"isolated", "live"})
"""Levels of drills in which something was really moved; a plan that was only read is none."""


class Drills(NamedTuple):
    """`passed_at`: when the last drill that passed ended, Unix seconds; None: there is none.
    `any`: whether there was ever one."""

    passed_at: float | None = None
    any: bool = False


NO_DRILLS = Drills()


def checkup_name(pair: Pair) -> str:
    """The key of the last check-up."""
    return f"doctor/{key_of(pair)}.json"


async def write_checkup(store: Store, bucket: str, pair: Pair, checkup: Checkup) -> None:
    """Replace the last check-up, and purge the version before it."""
    name = checkup_name(pair)
    page = await store.list_versions(bucket, prefix=name)
    body = {
        "at": moment_text(checkup.at),
        "ok": checkup.ok,
        "wrong": [wrong._asdict() for wrong in checkup.wrong],
        "unknown": list(checkup.unknown),
    }
    written = await write_document(store, bucket, name, body)
    for entry in page.entries:
        if entry.key == name and entry.version_id != written.version_id:
            await store.delete(bucket, name, entry.version_id)


async def read_checkup(store: Store, bucket: str, pair: Pair) -> Checkup | None:
    """The last one; None where there is none, or none that can be understood."""
    try:
        document = await read_document(store, bucket, checkup_name(pair))
        return None if document is None else _checkup(document.body, checkup_name(pair))
    except (BucketMissing, Corrupt, StateError):
        return None


def _checkup(body: dict[str, Any], name: str) -> Checkup:
    fields = Fields(body, name)
    wrong = [Wrong(*(row.text(part) for part in Wrong._fields)) for row in fields.items("wrong")]
    unknown = tuple(fields.words("unknown"))
    return Checkup(fields.moment("at"), tuple(wrong), unknown, fields.number("ok"))


async def read_drills(store: Store, bucket: str, pair: Pair) -> Drills:
    """The last drill that passed, among the newest. Raises what stores raise, and `Refused` as
    `drill_documents`."""
    try:
        names = await drill_documents(store, bucket, key_of(pair))
    except BucketMissing:
        return NO_DRILLS
    held = sorted(name for name in names if not name.endswith(ON_PAPER))  # ids begin with a time
    for name in reversed(held[-DRILLS_MAX:]):
        if (passed_at := await _passed_at(store, bucket, name)) is not None:
            return Drills(passed_at, any=True)
    return Drills(None, bool(names))


async def drill_documents(store: Store, bucket: str, pair: str) -> list[str]:
    """Keys of all drills' documents, from every page of the listing: later ids stand last, and
    must not be missed. `pair`: as in `ledger.key_of`. `Refused` for a listing without an end."""
    keys = await standing(store, bucket, f"drills/{pair}/")
    return [key for key in keys if key.endswith(".json")]


async def _passed_at(store: Store, bucket: str, name: str) -> float | None:
    try:
        document = await read_document(store, bucket, name)
        if document is None or document.body.get("passed") is not True:
            return None
        if document.body.get("level") not in REHEARSED:
            return None
        return Fields(document.body, name).moment("ended_at")
    except (Corrupt, StateError):
        return None
