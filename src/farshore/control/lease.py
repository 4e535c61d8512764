"""One worker at a time: a lease in the target's control bucket.

The lease is a document, `leases/NAME`, that says who holds it and until when. It is taken
and renewed by conditional PUTs; the store lets one of two racers through. Where the server
ignores conditions, the taker writes, waits and reads back. Two do not hold it then either, as
long as whoever took longer from its look to the answer of its PUT than all wait (`settle_s`, the
same for all who take that lease) gives up: who has waited has then seen every PUT of others who
had looked before its own. Weaker all the same: it rests on clocks that run alike and on a store
that shows the last write, and a PUT that arrives after its sender has given up takes the lease
from its holder, who stops at its next renewal. `Lease.strong` says which one it is.

Times are the target server's (our clock plus `server_time_offset`), so machines with
different clocks agree on when a lease ends. A holder that cannot renew stops itself
`MARGIN_SHARE` of the ttl before anybody else may take over.

    free ──take──> held ──renew──> held ──release──> free
                    ├── holder's process gone, same machine ──> taken over at once
                    ├── lost or given up by this very process ─> taken over at once
                    └── not renewed until it expires        ──> taken over by anybody
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from farshore.clock import Clock
from farshore.control.documents import Document, read_document, write_document
from farshore.control.machine import LinuxMachine, Machine, Process
from farshore.errors import Corrupt, Precondition, Refused, StoreError
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import Store, Written
from farshore.tasks import together

TTL_SECONDS = 60.0
"""How long a lease lasts without renewal."""

RENEWALS_PER_TTL = 3
"""Two renewals may fail before the third is the last chance."""

MARGIN_SHARE = 1 / 6
"""The holder stops this share of the ttl early: Date headers count whole seconds."""

PUTS_MAX = 2
"""A PUT that met another document is tried once more, if that document is ours."""

SETTLE_SECONDS = 2.0
"""Without conditions: how long to wait before reading back who wrote last."""

Sleep = Callable[[float], Awaitable[None]]

_LIVING: set[str] = set()
"""Tokens of this process: of leases that it takes, holds, or gives back just now. A claim of this
process with any other token is of work that has ended here, and keeps nobody waiting."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the document says. Times are Unix seconds by the target server's clock."""

    process: Process
    token: str
    taken: float
    renewed: float
    expires: float
    released: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "host": self.process.host,
            "machine": self.process.machine,
            "pid": self.process.pid,
            "started": self.process.started,
            "token": self.token,
            "taken": _text(self.taken),
            "renewed": _text(self.renewed),
            "expires": _text(self.expires),
            "released": self.released,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Claim:
        """`ValueError`, `KeyError`, `TypeError` or `OverflowError` for anything else than
        `to_json` wrote."""
        return cls(
            process=Process(
                str(body["host"]), str(body["machine"]), int(body["pid"]), str(body["started"])
            ),
            token=str(body["token"]),
            taken=_seconds(body["taken"]),
            renewed=_seconds(body["renewed"]),
            expires=_seconds(body["expires"]),
            released=bool(body["released"]),
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """How a lease is kept. `strong`: the server obeys conditions (a probed capability)."""

    name: str
    strong: bool
    ttl_s: float = TTL_SECONDS
    settle_s: float = SETTLE_SECONDS


class Lease:
    """A lease that is held. Made by `hold`."""

    def __init__(
        self, store: Store, bucket: str, terms: Terms, claim: Claim, written: Written
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._terms = terms
        self.claim = claim
        self._etag = written.etag
        self._version_id = written.version_id
        self.lost = asyncio.Event()

    @property
    def strong(self) -> bool:
        """Whether the server itself kept a second holder out."""
        return self._terms.strong

    @property
    def site(self) -> str:
        """Where the lease is kept."""
        return self._store.site

    def require(self) -> None:
        """`Refused` once the lease is lost: call it before anything that cannot be undone."""
        if self.lost.is_set():
            raise Refused(f"The lease {self._terms.name} is lost.", hint=_AGAIN)

    async def renew(self, now: float) -> None:
        """Write later times. `Precondition` when the document is not ours any more."""
        await self._write(replace(self.claim, renewed=now, expires=now + self._terms.ttl_s))

    async def release(self, now: float) -> None:
        """Mark the lease as free."""
        await self._write(replace(self.claim, renewed=now, expires=now, released=True))

    async def _write(self, claim: Claim) -> None:
        """Replace our own document, and purge the version before it: renewals leave no trail."""
        previous, written = await self._put(claim)
        self.claim, self._etag, self._version_id = claim, written.etag, written.version_id
        if previous and previous != written.version_id:
            await self._store.delete(self._bucket, self._document, previous)

    async def _put(self, claim: Claim) -> tuple[str, Written]:
        """(version id that was replaced, what was written). `Precondition` when not ours."""
        for _ in range(PUTS_MAX):
            await self._adopt_if_unsure()
            body, etag = claim.to_json(), self._etag if self._terms.strong else ""
            previous, self._etag = self._version_id, ""  # unsure until the answer is here
            with contextlib.suppress(Precondition):  # ours, by a lost answer? look again
                return previous, await write_document(
                    self._store, self._bucket, self._document, body, if_etag=etag
                )
        raise Precondition(f"The lease {self._terms.name} is written by somebody else, too.")

    async def _adopt_if_unsure(self) -> None:
        """Read first where we do not know what stands there, or the server will not check."""
        if self._terms.strong and self._etag:
            return
        document = await read_document(self._store, self._bucket, self._document)
        if document is None or document.body.get("token") != self.claim.token:
            raise Precondition(f"The lease {self._terms.name} is held by somebody else.")
        self._etag, self._version_id = document.etag, document.version_id

    @property
    def _document(self) -> str:
        return document_name(self._terms.name)


GIVE_BACK_SECONDS_MAX = 1.5
"""How long the end of a run waits for a site that has fallen silent."""

_AGAIN = "Nothing is lost: run the command again; it goes on where it stopped."


@contextlib.asynccontextmanager
async def hold(
    store: Store,
    bucket: str,
    name: str,
    *,
    capabilities: Capabilities,
    clock: Clock,
    machine: Machine | None = None,
    sleep: Sleep = asyncio.sleep,
    ttl_s: float = TTL_SECONDS,
    settle_s: float = SETTLE_SECONDS,
) -> AsyncIterator[Lease]:
    """Take the lease, keep it renewed while the body runs, and give it back.

    `Refused` when a live holder has it. When it is lost meanwhile, the body is cancelled
    and `Refused` is raised. `store` is the target's, as the replicator, with retries.
    """
    strong = obeys_conditions(capabilities)
    terms = Terms(name, strong, ttl_s, settle_s)
    offset = await store.server_time_offset()

    def now() -> float:
        return clock.now() + offset

    with _living() as token:
        lease = await take(store, bucket, terms, token, now, machine or LinuxMachine(), sleep)
        try:
            async with together() as group:
                keeper = group.create_task(_keep(lease, terms, now, sleep))
                yield lease
                keeper.cancel()
        finally:
            if not lease.lost.is_set():
                await _give_back(lease, now())


@contextlib.contextmanager
def _living() -> Iterator[str]:
    """A new token, which counts as at work until the block has ended."""
    token = secrets.token_hex(16)
    _LIVING.add(token)
    try:
        yield token
    finally:
        _LIVING.discard(token)


def obeys_conditions(capabilities: Capabilities) -> bool:
    """Whether of two conditional PUTs of one document the server lets one through."""
    return capabilities.conditional_create and capabilities.conditional_replace


async def take(
    store: Store,
    bucket: str,
    terms: Terms,
    token: str,
    now: Callable[[], float],
    machine: Machine,
    sleep: Sleep,
) -> Lease:
    """Take the lease once, under this token. `Refused`: a live holder has it, or won the race.
    What was claimed and not taken in the end is given back."""
    began = now()
    document = await read_document(store, bucket, document_name(terms.name))
    if document is not None:
        _require_free(_claim(document, terms, store), terms, now(), machine)
    moment = now()
    process = machine.this_process()
    expires = moment + terms.ttl_s
    claim = Claim(process, token, moment, moment, expires)
    try:
        return await _taken(store, bucket, terms, claim, document, began, now, sleep)
    except BaseException:
        await _give_back(Lease(store, bucket, terms, claim, Written("", "")), now())
        raise


async def _taken(
    store: Store,
    bucket: str,
    terms: Terms,
    claim: Claim,
    document: Document | None,
    began: float,
    now: Callable[[], float],
    sleep: Sleep,
) -> Lease:
    """Claim it, in place of `document`. `began`: before that was read."""
    written = await _claim_it(store, bucket, terms, claim, document)
    if not terms.strong:
        _require_quick(now() - began, terms)
        await sleep(terms.settle_s)
    if not terms.strong or not written.etag:
        written = await _read_back(store, bucket, terms, claim)
    lease = Lease(store, bucket, terms, claim, written)
    if document is not None and document.version_id not in ("", written.version_id):
        await store.delete(bucket, document_name(terms.name), document.version_id)
    return lease


def _require_quick(seconds: float, terms: Terms) -> None:
    """`Refused` when somebody else may have looked, claimed and waited to the end meanwhile."""
    if seconds > terms.settle_s:
        raise Refused(
            f"Taking the lease {terms.name} took {seconds:.1f} s, more than {terms.settle_s:g} s: "
            "on a server that ignores conditions another may have it by then.",
            hint=_AGAIN,
        )


async def _claim_it(
    store: Store, bucket: str, terms: Terms, claim: Claim, document: Document | None
) -> Written:
    name = document_name(terms.name)
    absent = terms.strong and document is None
    if_etag = document.etag if terms.strong and document else ""
    body = claim.to_json()
    try:
        return await write_document(store, bucket, name, body, absent=absent, if_etag=if_etag)
    except Precondition:
        # A retried PUT may have met our own first one: only the document knows.
        return await _read_back(store, bucket, terms, claim)


async def _read_back(store: Store, bucket: str, terms: Terms, claim: Claim) -> Written:
    document = await read_document(store, bucket, document_name(terms.name))
    if document is not None and document.body.get("token") == claim.token:
        return Written(document.version_id, document.etag)
    if document is None:
        raise Refused(f"The lease {terms.name} went away while it was taken.", hint=_AGAIN)
    raise _held(_claim(document, terms, store), terms)


def _require_free(claim: Claim, terms: Terms, now: float, machine: Machine) -> None:
    if not _is_free(claim, now, machine):
        raise _held(claim, terms)


def _is_free(claim: Claim, now: float, machine: Machine) -> bool:
    if claim.released or now >= claim.expires or machine.is_gone(claim.process):
        return True
    ours = bool(claim.process.started) and claim.process == machine.this_process()
    return ours and claim.token not in _LIVING


async def holder(
    store: Store, bucket: str, name: str, *, clock: Clock, machine: Machine | None = None
) -> Process | None:
    """Who holds the lease now; None: nobody. Raises what reading a document raises."""
    document = await read_document(store, bucket, document_name(name))
    if document is None:
        return None
    claim = _claim(document, Terms(name, strong=False), store)
    now = clock.now() + await store.server_time_offset()
    return None if _is_free(claim, now, machine or LinuxMachine()) else claim.process


def _held(claim: Claim, terms: Terms) -> Refused:
    holder = claim.process
    return Refused(
        f"Another farshore works on this pair: process {holder.pid} on {holder.host}, since "
        f"{_text(claim.taken)}; its lease {terms.name} is good until {_text(claim.expires)}.",
        hint=f"Let it end, or stop process {holder.pid} on {holder.host}: on that machine you can "
        "then start at once, elsewhere when the lease has expired.",
    )


async def _keep(lease: Lease, terms: Terms, now: Callable[[], float], sleep: Sleep) -> None:
    """Renew for ever; `Refused` as soon as the lease is not ours, or may soon not be."""
    last_call = terms.ttl_s * (1 - MARGIN_SHARE)
    while True:
        await sleep(terms.ttl_s / RENEWALS_PER_TTL)
        try:
            left = lease.claim.renewed + last_call - now()
            async with asyncio.timeout(max(left, 0.0)):
                await lease.renew(now())
        except Precondition as error:
            lease.lost.set()
            raise Refused(f"The lease {terms.name} was taken over.", hint=_AGAIN) from error
        except (StoreError, TimeoutError) as error:
            if now() < lease.claim.renewed + last_call:
                continue  # not renewed yet, and still ours: the next round tries again
            lease.lost.set()
            raise _not_renewed(lease, terms, error) from error


def _not_renewed(lease: Lease, terms: Terms, error: Exception) -> Refused:
    why = str(error).rstrip(".") or "no answer in time"
    return Refused(
        f"The lease {terms.name} could not be renewed: {why}. Without it another run may start, "
        "so this one has stopped.",
        hint=f"See whether {lease.site} can be reached. {_AGAIN}",
    )


async def _give_back(lease: Lease, now: float) -> None:
    try:
        async with asyncio.timeout(GIVE_BACK_SECONDS_MAX):
            await lease.release(now)
    except (StoreError, TimeoutError):
        # The work is done and its own result counts. A lease that stays behind is free
        # at once for this machine, and for others when it expires.
        return


def _claim(document: Document, terms: Terms, store: Store) -> Claim:
    try:
        return Claim.from_json(document.body)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise Corrupt(
            f"The lease {document_name(terms.name)} at {store.site} cannot be understood.",
            hint="If no other run is at work, purge that object from the control bucket.",
        ) from None


def document_name(name: str) -> str:
    """The lease's key in the control bucket."""
    return f"leases/{name}"


def _text(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
