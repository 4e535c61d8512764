"""An HTTP/1.1 client for one origin: pooled connections, bounded memory, no retries.

The one exception to "no retries": a GET or HEAD on a reused connection that closes
before any byte of an answer is sent again once, on a fresh connection. Servers close
idle connections at any time, and such a request has had no effect.

Never sent: `Expect`, `Accept-Encoding`, chunked bodies. A body always goes with its
Content-Length, and bytes are passed on as they are.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from farshore.errors import (
    BadRequest,
    Corrupt,
    OutcomeUnknown,
    ServerFault,
    StoreError,
    Unreachable,
)
from farshore.s3.blocks import Blocks
from farshore.s3.connection import Connection
from farshore.s3.framing import UNKNOWN_LENGTH
from farshore.s3.store import Body, Chunk, Stream

REUSE_WITHIN_S = 4.0
"""A connection that was idle for longer is not used again.

Servers and balancers close idle connections after 5 s or more. A write that meets such
a closing connection has an unknown outcome, which costs the caller a look; a new
connection costs less.
"""

ADDRESSES_MAX = 4
"""How many addresses of a name are tried."""

READING = frozenset({"GET", "HEAD"})
"""Methods that change nothing, so that sending them again is safe."""

PORTS = {"http": 80, "https": 443}


def tls(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies certificate and name, by `ca_file` (PEM) or the system's CAs.

    `Unreachable` when the file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise _final(
            f"the CA file {ca_file} cannot be used: {error.strerror or type(error).__name__}",
            "give the path of a PEM file with the certificate of the authority",
        ) from None


class HttpPool:
    """Connections to one host and port, the one used last taken first.

    At most `connections_max` are open; a request beyond that waits for its turn. A
    connection on which nothing moves for `idle_timeout_s` is given up. An answer's body
    is held back in the socket when `body_buffer` bytes of it have not been read.

    `ssl_context` may be a function, which is asked for every connection. `server_name` is whom
    the certificate must be for, where that is not `host`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None,
        *,
        server_name: str = "",
        connections_max: int = 256,
        connect_timeout_s: float = 5.0,
        idle_timeout_s: float = 30.0,
        body_buffer: int = 1024 * 1024,
    ) -> None:
        self.host = host
        self.port = port
        self.authority = _authority(host, port, "http" if ssl_context is None else "https")
        self._ssl = ssl_context
        self._server_name = server_name or host
        self._connections_max = connections_max
        self._connect_timeout_s = connect_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._body_buffer = body_buffer
        self._blocks = Blocks()
        self._slots = 0  # connections open or being opened
        self._live: set[Connection] = set()
        self._idle: list[Connection] = []
        self._turns: deque[asyncio.Future[Connection | None]] = deque()
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        target: bytes,
        headers: Sequence[tuple[str, str]],
        body: Body,
        *,
        action: str = "",
    ) -> HttpAnswer:
        """Send a request; answers when the head of the answer is here.

        Use the answer as an async context, so that its connection is always given back
        or dropped. `target` is sent as it is. `headers` have
        lower-case names; content-length is added, and host where it is not there.
        `action` names the request in errors.

        `Unreachable`: no connection, or a reading request without an answer.
        `OutcomeUnknown`: a writing request without an answer. `ServerFault`: an answer
        that is not HTTP. `Corrupt`: the body's stream is shorter or longer than it said.
        """
        head = self._head(method, target, headers, body)
        action = action or f"{method} {self.authority}"
        for fresh in (False, True):
            connection = await self._take(fresh, action)
            reused = connection.requests > 0
            try:
                framing = await connection.exchange(head, body, bodyless=method == "HEAD")
            except BaseException:
                self._drop(connection)
                raise
            if framing.head_done:
                break
            self._drop(connection)
            stale = reused and not framing.started and not connection.timed_out
            if not (stale and method in READING and body == b""):
                raise _no_answer(connection, method, action)
        return HttpAnswer(self, connection, method, action)

    def give_back(self, connection: Connection) -> None:
        """Take a connection back; one that cannot carry another request is closed."""
        if self._closed or not connection.usable:
            self._drop(connection)
            return
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)

    async def aclose(self) -> None:
        """Close every connection, those in use too, and refuse further requests."""
        self._closed = True
        for turn in self._turns:
            if not turn.done():
                turn.set_exception(self._is_closed())
        self._turns.clear()
        for connection in list(self._live):
            connection.abort()
        if self._live:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    async def _take(self, fresh: bool, action: str) -> Connection:
        """A connection to use: the one idle for the shortest time, or a new one.

        `fresh` closes all idle ones: where one was stale, its neighbours are as old.
        """
        if self._closed:
            raise self._is_closed()
        while self._idle:
            connection = self._idle.pop()
            age = asyncio.get_running_loop().time() - connection.idle_since
            if not fresh and age <= REUSE_WITHIN_S and connection.usable:
                return connection
            self._drop(connection)
        if self._slots < self._connections_max:
            self._slots += 1
        else:
            given = await self._turn()
            if given is not None and given.usable and not fresh:
                return given
            if given is not None:
                given.abort()  # its slot is ours now
        return await self._open(action)

    async def _turn(self) -> Connection | None:
        """Wait for a connection (in use before), or for leave to open one (None)."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on(turn.result())
            raise

    def _pass_on(self, given: Connection | None) -> None:
        if given is None:
            self._free_slot()
        else:
            self.give_back(given)

    async def _open(self, action: str) -> Connection:
        """A new connection. The caller has a slot for it."""
        try:
            connection = await self._connect(action)
        except BaseException:
            self._free_slot()
            raise
        if self._closed:
            self._drop(connection)
            raise self._is_closed()
        self._live.add(connection)
        return connection

    async def _connect(self, action: str) -> Connection:
        """Try the host's addresses in turn; all of them together get `connect_timeout_s`.

        Not asyncio's own race of addresses: it loses a socket when it is cancelled at the
        moment of connecting (Python 3.11).
        """
        failure = OSError()
        try:
            addresses = await self._addresses()
            for address in addresses:
                try:
                    async with asyncio.timeout(self._connect_timeout_s / len(addresses)):
                        return await self._connect_to(address)
                except OSError as error:  # a timeout is one
                    failure = error
        except OSError as error:
            failure = error
        except UnicodeError:
            raise _final(f"{action}: {self.host!r} is not a host name", "", action) from None
        raise self._no_connection(failure, action)

    async def _addresses(self) -> list[str]:
        if _is_address(self.host):
            return [self.host]
        async with asyncio.timeout(self._connect_timeout_s):
            found = await asyncio.get_running_loop().getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM
            )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES_MAX]

    async def _connect_to(self, address: str) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            self._protocol,
            address,
            self.port,
            ssl=self._ssl() if callable(self._ssl) else self._ssl,
            server_hostname=self._server_name if self._ssl else None,
        )
        return connection

    def _protocol(self) -> Connection:
        return Connection(
            idle_timeout_s=self._idle_timeout_s,
            body_buffer=self._body_buffer,
            on_lost=self._on_lost,
            blocks=self._blocks,
        )

    def _on_lost(self, connection: Connection) -> None:
        self._live.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
            self._free_slot()
        if not self._live and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _drop(self, connection: Connection) -> None:
        connection.abort()
        self._free_slot()

    def _free_slot(self) -> None:
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)  # the slot goes on to the next in line
                return
        self._slots -= 1

    def _head(
        self, method: str, target: bytes, headers: Sequence[tuple[str, str]], body: Body
    ) -> bytes:
        length = body.length if isinstance(body, Stream) else len(body)
        lines = [f"{method} {target.decode('latin-1')} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers]
        if "host" not in dict(headers):
            lines.append(f"host: {self.authority}")
        if length or method not in READING:
            lines.append(f"content-length: {length}")
        text = "\r\n".join(lines)
        breaks = len(lines) - 1
        if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
            raise BadRequest(f"{method}: a header contains a line break or a zero byte")
        try:
            return f"{text}\r\n\r\n".encode("latin-1")
        except UnicodeEncodeError:
            raise BadRequest(f"{method}: a header has characters that HTTP cannot carry") from None

    def _is_closed(self) -> StoreError:
        return Unreachable(f"the connections to {self.authority} have been closed by us")

    def _no_connection(self, error: OSError, action: str) -> StoreError:
        where = f"{action}: no connection to {self.authority}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return _final(
                f"{where}: its certificate is not trusted ({error.verify_message})",
                "check the endpoint's host name, and ca_file when the site has its own CA",
                action,
            )
        if isinstance(error, ssl.SSLError):
            return _final(
                f"{where}: TLS failed ({error.reason or type(error).__name__})",
                "check that the endpoint speaks https on this port, and not http",
                action,
            )
        if isinstance(error, TimeoutError):
            why = f"no answer within {self._connect_timeout_s:g} s"
        else:
            why = _cause(error)
        hint = "check the endpoint, and that the site is up and can be reached from here"
        return Unreachable(f"{where}: {why}", hint=hint, action=action)


class HttpAnswer:
    """An answer whose head is here; the body comes as it is read.

    `headers` have lower-case names and latin-1 values. `length` is the body's length
    where the server told it, else -1.
    """

    __slots__ = ("_action", "_connection", "_framing", "_method", "_pool", "headers", "status")

    def __init__(self, pool: HttpPool, connection: Connection, method: str, action: str) -> None:
        framing = connection.framing
        assert framing is not None, "no request was made"
        self._pool: HttpPool | None = pool
        self._connection = connection
        self._framing = framing
        self._method = method
        self._action = action
        self.status = framing.status
        self.headers = framing.headers

    @property
    def length(self) -> int:
        return self._framing.length

    async def read(self, limit: int) -> bytes:
        """The whole body; `ServerFault` when it is longer than `limit` bytes."""
        parts: list[Chunk] = []
        while True:
            if self._framing.received > limit:
                raise ServerFault(
                    f"{self._action}: the answer is longer than {limit} bytes",
                    status=self.status,
                    action=self._action,
                )
            chunk = await self._next()
            if not chunk:
                return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
            parts.append(chunk)

    def chunks(self) -> AsyncIterator[Chunk]:
        """The body as it comes. The socket is paused while nobody reads."""
        return _Chunks(self)

    async def aclose(self) -> None:
        """Give the connection back, or drop it when the answer was not read to its end."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give_back(self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _next(self) -> Chunk:
        """Body bytes; b"" at the end of a complete answer."""
        if self._pool is None:
            raise Corrupt(f"{self._action}: the answer was closed before it was read")
        chunk = await self._connection.more()
        if not chunk and not self._framing.complete:
            raise _cut_short(self._connection, self._method, self._action)
        return chunk


