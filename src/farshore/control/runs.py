"""Runs of runbooks, kept in both control buckets, so that either one is enough to go on.

    runs/PAIR/ID.json    the run, replaced whole by compare-and-swap; `revision` counts its saves

Both sides are written at each save; one that does not answer is brought up at the next one, or
when the sites are brought into step: else a run that ended meanwhile would stay open there, and
be in the way of a failover to that site. Of two copies that differ the one with more saves
counts; of two with as many, the one that is over (two people have each reached one site only, and
one of them was refused). Who saves over somebody else's save is refused: a run has one runner at a
time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from farshore.control.both import BothSides, losing
from farshore.control.bucket import every
from farshore.control.documents import Damaged, Document
from farshore.control.ledger import Ledger, in_time
from farshore.control.pages import standing_entries
from farshore.core.runbook import Run
from farshore.errors import (
    BucketMissing,
    Corrupt,
    OutcomeUnknown,
    Precondition,
    Refused,
    StoreError,
    Unreachable,
    UsageError,
)

NEWEST_MAX = 20
"""So many of the newest runs are looked at for what is open, or lags behind at one site: a run is
begun when no other is open, so what is open is among the newest."""

READS_AT_ONCE = 8
"""Runs that are fetched at one time."""

PUTS_MAX = 3
"""A save whose answer was lost is looked at and, if it did not happen, sent again."""


class Copy(NamedTuple):
    """A run as one site has it. `revision` 0 and no run: it has none."""

    site: str
    run: Run | None = None
    revision: int = 0
    etag: str = ""


class Runs:
    """The runs of one pair of sites."""

    def __init__(self, both: BothSides) -> None:
        self._both = both

    async def ids(self) -> list[str]:
        """Ids of all runs that an answering side has, the newest last (ids begin with a time).

        `Unreachable` when no side answers.
        """
        return sorted({name for etags in await self._listings() for name in etags})

    async def _listings(self) -> list[dict[str, str]]:
        """Of each answering site: the ETag of each run's copy, by the run's id."""
        jobs = [_listed(ledger) for ledger in self._both.ledgers.values()]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        others = [r for r in results if isinstance(r, BaseException) and not _of_a_store(r)]
        if others:
            raise others[0]
        found = [result for result in results if not isinstance(result, BaseException)]
        if not found:
            raise nobody_has("the run", [r for r in results if isinstance(r, StoreError)])
        return found

    async def newest(self, number: int) -> list[Run]:
        """So many of the newest runs, or all there are; the newest last."""
        names = (await self.ids())[-number:]
        gate = asyncio.Semaphore(READS_AT_ONCE)

        async def one(name: str) -> Run:
            async with gate:
                return await self.load(name)

        return await every([one(name) for name in names])

    async def open_runs(self) -> list[Run]:
        """Runs that are not over, the newest last."""
        return [run for run in await self.newest(NEWEST_MAX) if run.is_open]

    async def load(self, run_id: str) -> Run:
        """One run, as it stands. `UsageError` for one that is nowhere, `Corrupt` for damage."""
        return (await self.shelf(run_id)).run

    async def create(self, run: Run) -> Shelf:
        """Keep a new run. `Refused` when one with this id is there."""
        shelf = Shelf(self._both, run, {site: Copy(site) for site in self._both.ledgers})
        await shelf.save(run)
        return shelf

    async def level(self) -> None:
        """Bring copies that lag behind up to the others, of the newest runs. Both sites must
        answer; raises as `Shelf.level`.

        Copies with one ETag are one document, and are not read: whoever is at work at the same
        time may be holding clients' writes back. (Where a server encrypts, all ETags differ.)
        """
        one, other = [await _listed_of(ledger) for ledger in self._both.ledgers.values()]
        for name in sorted({*one, *other})[-NEWEST_MAX:]:
            if one.get(name) != other.get(name):
                await self._level_run(name)

    async def _level_run(self, run_id: str) -> None:
        """Each site is asked for its own copy: one that has fallen silent since has not none."""
        copies: dict[str, Copy] = {}
        for ledger in self._both.ledgers.values():
            with losing(ledger.site):
                copies[ledger.site] = await _copy(ledger, run_id)
        best = max(copies.values(), key=_weight)
        if best.run is not None:
            await Shelf(self._both, best.run, copies).level()

    async def shelf(self, run_id: str) -> Shelf:
        """A run with what is needed to save it. Raises as `load`."""
        copies, errors = await _copies(self._both, run_id)
        best = max(copies.values(), key=_weight, default=None)
        if best is None:
            raise nobody_has("the run", errors)
        if best.run is None:
            known = ", ".join((await self.ids())[-3:]) or "none"
            raise UsageError(f"There is no run {run_id}.", hint=f"The last ones: {known}.")
        return Shelf(self._both, best.run, copies)


@dataclass(slots=True)
class Shelf:
    """Where one run is saved. It remembers what it has read and written last."""

    both: BothSides
    run: Run
    copies: dict[str, Copy] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        """How often the run was saved."""
        return max((copy.revision for copy in self.copies.values()), default=0)

    async def save(self, run: Run) -> None:
        """Save on every side that answers. `Refused` when somebody else has saved meanwhile;
        a `StoreError` when no side has it."""
        revision = self.revision + 1
        jobs = [self._save(ledger, run, revision) for ledger in self.both.ledgers.values()]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        refused = next((r for r in results if isinstance(r, Refused)), None)
        done = [result for result in results if isinstance(result, Copy)]
        others = [r for r in results if isinstance(r, BaseException) and not _of_a_site(r)]
        if others:
            raise others[0]
        if refused is not None:
            raise refused
        if not done:
            raise nobody_has("the run", [r for r in results if isinstance(r, StoreError)])
        self.copies |= {copy.site: copy for copy in done}
        self.run = run

    async def level(self) -> None:
        """Bring a copy that lags behind up to the other; `SideLost` when its site cannot be
        written. Who saves at the same time goes first."""
        for copy in self.copies.values():
            if not _is_copy(copy, self.run):
                ledger = self.both.ledgers[copy.site]
                name, body = self._document(ledger, self.run, self.revision)
                with contextlib.suppress(Precondition), losing(copy.site):
                    async with ledger.writing():
                        await ledger.put_over(name, body, copy.etag)

    def _document(self, ledger: Ledger, run: Run, revision: int) -> tuple[str, dict[str, Any]]:
        """(name, body) as it is saved."""
        return run_name(ledger.pair, run.id), {**run.to_json(), "revision": revision}

    async def _save(self, ledger: Ledger, run: Run, revision: int) -> Copy:
        """One side. A lost answer is read back."""
        name, body = self._document(ledger, run, revision)
        there = self.copies.get(ledger.site) or await _seen(ledger, run, revision)
        for _ in range(PUTS_MAX):
            if there.revision >= revision:
                return there
            try:
                async with ledger.writing():
                    written = await ledger.put_over(name, body, there.etag)
            except (Precondition, OutcomeUnknown):
                there = await _seen(ledger, run, revision)
            else:
                there = Copy(ledger.site, run, revision, written.etag)
                return there if written.etag else await _copy(ledger, run.id)
        if there.revision >= revision:
            return there
        raise OutcomeUnknown(f"Whether the run {run.id} is saved at {ledger.site} is not known.")


def run_name(pair: str, run_id: str) -> str:
    """The key of a run in a control bucket."""
    return f"{_folder(pair)}{run_id}.json"


def _folder(pair: str) -> str:
    return f"runs/{pair}/"


async def _copies(both: BothSides, run_id: str) -> tuple[dict[str, Copy], list[StoreError]]:
    """(what each answering side has; the errors of the others)."""
    ledgers = list(both.ledgers.values())
    jobs = [_copy(ledger, run_id) for ledger in ledgers]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    copies: dict[str, Copy] = {}
    errors: list[StoreError] = []
    for ledger, result in zip(ledgers, results, strict=True):
        if isinstance(result, Copy):
            copies[ledger.site] = result
        elif isinstance(result, StoreError):
            errors.append(result)
        else:
            raise result
    return copies, errors


async def _copy(ledger: Ledger, run_id: str) -> Copy:
    """What one side has. A damaged document counts as none: the other side's is put over it."""
    name = run_name(ledger.pair, run_id)
    try:
        document = await ledger.document(name)
    except Damaged as error:
        return Copy(ledger.site, etag=error.etag)
    if document is None:
        return Copy(ledger.site)
    try:
        return _read(ledger, name, document)
    except Corrupt:
        return Copy(ledger.site, etag=document.etag)


