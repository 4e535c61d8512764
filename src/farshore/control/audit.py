"""The audit log in one control bucket: entries appended, copied, and read back to be verified.

The name of an entry is its number and the site that gave the number out. That site lets one
of two racers have it; the other takes the next. Entries of the other site are copied, never
numbered anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from farshore.control.bucket import every
from farshore.control.documents import Damaged
from farshore.control.ledger import PUTS_MAX, Ledger, in_time
from farshore.control.pages import standing
from farshore.core.chain import BEGINNING, Draft, Entry, Head, Place, Unreadable, follow
from farshore.errors import Corrupt, OutcomeUnknown, Precondition, Refused, Unsupported

APPENDS_MAX = 64
"""Others may append at the same moment; nobody loses against more than this."""

DIGITS = 10
"""Of a number in a name: names sort as numbers do."""

BLOCK = 100
"""Numbers in one listing: with both sites' entries and a few old versions less than a page."""

BLOCKS_AT_ONCE = 4
"""Listings at one time."""

WAVES_MAX = 100_000
"""More than a pair writes in its life."""

READS_AT_ONCE = 16
"""Entries that are fetched at one time."""

Stored = Entry | Unreadable

_NAME = re.compile(r"(\d{10})-([a-z0-9-]+)\.json")


def entry_name(pair: str, place: Place) -> str:
    """The entry's key in the control bucket."""
    return f"{_folder(pair)}{place[0]:0{DIGITS}d}-{place[1]}.json"


def _folder(pair: str) -> str:
    return f"audit/{pair}/"


class AuditLog:
    """The entries of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    # -- writing -----------------------------------------------------------------

    async def append(self, head: Head, draft: Draft) -> Entry:
        """Write the draft behind `head`, or behind whatever others have appended since."""
        for _ in range(APPENDS_MAX):
            entry = follow(head, self._ledger.site, draft)
            there = await self._create(entry)
            if there is None:
                return entry
            if isinstance(there, Unreadable):
                raise Refused(
                    f"The audit log at {self._ledger.site} cannot be continued: "
                    f"number {there.sequence} {there.why}.",
                    hint="Run `farshore audit verify`, and look at that object's versions.",
                )
            head = there.head
        raise Refused("Too many others write to the audit log at this moment.", hint="Try again.")

    async def keep(self, entry: Entry) -> None:
        """Write an entry that another site has numbered; nothing if it is here already."""
        await self._create(entry)

    async def _create(self, entry: Entry) -> Stored | None:
        """None when the entry stands; else the one that stands in its place."""
        name = entry_name(self._ledger.pair, entry.place)
        for attempt in range(1, PUTS_MAX + 1):
            unknown: OutcomeUnknown | None = None
            try:
                await self._ledger.put_over(name, entry.to_json(), "")
                self._ledger.entries[entry.place] = entry
                return None
            except Precondition:
                pass
            except OutcomeUnknown as error:
                unknown = error
            there = await self.read(entry.place)
            if isinstance(there, Entry) and there.digest == entry.digest:
                return None
            if there is not None:
                return there
            if unknown is not None and attempt == PUTS_MAX:
                raise unknown
        raise Unsupported(f"{name} can neither be written nor read at {self._ledger.site}.")

    # -- reading -----------------------------------------------------------------

    async def read(self, place: Place) -> Stored | None:
        """The entry in this place; None where there is none."""
        name = entry_name(self._ledger.pair, place)
        try:
            document = await self._ledger.document(name, last=False)
        except Damaged as error:
            return Unreadable(*place, f"cannot be read: {error.message}")
        if document is None:
            return None
        try:
            body = {"schema": document.schema, **document.body}
            entry = Entry.from_json(body, self._ledger.where(name))
        except Corrupt as error:
            return Unreadable(*place, f"cannot be read: {error.message}")
        if entry.place != place:
            return Unreadable(*place, f"holds number {entry.sequence}", moved=True)
        return entry

    async def places(self, after: int = 0, *, until: int = 0) -> list[Place]:
        """Where entries stand whose number is higher than `after`, in order.

        The whole log is listed a hundred numbers at a time: such a listing mostly fits one page,
        and so is complete on every server. It ends with a wave of empty ones behind the number
        `until`.
        """
        if after:
            return await self._behind(after)
        found: list[Place] = []
        for start in range(0, WAVES_MAX * BLOCKS_AT_ONCE, BLOCKS_AT_ONCE):
            wave = range(start, start + BLOCKS_AT_ONCE)
            blocks = await every([self._listed(f"{block:0{DIGITS - 2}d}") for block in wave])
            found += [place for block in blocks for place in block]
            if not any(blocks) and start * BLOCK > until:
                break
        return sorted(found)

    async def _behind(self, number: int) -> list[Place]:
        """As `places`, of the log's end, which is short: listed from there, for what a listing
        takes grows with it (SeaweedFS: 22 ms for 95 entries, 1.6 ms for the last two of them), and
        clients' writes may wait for it."""
        # From the number itself: moto leaves out the first key behind a marker that is no key.
        there = await self._listed("", after=f"{number:0{DIGITS}d}")
        return sorted(place for place in there if place[0] > number)

    async def _listed(self, numbers: str, *, after: str = "") -> list[Place]:
        """Places whose number begins so; `after`: only those whose names follow it."""
        ledger, folder = self._ledger, _folder(self._ledger.pair)
        begin = folder + after if after else ""
        async with in_time(ledger.site, f"list {folder}", ledger.seconds_max):
            keys = await standing(ledger.store, ledger.bucket, folder + numbers, after=begin)
        return [place for key in keys if (place := _place(key, folder))]

    async def since(self, head: Head) -> list[Stored]:
        """The entries with higher numbers than `head`, in order. Those that this process has read
        or written before are not read again: an entry is written once. `everything` reads all."""
        places, known = await self.places(head.sequence), self._ledger.entries
        read = await self._fetch([place for place in places if place not in known])
        there = known | {entry.place: entry for entry in read}
        tail = [there[place] for place in places if place in there]
        self._ledger.entries = {e.place: e for e in tail if isinstance(e, Entry)}
        return tail

    async def everything(self, head: Head = BEGINNING) -> list[Stored]:
        """All entries, in order; at least up to `head`, whatever is missing."""
        return await self._fetch(await self.places(until=head.sequence))

    async def _fetch(self, places: Sequence[Place]) -> list[Stored]:
        gate = asyncio.Semaphore(READS_AT_ONCE)

        async def fetch(place: Place) -> Stored | None:
            async with gate:
                return await self.read(place)

        return [entry for entry in await every([fetch(place) for place in places]) if entry]


def _place(key: str, folder: str) -> Place | None:
    match = _NAME.fullmatch(key.removeprefix(folder))
    return (int(match[1]), match[2]) if match else None