class _Chunks:
    """An iterator, not a generator: one that is left half-way needs no clean-up."""

    __slots__ = ("_answer",)

    def __init__(self, answer: HttpAnswer) -> None:
        self._answer = answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self._answer._next()
        if not chunk:
            raise StopAsyncIteration
        return chunk


def _authority(host: str, port: int, scheme: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == PORTS[scheme] else f"{name}:{port}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _cause(error: OSError) -> str:
    """The system's own words, without the address that asyncio adds."""
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved ({error.strerror})"
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _final(message: str, hint: str, action: str = "") -> Unreachable:
    """Unreachable in a way that trying again cannot mend."""
    error = Unreachable(message, hint=hint, action=action)
    error.retryable = False
    return error


def _no_answer(connection: Connection, method: str, action: str) -> StoreError:
    """What it means that a request was sent and no head came back."""
    if connection.malformed:
        return ServerFault(
            f"{action}: {connection.lost}",
            hint="check that the endpoint is an S3 server and not something else",
            action=action,
        )
    why = f"{action}: no answer: {connection.lost}"
    if method in READING:
        return Unreachable(why, action=action)
    hint = "it may have happened: look before trying again"
    return OutcomeUnknown(why, hint=hint, action=action)


def _cut_short(connection: Connection, method: str, action: str) -> StoreError:
    """What it means that the head of an answer came, and not all of its body."""
    framing = connection.framing
    assert framing is not None, "no request was made"
    total = "" if framing.length == UNKNOWN_LENGTH else f" of {framing.length}"
    why = f"{action}: the answer ended after {framing.received}{total} bytes: {connection.lost}"
    if connection.malformed:
        return ServerFault(why, status=framing.status, action=action)
    if method not in READING:
        return OutcomeUnknown(why, status=framing.status, action=action)
    if connection.timed_out:
        return Unreachable(why, status=framing.status, action=action)
    return Corrupt(why, status=framing.status, action=action)
