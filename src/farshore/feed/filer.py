"""The changes of a SeaweedFS, as its filer tells them: within milliseconds, resumable.

The filer keeps a log of every change of its entries; a subscription reads it from a
moment on and then waits for more. The feed's cursor is such a moment: everything up to it
has been settled. Observed on SeaweedFS 4.48:

- A subscription begins with `since_ns`, that moment included; no two changes of a filer
  have the same. It needs a client id and an epoch that rises, or the filer refuses it as
  doubled while it has not noticed that the old one is gone.
- While nothing happens the filer sends a sign of life every 5 s, if asked to. Where these
  stop, the line is cut.
- The newest minute of the log is in memory: changes of the last minute before a SIGKILL
  of the filer are not told again. The reconciling scan finds them.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from farshore.clock import Clock, SystemClock
from farshore.config import FilerTls
from farshore.control.seal import Seal, read
from farshore.errors import (
    ConfigError,
    Corrupt,
    Denied,
    StoreError,
    Unreachable,
    Unsupported,
    UsageError,
)
from farshore.feed.entry import BUCKETS, created_version, touched
from farshore.feed.filer_tls import Trouble, look
from farshore.feed.hint import Delivery, Hint, Listener, Nobody, Settles

if TYPE_CHECKING:
    from farshore.feed.filer_stream import FilerStream
    from farshore.feed.filer_wire import Change

FIRST_SECONDS = 30.0
"""Without a cursor, reading begins this long ago: the two machines' clocks may differ."""

CLOCK_AHEAD_SECONDS_MAX = 60.0
"""A cursor further ahead was made before somebody set a clock back; nothing would come."""

SILENCE_SECONDS_MAX = 15.0
"""A filer that gives signs of life, and then none for so long, is not reachable."""

RECEIVED_MAX = 10_000
"""Changes that were received and not yet delivered; then the filer has to wait."""

DELIVERY_HINTS_MAX = 500
"""One delivery takes every hint that waits, up to so many."""

UNSETTLED_MAX = 10_000
"""Deliveries that are not settled; then no more are handed out."""

CURSOR_SECONDS_MIN = 0.5
"""The cursor is written at most so often, and once more at the end."""

EPOCH_MAX = 2**31 - 1

GetCursor = Callable[[str], str]
SetCursor = Callable[[str, str], Awaitable[None]]


