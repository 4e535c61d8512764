"""Who holds the pair's lease keeps the held deletes on the target in step with its own cache.

At first, and after any doubt, the documents are read: the target's word counts, unless its last
edition was published from this very cache. Then decisions come in, and rows that changed go
out: pages first, the index last. Killed at any moment, the next one goes on: a decision counts
as taken only once an index says so, and taking it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from farshore.control.documents import Document
from farshore.control.held import PAGE_COST_MAX, Decided, HeldDocuments, Shown, cost
from farshore.errors import StoreError
from farshore.journal.deletes import HeldDelete, StandingDelete, WaitingDeletes

EXCHANGE_EVERY_S = 2.0
EXCHANGE_SECONDS_MAX = 30.0
"""An exchange that hangs is given up; the next one goes on."""

Name = tuple[str, str]

LookAgain = Callable[[Sequence[HeldDelete]], Awaitable[None]]
"""These keys are to be looked at now. Durable when it returns."""


class Pages:
    """Which row is in which page, and which pages must be written. Pages count from 1. What rows
    that stand no more leave free is used again: there are as many pages as were ever needed at
    one time, however many rows have come and gone."""

    def __init__(self) -> None:
        self._page_of: dict[Name, int] = {}
        self._cost_of: dict[Name, int] = {}
        self._names: dict[int, set[Name]] = {}
        self._costs: dict[int, int] = {}
        self.dirty: set[int] = set()

    @property
    def count(self) -> int:
        return len(self._names)

    def names(self, page: int) -> list[Name]:
        """In their order within the page."""
        return sorted(self._names[page])

    def put(self, row: StandingDelete) -> None:
        """A row that is new, or another than before."""
        page = self._page_of.get(row.name)
        if page is None:
            page = self._roomy(cost(row))
            self._page_of[row.name] = page
            self._names[page].add(row.name)
        self._costs[page] += cost(row) - self._cost_of.get(row.name, 0)
        self._cost_of[row.name] = cost(row)
        self.dirty.add(page)

    def drop(self, name: Name) -> None:
        """A row that stands no more."""
        page = self._page_of.pop(name, None)
        if page is not None:
            self._names[page].discard(name)
            self._costs[page] -= self._cost_of.pop(name)
            self.dirty.add(page)

    def _roomy(self, size: int) -> int:
        """The last page, else the emptiest, else a new one."""
        last = self.count
        for page in (last, min(self._costs, key=self._costs.__getitem__, default=0)):
            if page and self._costs[page] + size <= PAGE_COST_MAX:
                return page
        self._names[last + 1], self._costs[last + 1] = set(), 0
        return last + 1


class Keeper:
    """Keeps `documents` and `waiting` in step while the lease is held."""

    def __init__(
        self,
        documents: HeldDocuments,
        waiting: WaitingDeletes,
        look_again: LookAgain,
    ) -> None:
        self._documents = documents
        self._waiting = waiting
        self._look_again = look_again
        self._pages = Pages()
        self._taken = 0
        self._index: Document | None = None
        self._stale = False  # the index does not say how things are
        self._in_doubt = True  # what stands on the target must be read first
        self._before: dict[str, str] = {}

    async def exchange(self) -> None:
        """Decisions in, changes out. Raises what documents raise; the next one goes on."""
        if self._in_doubt:
            await self._begin()
        if self._waiting.any_held():
            while (decided := await self._documents.decision(self._taken + 1)) is not None:
                await self._take(decided)
        self._in_doubt = True  # an answer that is lost leaves it so
        await self._publish()
        self._in_doubt = False

    async def keep_for_ever(
        self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Exchange every few seconds. A target that is away is tried again: others say so."""
        while True:
            await sleep(EXCHANGE_EVERY_S)
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(EXCHANGE_SECONDS_MAX):
                    await self.exchange()

    async def _begin(self) -> None:
        """The target's word counts, unless its last edition was published from this cache."""
        shown = await self._documents.read()
        if shown.edition and shown.edition != self._waiting.edition:
            ours = {row.name: row for row in self._waiting.standing()}
            self._waiting.replace(shown.published.values(), shown.edition)
            await self._look_again(_apart(ours, shown.published))
        self._pages = _paged(self._waiting.standing(), shown)
        self._waiting.take_changed()
        self._index, self._taken = shown.index, shown.taken
        self._before = _versions(shown)
        self._stale = self._pages.count != len(shown.pages)

    async def _take(self, decided: Decided) -> None:
        """Taken once before and not published, it changes nothing, and is looked at again."""
        word = decided.verdict.decision
        self._waiting.decide(decided.held, decided.verdict)
        is_so = self._waiting.is_decided
        due = [row for row in decided.held if is_so(row.bucket, row.key, row.version_id, word)]
        await self._look_again(due)
        self._taken, self._stale = decided.number, True

    async def _publish(self) -> None:
        """What changed; nothing where nothing did."""
        self._sort(self._waiting.take_changed())
        for page in sorted(self._pages.dirty):
            self._stale = True
            rows = self._waiting.standing_at(self._pages.names(page))
            written = await self._documents.write_page(page, rows)
            self._pages.dirty.discard(page)
            await self._forget_before(f"page-{page:04d}", written.version_id)
        if self._stale:
            await self._publish_index()
            self._stale = False

    async def _publish_index(self) -> None:
        edition = secrets.token_hex(16)
        written = await self._documents.write_index(
            edition, pages=self._pages.count, taken=self._taken, known=self._index
        )
        self._waiting.published(edition)
        self._index = Document({}, written.etag, written.version_id)
        await self._forget_before("index", written.version_id)

    def _sort(self, changed: Iterable[Name]) -> None:
        names = set(changed)
        for row in self._waiting.standing_at(names):
            self._pages.put(row)
            names.discard(row.name)
        for name in names:
            self._pages.drop(name)

    async def _forget_before(self, name: str, version_id: str) -> None:
        """Pages and index leave no trail of older versions; decisions stay for good."""
        before, self._before[name] = self._before.get(name, ""), version_id
        if before and before != version_id:
            await self._documents.forget(name, before)


def _apart(
    ours: Mapping[Name, StandingDelete], theirs: Mapping[Name, StandingDelete]
) -> list[HeldDelete]:
    """Where the two do not say the same: one of them may not know how the key stands."""
    names = sorted({*ours, *theirs})
    found = [ours.get(n) or theirs[n] for n in names if ours.get(n) != theirs.get(n)]
    return [row.held() for row in found]


def _paged(rows: Sequence[StandingDelete], shown: Shown) -> Pages:
    """Rows in pages; those that stand there already need not be written."""
    pages = Pages()
    for row in rows:
        pages.put(row)
    by_name = {row.name: row for row in rows}
    for number, there in enumerate(shown.pages, 1):
        if there is None or number > pages.count:
            continue
        if there.body["rows"] == [list(by_name[name]) for name in pages.names(number)]:
            pages.dirty.discard(number)
    return pages


def _versions(shown: Shown) -> dict[str, str]:
    found = {f"page-{n:04d}": page.version_id for n, page in enumerate(shown.pages, 1) if page}
    return found | ({"index": shown.index.version_id} if shown.index else {})
