"""Both sites' ledgers as one: looked at together, written to in order, lost one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from farshore.control import history
from farshore.control.audit import AuditLog
from farshore.control.documents import Damaged
from farshore.control.ledger import Ledger, pair_key
from farshore.control.view import Shown, State, View, end_of
from farshore.core.chain import BEGINNING, Draft, Entry, Head, Place
from farshore.core.record import ControlRecord, standing
from farshore.errors import BucketMissing, ConfigError, Precondition, StateError, StoreError

COPIES_MAX = 6
"""How often a record is brought to a site that shows something else each time."""


class SideLost(Exception):
    """A site that answered cannot be read or written after all."""

    def __init__(self, site: str, error: StoreError) -> None:
        super().__init__(site)
        self.site = site
        self.error = error


@contextlib.contextmanager
def losing(site: str) -> Iterator[None]:
    """A store's error as the loss of that site. `Precondition` goes through."""
    try:
        yield
    except Precondition:
        raise
    except StoreError as error:
        raise SideLost(site, error) from error


def new_token() -> str:
    """What ties an intent to its result, and tells two equal ones apart."""
    return secrets.token_hex(8)


class BothSides:
    """The ledgers of the two sites, by name. `closed`: sites that could not be opened, and why.

    `primary`: the configured source, primary where nothing was recorded.
    """

    def __init__(
        self,
        sites: tuple[str, str],
        ledgers: Sequence[Ledger],
        *,
        primary: str,
        closed: Mapping[str, str] | None = None,
    ) -> None:
        one, other = sorted(sites)
        self.sites = (one, other)
        self.pair = next((ledger.pair for ledger in ledgers), pair_key(one, other))
        self.ledgers = {ledger.site: ledger for ledger in ledgers}
        self._primary = primary
        self._closed = dict(closed or {})

    def log(self, site: str) -> AuditLog:
        """The site's audit log."""
        return AuditLog(self.ledgers[site])

    # -- looking -----------------------------------------------------------------

    async def look(self, given_up: Mapping[str, str] | None = None, *, tails: bool = True) -> View:
        """What both sites show; `given_up` ones are not asked. `tails`: the audit logs, too."""
        lost = {**self._closed, **(given_up or {})}
        one, other = await asyncio.gather(
            *(self.shown(site, lost.get(site, ""), tails=tails) for site in self.sites)
        )
        return View(self.pair, self._primary, (one, other))

    async def shown(self, site: str, trouble: str = "", *, tails: bool = False) -> Shown:
        """What one site shows. Never raises what a site does: it is in the answer."""
        if trouble:
            return Shown(site, "unreachable", trouble=trouble)
        try:
            return await _shown(self.ledgers[site], tails=tails)
        except StateError as error:
            return Shown(site, "newer", trouble=error.message)
        except BucketMissing:
            why = f"{site} has no control bucket; `farshore apply` makes it"
            return Shown(site, "unreachable", trouble=why)
        except (StoreError, ConfigError) as error:
            return Shown(site, "unreachable", trouble=error.message)

    # -- writing -----------------------------------------------------------------

    @asynccontextmanager
    async def writing(self, view: View) -> AsyncIterator[None]:
        """The locks of all answering sites whose servers need one. `Refused`: held by others."""
        async with AsyncExitStack() as stack:
            for shown in view.answering:
                with losing(shown.site):
                    await stack.enter_async_context(self.ledgers[shown.site].writing())
            yield

    async def append(
        self, view: View, site: str, draft: Draft, behind: Head | None = None
    ) -> Entry:
        """An audit entry numbered by `site`, copied to the other one if that answers. `behind`: an
        entry that was appended since the view was had."""
        head = behind or end_of(view.record.audit_head, view.of(site).tail, site)
        with losing(site):
            entry = await self.log(site).append(head, draft)
        other = view.other(site)
        if other.answers:
            with losing(other.site):
                await self.log(other.site).keep(entry)
        return entry

    async def copy(self, record: ControlRecord, shown: Shown) -> ControlRecord | None:
        """Bring a decided record to the other site; what stands there, None: not known.

        That site's troubles are none of the change's: it is brought into step later.
        """
        for _ in range(COPIES_MAX):
            if not shown.answers:
                return None
            try:
                return await self.settle(record, shown)
            except Precondition:
                shown = await self.shown(shown.site)
            except StoreError:
                return None
        return None

    async def settle(self, record: ControlRecord, shown: Shown) -> ControlRecord:
        """Make the record stand at a site, unless what stands there counts more; answers that.

        What loses is kept first. `Precondition` when the site shows something else by now.
        """
        ledger, there = self.ledgers[shown.site], shown.record
        if there is not None:
            if standing(there, record) == there:
                return there
            if not record.comes_from(there):
                await history.keep(ledger, there)
        await ledger.replace(record, shown.etag)
        return record

    async def places(self, site: str) -> set[Place]:
        """Where audit entries stand at that site."""
        with losing(site):
            return set(await self.log(site).places())


async def _shown(ledger: Ledger, *, tails: bool) -> Shown:
    """What one site shows; raises what the store and the documents do."""
    strong = await ledger.strong()
    state: State = "absent"
    record, etag, trouble = None, "", ""
    try:
        record, etag = await ledger.read()
        state = "record" if record else "absent"
    except Damaged as error:
        state, etag, trouble = "damaged", error.etag, error.message
    head = record.audit_head if record else BEGINNING
    tail = tuple(await AuditLog(ledger).since(head)) if tails else ()
    return Shown(ledger.site, state, record, etag, trouble, tail, strong)