class FilerFeed:
    """Hints of `buckets` at one site, of all of them where none is named. `address`: host:port
    of the filer's gRPC; with `tls` nothing is said there before both sides are verified, by
    the files as they are when a subscription begins.

    `get_cursor(name)` answers what `set_cursor(name, value)` kept last, "" for nothing.
    """

    settles: Settles = "applied"

    late_s = 0.0
    """A change is in the log before it is acknowledged: see docs/decisions/0017-in-flight.md."""

    def __init__(
        self,
        site: str,
        address: str,
        buckets: Collection[str],
        *,
        get_cursor: GetCursor,
        set_cursor: SetCursor,
        tls: FilerTls | None = None,
        clock: Clock | None = None,
        silence_seconds_max: float = SILENCE_SECONDS_MAX,
    ) -> None:
        self.name = f"filer {site}"
        self._site = site
        self._address = address
        self._tls = tls
        self._buckets = frozenset(buckets)
        self._clock = clock or SystemClock()
        self._cursor = _Cursor(self.name, get_cursor, set_cursor, self._clock)
        self._silence_seconds_max = silence_seconds_max
        self._client = random.SystemRandom().randrange(1, EPOCH_MAX)
        self._epoch = int(time.monotonic()) % (EPOCH_MAX // 2)
        self._inboxes: set[_Inbox] = set()
        self._listener: Listener = Nobody()

    def listen(self, listener: Listener) -> None:
        """A change that cannot be read ends the subscription: only answers are told."""
        self._listener = listener

    async def deliveries(self) -> AsyncGenerator[Delivery, None]:
        """`Unreachable` when the filer cannot be reached, ends the stream or falls silent;
        `Denied` and `Unsupported` when it does not serve us; `UsageError` without grpcio."""
        inbox = _Inbox(self._subscribe(self._since()))
        self._inboxes.add(inbox)
        ledger = _Ledger(self._cursor)
        try:
            while first := await inbox.take():
                self._listener.answered()  # by a sign of life, too
                hints, moment = self._gather(first, inbox)
                if hints:
                    yield await ledger.open(hints, moment)
                elif moment:
                    await ledger.pass_by(moment)
            raise self._unreachable("ended the subscription")
        finally:
            self._inboxes.discard(inbox)
            await inbox.aclose()
            await self._cursor.write()

    async def aclose(self) -> None:
        """End the subscription, and write the cursor where it is."""
        for inbox in list(self._inboxes):
            await inbox.aclose()
        await self._cursor.write()

    # -- reading ----------------------------------------------------------------------

    def _since(self) -> int:
        """The first moment that is asked for. A cursor in the future is not believed."""
        now = self._clock.now()
        if 0 < self._cursor.moment < (now + CLOCK_AHEAD_SECONDS_MAX) * 1e9:
            return self._cursor.moment + 1
        return int((now - FIRST_SECONDS) * 1e9)

    def _gather(self, first: Change, inbox: _Inbox) -> tuple[list[Hint], int]:
        """What has been received: hints, and the moment up to which they reach."""
        hints: list[Hint] = []
        moment, one = 0, first
        while True:
            if not one.beat:
                hints += self._hints(one)
                moment = max(moment, one.moment)
            if inbox.is_empty or len(hints) >= DELIVERY_HINTS_MAX:
                return hints, moment
            one = inbox.take_nowait()

    def _hints(self, change: Change) -> list[Hint]:
        found = touched(change.directory, change.old, change.new, change.new_parent)
        at = max(change.moment, 0) / 1e9
        ours = self._buckets
        made = created_version(change.old, change.new)
        return [Hint(b, k, at, "", size, made) for b, k, size in found if not ours or b in ours]

    async def _subscribe(self, since_ns: int) -> AsyncGenerator[Change, None]:
        lib = _libraries()
        seal = await self._seal()
        self._epoch += 1
        asked = lib.wire.request(self._client, self._epoch, self._prefix(), since_ns)
        stream = lib.stream.FilerStream(self._address, lib.wire.METHOD, asked, seal=seal)
        gives_signs = has_begun = False
        try:
            while responses := await self._receive(stream, gives_signs):
                has_begun = True
                for response in responses:
                    for change in lib.wire.changes(response):
                        gives_signs = gives_signs or change.beat
                        yield change
        except lib.grpc.RpcError as error:
            code = error.code()
            if not has_begun and code is lib.grpc.StatusCode.UNAVAILABLE:
                await self._look(seal)
            raise self._refusal(code) from error
        finally:
            await stream.aclose()

    async def _receive(self, stream: FilerStream, gives_signs: bool) -> list[bytes]:
        try:
            return await stream.take(self._silence_seconds_max if gives_signs else None)
        except TimeoutError:
            raise self._unreachable("has fallen silent") from None

    async def _seal(self) -> Seal | None:
        """`Denied` where a file cannot be used now: a daemon goes on, and reads it again."""
        if self._tls is None:
            return None
        try:
            return await asyncio.to_thread(read, self._tls, self._site)
        except ConfigError as error:
            raise Denied(error.message, hint=error.hint, action=self._action) from None

    async def _look(self, seal: Seal | None) -> None:
        """Raises what a handshake finds wrong; nothing else tells it from a filer that is down."""
        found: Trouble | None = await look(self._address, seal, self._site)
        if found is not None:
            kind = Denied if found.refused else Unreachable
            message = f"The {self.name} at {self._address} {found.what}."
            raise kind(message, hint=found.hint, action=self._action)

    @property
    def _action(self) -> str:
        return f"subscribe to {self.name}"

    def _prefix(self) -> str:
        (only, *others) = self._buckets or ("",)
        return BUCKETS if others or not only else f"{BUCKETS}{only}/"

    def _refusal(self, code: Any) -> StoreError:
        kind = {
            "UNAUTHENTICATED": Denied,
            "PERMISSION_DENIED": Denied,
            "UNIMPLEMENTED": Unsupported,
            "RESOURCE_EXHAUSTED": Corrupt,
        }.get(code.name, Unreachable)
        if kind is Unreachable:
            return self._unreachable(f"is lost ({code.name})")
        return kind(
            f"The {self.name} at {self._address} refuses the subscription: {code.name}.",
            hint="`filer_grpc` must be the gRPC port of a SeaweedFS filer.",
            action=self._action,
        )

    def _unreachable(self, what: str) -> Unreachable:
        return Unreachable(
            f"The {self.name} at {self._address} {what}.",
            hint="Changes are found by the scan until it is back.",
            action=self._action,
        )


class _Libraries(NamedTuple):
    """grpc, and what of ours needs it."""

    grpc: Any
    wire: Any
    stream: Any


def _libraries() -> _Libraries:
    """They are an extra, and slow to import.

    Unless somebody wants to see them, grpc's own remarks about every server that goes away,
    or that is not trusted, stay out of our output; it reads this setting while it is imported.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import grpc

        from farshore.feed import filer_stream, filer_wire
    except ImportError as error:
        raise UsageError(
            f"The filer feed needs a package that is not installed: {error.name}.",
            hint="Install it with: pip install 'farshore[seaweedfs]'",
        ) from error
    return _Libraries(grpc, filer_wire, filer_stream)


class _Inbox:
    """Receives ahead of who takes, so that what came together is delivered together."""

    def __init__(self, changes: AsyncGenerator[Change, None]) -> None:
        self._received: deque[Change] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._reader = asyncio.create_task(self._read(changes))
        self._reader.add_done_callback(lambda _: self._news.set())

    @property
    def is_empty(self) -> bool:
        return not self._received

    def take_nowait(self) -> Change:
        self._room.set()
        return self._received.popleft()

    async def take(self) -> Change | None:
        """The next one; None, or the error, once there will be none."""
        while not self._received:
            if self._reader.done():
                return None if self._reader.cancelled() else self._reader.result()
            self._news.clear()
            await self._news.wait()
        return self.take_nowait()

    async def aclose(self) -> None:
        """Stop receiving. What was received and not taken is forgotten, an error with it."""
        self._reader.cancel()
        await asyncio.wait({self._reader})
        if not self._reader.cancelled():
            self._reader.exception()

    async def _read(self, changes: AsyncGenerator[Change, None]) -> None:
        async with aclosing(changes):
            async for change in changes:
                self._received.append(change)
                self._news.set()
                while len(self._received) >= RECEIVED_MAX:
                    self._room.clear()
                    await self._room.wait()


class _Cursor:
    """The moment up to which everything is settled, and how it is kept. Never goes back."""

    def __init__(self, name: str, get: GetCursor, keep: SetCursor, clock: Clock) -> None:
        kept = get(name)
        self.moment = int(kept) if kept.isdecimal() else 0
        self._name = name
        self._keep = keep
        self._clock = clock
        self._written = self.moment
        self._written_at = clock.monotonic()

    async def advance(self, moment: int) -> None:
        self.moment = max(self.moment, moment)
        if self._clock.monotonic() - self._written_at >= CURSOR_SECONDS_MIN:
            await self.write()

    async def write(self) -> None:
        if self.moment > self._written:
            self._written, self._written_at = self.moment, self._clock.monotonic()
            await self._keep(self._name, str(self.moment))


class _Ledger:
    """The deliveries of one subscription, oldest first, and which of them are settled."""

    def __init__(self, cursor: _Cursor) -> None:
        self._cursor = cursor
        self._open: deque[_Batch] = deque()
        self._room = asyncio.Event()

    async def open(self, hints: list[Hint], moment: int) -> Delivery:
        """A new delivery, once there is room for it."""
        while len(self._open) >= UNSETTLED_MAX:
            self._room.clear()
            await self._room.wait()
        batch = _Batch(self, tuple(hints), moment)
        self._open.append(batch)
        return batch

    async def pass_by(self, moment: int) -> None:
        """Nothing of ours happened up to `moment`."""
        if self._open:
            self._open[-1].moment = moment
        else:
            await self._cursor.advance(moment)

    async def settled(self) -> None:
        """Move the cursor over what is settled without a gap."""
        moment = 0
        while self._open and self._open[0].is_settled:
            moment = self._open.popleft().moment
        self._room.set()
        if moment:
            await self._cursor.advance(moment)


class _Batch:
    """A delivery."""

    def __init__(self, ledger: _Ledger, hints: tuple[Hint, ...], moment: int) -> None:
        self.hints = hints
        self.moment = moment
        self.is_settled = False
        self._ledger = ledger

    async def settle(self) -> None:
        if not self.is_settled:
            self.is_settled = True
            await self._ledger.settled()
