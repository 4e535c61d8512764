"""One socket that carries one request at a time.

At most one task uses a connection, so one future is enough to wait on: for the head,
for body bytes, or for room to write. One timer per connection, re-armed only when it
fires, watches for silence; a timeout per request would cost more than the request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from farshore.errors import Corrupt
from farshore.s3.blocks import BLOCK_BYTES, Blocks
from farshore.s3.framing import Framing, Malformed
from farshore.s3.store import Body, Chunk, Stream

ONE_WRITE_BYTES_MAX = 64 * 1024
"""A body up to this size goes out in one write together with the head."""

WRITE_SLICE_BYTES = 256 * 1024
"""A larger body in memory is written in slices, so that an early answer stops it."""

BULK_BYTES_MIN = 4 * 1024 * 1024
"""With so much of a body still to come, it is read through blocks of memory used again."""

COPIED_BYTES_MAX = BLOCK_BYTES // 4
"""What came in one read and is smaller, is copied out of its block.

So bytes that wait for a reader hold at most four times as much memory as they are.
"""

ERROR_STATUS_MIN = 300
"""An answer from here up, before the body is out, means: stop sending."""


@runtime_checkable
class Closable(Protocol):
    """Chunks that want to be closed when they are not read to their end: a generator."""

    async def aclose(self) -> None: ...


class Connection(asyncio.Protocol):
    """A connected socket, its answer in progress, and why it broke if it did.

    `lost` is "" while the connection is up, and a reason afterwards. `malformed` is a
    reason when the server sent something that is not HTTP. `requests` counts the
    requests begun; `sent` is True when the present one has been written in full.

    It refers to nothing that refers to it once it is lost: bursts open and close hundreds, and
    those must be gone at once, not when the collector of cycles comes round.
    """

    def __init__(
        self,
        *,
        idle_timeout_s: float,
        body_buffer: int,
        on_lost: Callable[[Connection], None],
        blocks: Blocks,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_timeout_s = idle_timeout_s
        self._body_buffer = body_buffer
        self._on_lost = on_lost
        self._blocks = blocks
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._moved = 0.0
        self._unwritten = 0
        self._reading_paused = False
        self._writing_paused = False
        self.framing: Framing | None = None
        self.requests = 0
        self.sent = False
        self.idle_since = 0.0
        self.lost = ""
        self.malformed = ""
        self.timed_out = False

    # What the pool and the answer call.

    @property
    def usable(self) -> bool:
        """Still open, and nothing of an answer is left on it."""
        framing = self.framing
        done = framing is None or (framing.complete and framing.reusable and self.sent)
        return done and not self.lost and not self._out.is_closing()

    async def exchange(self, head: bytes, body: Body, *, bodyless: bool) -> Framing:
        """Send a request and wait for the head of its answer.

        Comes back without a head (`framing.head_done` is False) when the connection
        broke. Raises what the body's stream raises, and `Corrupt` when the stream is
        shorter or longer than it said; the request is then incomplete on the wire, so
        the server cannot act on it, and the connection must be dropped.
        """
        self.framing = framing = Framing(bodyless=bodyless)
        self.requests += 1
        self.sent = False
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle_timeout_s, self._tick)
        await self._send(head, body)
        while not framing.head_done and not self.lost:
            await self._wait()
        return framing

    async def more(self) -> Chunk:
        """Body bytes, at least one; b"" when the answer is complete or broken."""
        framing = self.framing
        assert framing is not None, "no request was made"
        while not framing.chunks and not framing.complete and not self.lost:
            await self._wait()
        chunk = framing.take()
        if self._reading_paused and framing.buffered <= self._body_buffer // 2:
            self._reading_paused = False
            self._out.resume_reading()
        return chunk

    def abort(self, reason: str = "it was closed by us") -> None:
        """Close at once; nothing that is still unwritten goes out."""
        self.lost = self.lost or reason
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    # Sending.

    async def _send(self, head: bytes, body: Body) -> None:
        if isinstance(body, Stream):
            self._out.write(head)
            await self._send_stream(body)
        elif len(body) <= ONE_WRITE_BYTES_MAX:
            self._out.write(head + body)
            self.sent = True
        else:
            self._out.write(head)
            await self._send_slices(memoryview(body))

    async def _send_slices(self, body: memoryview) -> None:
        for start in range(0, len(body), WRITE_SLICE_BYTES):
            if not await self._write(body[start : start + WRITE_SLICE_BYTES]):
                return
        self.sent = True

    async def _send_stream(self, body: Stream) -> None:
        """The last bytes wait until the stream has ended without an error.

        So a stream that finds its content wrong at the very end (a hash that differs,
        a byte too many) still keeps the request from becoming complete.
        """
        left = body.length
        last: Chunk = b""
        try:
            async for chunk in body.chunks:
                left -= len(chunk)
                if left < 0:
                    raise Corrupt(f"a body of {body.length} bytes yields more than that")
                if left == 0:
                    last = chunk or last
                elif not await self._write(memoryview(chunk)):
                    return
            if left:
                raise Corrupt(f"a body of {body.length} bytes ended {left} bytes early")
        finally:
            if isinstance(body.chunks, Closable):
                await body.chunks.aclose()
        self.sent = await self._write(memoryview(last))

    async def _write(self, data: memoryview) -> bool:
        """Write, and wait while the socket is full. False: stop sending."""
        if self._stopped:
            return False
        self._out.write(data)
        while self._writing_paused and not self._stopped:
            await self._wait()
        return not self._stopped

    @property
    def _stopped(self) -> bool:
        framing = self.framing
        refused = framing is not None and framing.status >= ERROR_STATUS_MIN
        return refused or bool(self.lost)

    # Waiting.

    @property
    def _out(self) -> asyncio.Transport:
        assert self._transport is not None, "used before it was connected"
        return self._transport

    async def _wait(self) -> None:
        """Until the network does something."""
        self._moved = self._loop.time()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _tick(self) -> None:
        """Silence is counted only while somebody waits for the network.

        A slow reader or a slow producer of the body is not the server's fault.
        """
        self._timer = None
        now = self._loop.time()
        if self.usable:
            self.abort("it was idle")
            return
        unwritten = self._out.get_write_buffer_size()
        if self._waiter is None or unwritten != self._unwritten:
            self._moved = now
        self._unwritten = unwritten
        remaining = self._moved + self._idle_timeout_s - now
        if remaining > 0:
            self._timer = self._loop.call_later(remaining, self._tick)
        else:
            self.timed_out = True
            framing = self.framing
            stuck = framing is not None and framing.started and not framing.head_done
            what = "its head was not complete after" if stuck else "no byte moved for"
            self.abort(f"{what} {self._idle_timeout_s:g} s")

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_protocol(_Reading(self, self._blocks))

    def data_received(self, data: Chunk) -> None:
        framing = self.framing
        if framing is None or framing.complete:
            self.abort("the server spoke before it was asked")
            return
        begun = framing.started
        try:
            framing.feed(data)
        except Malformed as error:
            self.malformed = str(error)
            self.abort(f"the answer is not readable HTTP: {error}")
            return
        if framing.head_done or not begun:  # a head that has begun comes whole, in that time
            self._moved = self._loop.time()
        if framing.buffered >= self._body_buffer and not self._reading_paused:
            self._reading_paused = True
            self._out.pause_reading()
        if framing.head_done:
            self._wake()

    @property
    def in_bulk(self) -> bool:
        """Much of a body is still to come."""
        return self.framing is not None and self.framing.left >= BULK_BYTES_MIN

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost and exc is not None:
            self.lost = f"the connection broke ({_kind(exc)})"
        elif not self.lost:
            self.lost = "the server closed the connection"
            if self.framing is not None:
                self.framing.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        self._on_lost(self)


class _Reading(asyncio.BufferedProtocol):
    """Reads in place of its connection; all else it passes on.

    Large bodies come through blocks, all else through the one buffer that its pool has for that,
    and is copied out of it. A plain protocol gets memory of its own for each read, 256 KiB,
    whatever comes: the heap, cut up by that, grew for hours.
    """

    def __init__(self, connection: Connection, blocks: Blocks) -> None:
        self._connection = connection
        self._blocks = blocks
        self._view = memoryview(b"")
        self._in_bulk = False

    def get_buffer(self, sizehint: int) -> memoryview:
        """A view and not the block: asyncio's TLS slices it, and a slice must be no copy."""
        self._in_bulk = self._connection.in_bulk
        self._view = memoryview(self._blocks.take() if self._in_bulk else self._blocks.common)
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        view, self._view = self._view[:nbytes], memoryview(b"")
        kept = self._in_bulk and nbytes >= COPIED_BYTES_MAX
        self._connection.data_received(view if kept else bytes(view))

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)


def _kind(error: Exception) -> str:
    """Of TLS, what was said of it: in TLS 1.3 a refusal of our certificate comes this way."""
    told = error.reason if isinstance(error, ssl.SSLError) else None
    return told or type(error).__name__
