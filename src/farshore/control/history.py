"""Records that lost: kept in the bucket where they stood, once, and never changed again.

A record loses when the other site's has the higher epoch and does not come from it: two
people have each decided while they could not see the other's site.
"""

from __future__ import annotations

from farshore.control.ledger import Ledger, in_time
from farshore.control.pages import standing
from farshore.core.record import ControlRecord
from farshore.errors import Corrupt, OutcomeUnknown, Precondition

KEPT_MAX = 1000
"""More than one page of lost records is no history any more: the newest page is shown."""

TRIES_MAX = 3


def history_name(record: ControlRecord) -> str:
    """The key of a record that lost."""
    place = f"{record.epoch:08d}-{record.revision:08d}"
    return f"{_folder(record.pair)}{place}-{record.digest[:12]}.json"


def _folder(pair: str) -> str:
    return f"history/{pair}/"


async def keep(ledger: Ledger, record: ControlRecord) -> None:
    """Keep a record before another one takes its place; nothing if it is kept already."""
    name = history_name(record)
    for attempt in range(1, TRIES_MAX + 1):
        try:
            await ledger.put_over(name, record.to_json(), "")
            return
        except Precondition:
            return  # by this name there can only be this content
        except OutcomeUnknown:
            if attempt == TRIES_MAX:
                raise


async def kept(ledger: Ledger) -> tuple[list[ControlRecord], list[str]]:
    """(the records that lost at this site, the oldest first; what cannot be read, and why)."""
    folder = _folder(ledger.pair)
    async with in_time(ledger.site, f"list {folder}", ledger.seconds_max):
        keys = await standing(ledger.store, ledger.bucket, folder, entries_max=KEPT_MAX)
    records, troubles = [], []
    for key in keys:
        try:
            records += await _read(ledger, key)
        except Corrupt as error:
            troubles.append(error.message)
    return records, troubles


async def _read(ledger: Ledger, name: str) -> list[ControlRecord]:
    document = await ledger.document(name)
    if document is None:
        return []
    body = {"schema": document.schema, **document.body}
    return [ControlRecord.from_json(body, ledger.where(name))]
