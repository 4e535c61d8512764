"""One site's control bucket, for one pair of sites: its record, its audit log, its history.

    record/PAIR.json                    the control record, replaced by compare-and-swap
    audit/PAIR/NUMBER-SITE.json         one entry each, written once
    history/PAIR/EPOCH-REVISION-….json  records that lost against another one, written once

Where the server obeys conditions (a probed capability), they are the compare-and-swap.
Where it ignores them, whoever writes holds a lock object and reads back: weaker, in the ways that
`lease` tells of. `Ledger.strong` says which it is.

A request that takes longer than `seconds_max` counts as not answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from farshore.clock import Clock, SystemClock
from farshore.config import Pair, Site
from farshore.control.documents import Damaged, Document, read_document, write_document
from farshore.control.lease import Sleep, hold
from farshore.control.recorded import read_record
from farshore.core.chain import Entry, Place
from farshore.core.record import ControlRecord
from farshore.errors import Corrupt, OutcomeUnknown, Precondition, StateError, Unreachable
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import Store, Written

SIDE_SECONDS_MAX = 5.0
"""Who changes roles is in a hurry: a site that needs longer for one request is not there."""

READS_MAX = 2
"""Bytes that make no sense are read once more: the line may have damaged them."""

PUTS_MAX = 2
"""A PUT whose answer was lost, and that did not happen, is sent once more."""

SETTLE_SECONDS = 1.0
"""Without conditions: how long a writer waits before it reads back whose lock stands."""


def pair_key(one: str, other: str) -> str:
    """The name of two sites' documents, whatever the direction. Site names hold no dot."""
    return ".".join(sorted((one, other)))


def key_of(pair: Pair) -> str:
    """The name of a configured pair's documents: its own where it was given one.

    Without, that of the two sites: the file may have been turned round since.
    """
    one, other = pair.source, pair.target
    unnamed = pair.name in (f"{one}-{other}", f"{other}-{one}")
    return pair_key(one, other) if unnamed else pair.name


def record_name(pair: str) -> str:
    """The record's key in the control bucket."""
    return f"record/{pair}.json"


_held: ContextVar[frozenset[int]] = ContextVar("held", default=frozenset())
"""The ledgers (by `id`) whose lock this task, or one that has begun it, holds."""


