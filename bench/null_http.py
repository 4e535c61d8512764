"""HTTP/1.1 as cheap as Python allows: one thread, epoll, no framework.

Bodies above `COLLECT_LIMIT` are thrown away inside the kernel (`MSG_TRUNC`), and bulk
answers leave by `sendfile` from a few MiB that stay in the processor's cache, so that the
server takes little of the cores that it shares with the client under measurement.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import NamedTuple

COLLECT_LIMIT = 64 * 1024
"""Bodies up to this many bytes are handed to the answerer; longer ones are only counted."""
HEAD_LIMIT = 64 * 1024
RECV_BYTES = 128 * 1024
DRAIN_BYTES = 8 * 1024 * 1024
BACKLOG = 512

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SCRATCH = bytearray(DRAIN_BYTES)  # never written to: MSG_TRUNC copies nothing
_REASONS = {200: b"OK", 204: b"No Content", 206: b"Partial Content", 404: b"Not Found"}


class Request(NamedTuple):
    """`head` is everything before the blank line; `body` is b"" when it was not collected.

    `length` is the Content-Length, whether the body was collected or not.
    """

    method: bytes
    path: bytes
    query: bytes
    head: bytes
    length: int
    body: bytes

    def headers(self) -> dict[bytes, bytes]:
        """All headers, lower-case names. Parsed anew at each call."""
        found = {}
        for line in self.head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            found[name.lower()] = value.strip()
        return found


class Answer(NamedTuple):
    """`headers` are whole lines, each ended by CRLF. `bulk` is (first, count) of the bulk file.

    `length` is announced when it is not that of the body (an answer to HEAD).
    """

    status: int
    headers: bytes = b""
    body: bytes = b""
    bulk: tuple[int, int] | None = None
    length: int | None = None


Answerer = Callable[[Request], Answer]


class Clock:
    """The Date header line, made anew once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        """`Date: …` with its CRLF."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._line


class Connection:
    """One client socket: at most one request is read or answered at any time."""

    __slots__ = (
        "answerer",
        "bulk_at",
        "bulk_left",
        "collecting",
        "head",
        "input",
        "need",
        "out",
        "sock",
    )

    def __init__(self, sock: socket.socket, answerer: Answerer) -> None:
        self.sock = sock
        self.answerer = answerer
        self.input = b""
        self.head = b""
        self.need = 0
        self.collecting = True
        self.out = b""
        self.bulk_at = 0
        self.bulk_left = 0


class Server:
    """Listeners and their connections over one epoll; `serve` returns at `stop`'s event."""

    def __init__(self, bulk_file: int) -> None:
        """`bulk_file`: a descriptor of bytes that are sent over and over."""
        self._epoll = select.epoll()
        self._bulk_file = bulk_file
        self._bulk_bytes = os.fstat(bulk_file).st_size
        self._clock = Clock()
        self._listeners: dict[int, tuple[socket.socket, Answerer]] = {}
        self._connections: dict[int, Connection] = {}

    def listen(self, answerer: Answerer) -> int:
        """Open a listener on a free loopback port and return the port."""
        sock = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        sock.setblocking(False)
        self._listeners[sock.fileno()] = (sock, answerer)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        port: int = sock.getsockname()[1]
        return port

    def serve(self) -> None:
        """Answer until the process is ended."""
        connections = self._connections
        while True:
            for fd, event in self._epoll.poll():
                connection = connections.get(fd)
                if connection is None:
                    self._accept(*self._listeners[fd])
                    continue
                try:
                    if event & select.EPOLLOUT:
                        self._send(connection)
                    else:
                        self._receive(connection)
                except ConnectionError:
                    self._close(connection)

    def _accept(self, listener: socket.socket, answerer: Answerer) -> None:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[sock.fileno()] = Connection(sock, answerer)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.sock.fileno()]
        connection.sock.close()

    def _receive(self, c: Connection) -> None:
        if c.head and not c.collecting:
            c.need -= c.sock.recv_into(_SCRATCH, min(c.need, DRAIN_BYTES), socket.MSG_TRUNC)
        else:
            data = c.sock.recv(RECV_BYTES)
            if not data:
                self._close(c)
                return
            c.input = c.input + data if c.input else data
            if not c.head and not self._read_head(c):
                return
            if not c.collecting:
                self._drop_input(c)
        if c.collecting:
            if len(c.input) >= c.need:
                self._answer(c)
        elif c.need == 0:
            self._answer(c)

    def _read_head(self, c: Connection) -> bool:
        """Split the head off the input; False while it is not all there."""
        end = c.input.find(b"\r\n\r\n")
        if end < 0:
            if len(c.input) > HEAD_LIMIT:
                raise ConnectionError("a request's head is too long")
            return False
        c.head, c.input = c.input[:end], c.input[end + 4 :]
        c.need = content_length(c.head)
        c.collecting = c.need <= COLLECT_LIMIT
        if c.need > len(c.input) and b"100-continue" in c.head:
            c.sock.send(CONTINUE)
        return True

    def _drop_input(self, c: Connection) -> None:
        c.need -= len(c.input)
        c.input = b""

    def _answer(self, c: Connection) -> None:
        head, body = c.head, b""
        length = content_length(head)
        if c.collecting and c.need:
            body, c.input = c.input[: c.need], c.input[c.need :]
        c.head = b""
        c.collecting = True
        method, target, _ = head.split(b" ", 2)
        path, _, query = target.partition(b"?")
        answer = c.answerer(Request(method, path, query, head, length, body))
        c.out = self._encode(answer)
        if answer.bulk:
            c.bulk_at, c.bulk_left = answer.bulk
        self._send(c, first=True)

    def _encode(self, answer: Answer) -> bytes:
        count = answer.length
        if count is None:
            count = answer.bulk[1] if answer.bulk else len(answer.body)
        return b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n%b\r\n%b" % (
            answer.status,
            _REASONS.get(answer.status, b"Answer"),
            self._clock.line(),
            count,
            answer.headers,
            answer.body,
        )

    def _send(self, c: Connection, *, first: bool = False) -> None:
        """Send what the socket takes; come back by EPOLLOUT for the rest."""
        try:
            if c.out:
                sent = c.sock.send(c.out)
                c.out = c.out[sent:] if sent < len(c.out) else b""
            if c.bulk_left and not c.out:
                at = c.bulk_at % self._bulk_bytes
                count = min(c.bulk_left, self._bulk_bytes - at)
                sent = os.sendfile(c.sock.fileno(), self._bulk_file, at, count)
                c.bulk_at += sent
                c.bulk_left -= sent
        except BlockingIOError:
            pass
        waiting = bool(c.out or c.bulk_left)
        if waiting == first:
            event = select.EPOLLOUT if waiting else select.EPOLLIN
            self._epoll.modify(c.sock.fileno(), event)


def content_length(head: bytes) -> int:
    """The request's Content-Length; 0 when there is none."""
    at = head.find(b"Content-Length:")
    if at < 0:
        at = head.find(b"content-length:")
        if at < 0:
            return 0
    end = head.find(b"\r\n", at)
    return int(head[at + 15 : end if end >= 0 else len(head)])