def _read(ledger: Ledger, name: str, document: Document) -> Copy:
    body = {**document.body, "schema": document.schema}
    revision = body.pop("revision", 0)
    if not isinstance(revision, int):
        raise Corrupt(f"{ledger.where(name)} has no revision.")
    return Copy(ledger.site, Run.from_json(body, ledger.where(name)), revision, document.etag)


async def _seen(ledger: Ledger, run: Run, revision: int) -> Copy:
    """What stands where that save is to go, or is: `Refused` when somebody else has saved as
    often there."""
    there = await _copy(ledger, run.id)
    if there.revision >= revision and not _is_copy(there, run):
        raise _overtaken(run, there)
    return there


def _weight(copy: Copy) -> tuple[int, bool]:
    """The copy with the most of it counts."""
    return copy.revision, copy.run is not None and not copy.run.is_open


def _is_copy(copy: Copy, run: Run) -> bool:
    """Whether that run was saved there. As documents: they have fewer digits of a time."""
    return copy.run is not None and copy.run.to_json() == run.to_json()


async def _listed(ledger: Ledger) -> dict[str, str]:
    """Id to ETag of every run's copy at a site."""
    folder = _folder(ledger.pair)
    async with in_time(ledger.site, f"list {folder}"):
        entries = await standing_entries(ledger.store, ledger.bucket, folder)
    return {e.key.removeprefix(folder).removesuffix(".json"): e.etag for e in entries}


async def _listed_of(ledger: Ledger) -> dict[str, str]:
    """As `_listed`, for whom the site must answer: `SideLost`."""
    with losing(ledger.site):
        return await _listed(ledger)


def _of_a_store(error: BaseException) -> bool:
    return isinstance(error, StoreError)


def _of_a_site(error: BaseException) -> bool:
    return isinstance(error, (StoreError, Refused))


def _overtaken(run: Run, there: Copy) -> Refused:
    state = there.run.state if there.run else "not known"
    return Refused(
        f"Somebody else works on the run {run.id}: at {there.site} it is {state} by now.",
        hint="Look at it with `farshore status`; one person runs a run.",
    )


def nobody_has(what: str, errors: Sequence[StoreError]) -> StoreError:
    """Why no side could be asked for a document: each one's error, or that nothing is there yet."""
    if errors and all(isinstance(error, BucketMissing) for error in errors):
        return BucketMissing(
            "Neither site has a control bucket yet: nothing was prepared.",
            hint="Run `farshore apply` first: it makes them.",
        )
    why = "; ".join(error.message for error in errors)
    return Unreachable(f"No control bucket has {what}: {why}")
