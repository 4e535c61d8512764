"""Where drills are kept: in both control buckets, each for itself enough.

    drills/PAIR/ID.json    the drill; of two copies that differ the one with more saves counts
    drills/PAIR/ID.md      the report, for people; ID.html: the same as one page

A drill has one writer at a time: who makes it, and later who writes its findings. A side that
does not answer is left out, and written at the next save.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from farshore.control.both import BothSides
from farshore.control.checkups import drill_documents
from farshore.control.documents import Damaged
from farshore.control.ledger import Ledger, in_time
from farshore.control.runs import nobody_has
from farshore.core.drill import Drill
from farshore.core.model import Attributes
from farshore.errors import Corrupt, StoreError, UsageError

LIST_SECONDS_MAX = 30.0
"""For all pages of a listing."""

TYPES = {"md": "text/markdown; charset=utf-8", "html": "text/html; charset=utf-8"}


class _Copy(NamedTuple):
    """A drill as one side has it; revision 0: it has none."""

    drill: Drill | None = None
    revision: int = 0
    etag: str = ""


class Cabinet:
    """The drills of one pair of sites."""

    def __init__(self, both: BothSides) -> None:
        self._ledgers = list(both.ledgers.values())

    async def ids(self) -> list[str]:
        """Ids of all drills that an answering side has, the newest last. `Unreachable` when no
        side answers."""
        found: set[str] = set()
        errors: list[StoreError] = []
        for ledger in self._ledgers:
            try:
                found.update(await _listed(ledger))
            except StoreError as error:
                errors.append(error)
        if len(errors) == len(self._ledgers):
            raise nobody_has("the drill", errors)
        return sorted(found)

    async def load(self, drill_id: str) -> Drill:
        """One drill. `UsageError` for one that is nowhere, `StateError` for a newer form."""
        best = max((await self._copies(drill_id)).values(), key=lambda copy: copy.revision)
        if best.drill is None:
            known = ", ".join((await self.ids())[-3:]) or "none"
            raise UsageError(f"There is no drill {drill_id}.", hint=f"The last ones: {known}.")
        return best.drill

    async def save(self, drill: Drill, pages: dict[str, str] | None = None) -> None:
        """Save on every side that answers. `pages`: extension to text, beside the document.
        `Refused` when somebody else writes it, `Unreachable` when no side has it now."""
        copies = await self._copies(drill.id)
        revision = max(copy.revision for copy in copies.values()) + 1
        jobs = [
            _put(ledger, drill, revision, copies[ledger.site], pages or {})
            for ledger in self._ledgers
            if ledger.site in copies
        ]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, StoreError):
                raise result
        errors = [result for result in results if isinstance(result, StoreError)]
        if len(errors) == len(results):
            raise nobody_has("the drill", errors)

    async def _copies(self, drill_id: str) -> dict[str, _Copy]:
        """What each answering side has. `Unreachable` when none answers."""
        jobs = [_copy(ledger, drill_id) for ledger in self._ledgers]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        found: dict[str, _Copy] = {}
        errors: list[StoreError] = []
        for ledger, result in zip(self._ledgers, results, strict=True):
            if isinstance(result, _Copy):
                found[ledger.site] = result
            elif isinstance(result, StoreError):
                errors.append(result)
            else:
                raise result
        if not found:
            raise nobody_has("the drill", errors)
        return found


def _folder(ledger: Ledger) -> str:
    return f"drills/{ledger.pair}/"


async def _copy(ledger: Ledger, drill_id: str) -> _Copy:
    """A damaged document counts as none: it is written over."""
    name = f"{_folder(ledger)}{drill_id}.json"
    try:
        document = await ledger.document(name)
    except Damaged as error:
        return _Copy(etag=error.etag)
    if document is None:
        return _Copy()
    body = {**document.body, "schema": document.schema}
    revision = body.pop("revision", 0)
    try:
        drill = Drill.from_json(body, ledger.where(name))
    except Corrupt:
        return _Copy(etag=document.etag)
    return _Copy(drill, revision if isinstance(revision, int) else 0, document.etag)


async def _put(
    ledger: Ledger, drill: Drill, revision: int, there: _Copy, pages: dict[str, str]
) -> None:
    name = f"{_folder(ledger)}{drill.id}"
    async with ledger.writing():
        body = {**drill.to_json(), "revision": revision}
        await ledger.put_over(f"{name}.json", body, there.etag)
    for kind, text in pages.items():
        attributes = Attributes(headers=(("content-type", TYPES[kind]),))
        async with in_time(ledger.site, f"write {name}.{kind}"):
            await ledger.store.put(ledger.bucket, f"{name}.{kind}", text.encode(), attributes)


async def _listed(ledger: Ledger) -> list[str]:
    folder = _folder(ledger)
    async with in_time(ledger.site, f"list {folder}", LIST_SECONDS_MAX):
        names = await drill_documents(ledger.store, ledger.bucket, ledger.pair)
    return [name.removeprefix(folder).removesuffix(".json") for name in names]