class Ledger:
    """`store` is the site's, with the rights to read and write its control bucket.

    `strong`: whether the server obeys conditions; None: as its recorded capabilities say.
    """

    def __init__(
        self,
        site: Site,
        store: Store,
        pair: str,
        *,
        strong: bool | None = None,
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
        seconds_max: float = SIDE_SECONDS_MAX,
    ) -> None:
        self.seconds_max = seconds_max
        self.site = site.name
        self.pair = pair
        self.store = store
        self.bucket = site.control_bucket
        self._about = site
        self._strong = strong
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self.entries: dict[Place, Entry] = {}  # the log's end, as this process has read or made it

    async def strong(self) -> bool:
        """Whether two writers are kept apart by the server itself."""
        if self._strong is None:
            try:
                async with in_time(self.site, "read what it can do", self.seconds_max):
                    record = await read_record(self.store, self._about)
            except (Corrupt, StateError):
                record = None
            able = record.capabilities if record and record.holds_for(self._about) else None
            self._strong = able is not None and _obeys(able)
        return self._strong

    # -- the record --------------------------------------------------------------

    async def read(self) -> tuple[ControlRecord | None, str]:
        """(record, its ETag); (None, "") where there is none.

        `Damaged`, `StateError` for a newer schema, `BucketMissing`, and what stores raise.
        """
        name = record_name(self.pair)
        for attempt in range(1, READS_MAX + 1):
            document = await self.document(name, last=attempt == READS_MAX)
            if document is None:
                return None, ""
            try:
                body = {"schema": document.schema, **document.body}
                return ControlRecord.from_json(body, self.where(name)), document.etag
            except Corrupt as error:
                if attempt == READS_MAX:
                    etag, version_id = document.etag, document.version_id
                    raise Damaged(error.message, etag=etag, version_id=version_id) from error
        raise AssertionError("the last attempt returns or raises")

    async def replace(self, record: ControlRecord, etag: str) -> None:
        """Write the record over the document with this ETag; "" where there is none.

        Done when it stands. `Precondition` when another document stands there,
        `OutcomeUnknown` when nobody can tell.
        """
        for attempt in range(1, PUTS_MAX + 1):
            try:
                await self.put_over(record_name(self.pair), record.to_json(), etag)
                return
            except (Precondition, OutcomeUnknown) as error:
                unknown = isinstance(error, OutcomeUnknown)
                there, now = await self._read_back(error)
                if there is not None and there.digest == record.digest:
                    return
                if not unknown or now != etag:
                    raise _overtaken(self.where(record_name(self.pair))) from error
                if attempt == PUTS_MAX:
                    raise

    async def _read_back(
        self, why: Precondition | OutcomeUnknown
    ) -> tuple[ControlRecord | None, str]:
        """What stands there after a PUT that did not simply succeed."""
        try:
            return await self.read()
        except Damaged as error:
            return None, error.etag
        except Unreachable as error:
            if isinstance(why, Precondition):
                raise
            raise OutcomeUnknown(
                f"Whether the change was recorded at {self.site} is not known: {error.message}",
                action=why.action,
            ) from error

    # -- documents ---------------------------------------------------------------

    async def document(self, name: str, *, last: bool = True) -> Document | None:
        """One document of the bucket. Raises what `read_document` does, in time.

        Not the `last` attempt: damaged bytes are read once more.
        """
        try:
            async with in_time(self.site, f"read {name}", self.seconds_max):
                return await read_document(self.store, self.bucket, name)
        except Damaged:
            if last:
                raise
        return await self.document(name)

    async def put_over(self, name: str, body: dict[str, Any], etag: str) -> Written:
        """Write a document over the one with this ETag; "" over none. `Precondition` else."""
        strong = await self.strong()
        if not strong:
            await self._require_there(name, etag)
        try:
            async with asyncio.timeout(self.seconds_max):
                return await write_document(
                    self.store,
                    self.bucket,
                    name,
                    body,
                    if_etag=etag if strong else "",
                    absent=strong and not etag,
                )
        except TimeoutError:
            raise OutcomeUnknown(
                f"{self.site} did not answer within {self.seconds_max:g} s: whether {name} was "
                "written is not known.",
                action=f"write {self.where(name)}",
            ) from None

    async def _require_there(self, name: str, etag: str) -> None:
        """The comparison that a server without conditions leaves to us; under the lock."""
        assert id(self) in _held.get(), "without conditions only the holder of the lock may write"
        try:
            document = await self.document(name)
            there = document.etag if document else ""
        except Damaged as error:
            there = error.etag
        if there != etag:
            raise _overtaken(self.where(name))

    def where(self, name: str) -> str:
        """The document, for people."""
        return f"{self.bucket}/{name} at {self.site}"

    # -- one writer at a time ----------------------------------------------------

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Around everything that is written here: the lock, where the server is weak.

        `Refused` when somebody else writes at this moment. Within one process all wait for their
        turn, but for what is begun inside: that writes under the lock that is held already.
        """
        if id(self) in _held.get() or await self.strong():
            yield
            return
        lock = hold(
            self.store,
            self.bucket,
            f"record-{self.pair}",
            capabilities=Capabilities(),
            clock=self._clock,
            sleep=self._sleep,
            settle_s=SETTLE_SECONDS,
        )
        async with self._turn, lock:
            before = _held.set(_held.get() | {id(self)})
            try:
                yield
            finally:
                _held.reset(before)


@contextlib.asynccontextmanager
async def in_time(
    site: str, action: str, seconds_max: float = SIDE_SECONDS_MAX
) -> AsyncIterator[None]:
    """`Unreachable` when a read takes longer."""
    try:
        async with asyncio.timeout(seconds_max):
            yield
    except TimeoutError:
        raise Unreachable(
            f"{site} did not answer within {seconds_max:g} s.", action=f"{action} at {site}"
        ) from None


def _overtaken(where: str) -> Precondition:
    return Precondition(f"Somebody else wrote {where} meanwhile.")


def _obeys(able: Capabilities) -> bool:
    return able.conditional_create and able.conditional_replace
