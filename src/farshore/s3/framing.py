"""Where one HTTP/1.1 answer begins and ends in a stream of bytes. No sockets here.

Nearly every answer of a store is ordinary: a whole head in its first bytes, a
Content-Length, no name twice. One regular expression knows those, at a third of the price
of a callback for each header. All others, chunked bodies and whatever is odd, are read by
`httptools` (llhttp), which also says what is wrong with them. A body of known length is
counted here: once the head is through, its bytes go from the socket to the reader
without being copied.
"""

from __future__ import annotations

import re
from collections import deque

from httptools import HttpParserError, HttpResponseParser

from farshore.s3.store import Chunk

HEAD_BYTES_MAX = 64 * 1024
"""All header names and values of one answer. AWS sends at most about 10 KiB."""

SILENT_BYTES_MAX = 512 * 1024
"""Bytes that bring neither a head nor a body: interim answers, chunk sizes, trailers."""

SWITCHING_PROTOCOLS = 101
BODYLESS = frozenset({204, 304})

UNKNOWN_LENGTH = -1

LENGTH_DIGITS_MAX = 18
"""A Content-Length with more digits is left to the parser to refuse."""

_TEXT = rb"[\t\x20-\x7e\x80-\xff]*+"
_ordinary_head = re.compile(
    rb"HTTP/1\.1 ([2-9]\d\d)(?: " + _TEXT + rb")?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:" + _TEXT + rb"\r\n)++)\r\n"
).match
_NOT_ORDINARY = frozenset({"transfer-encoding", "upgrade"})
"""Headers that change where an answer ends."""


class Malformed(Exception):
    """The bytes are not an HTTP/1.1 answer that we can read. `args[0]` says why."""


class Framing:
    """The answer to one request, fed with what the socket gives.

    `headers` have lower-case names and latin-1 values; a repeated name is joined with
    ", ". `length` is the Content-Length or `UNKNOWN_LENGTH`. `chunks` holds body bytes
    that nobody has taken yet, `buffered` their sum. `reusable` is True when the
    connection can carry another request once the answer is `complete`.
    """

    __slots__ = (
        "_bodyless",
        "_head_left",
        "_interim",
        "_left",
        "_parser",
        "_silent",
        "_until_close",
        "buffered",
        "chunks",
        "complete",
        "head_done",
        "headers",
        "length",
        "received",
        "reusable",
        "started",
        "status",
    )

    def __init__(self, *, bodyless: bool) -> None:
        self._bodyless = bodyless
        self._parser: HttpResponseParser | None = None
        self._head_left = HEAD_BYTES_MAX
        self._interim = False
        self._left = 0
        self._silent = 0
        self._until_close = False
        self.started = False
        self.head_done = False
        self.complete = False
        self.reusable = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.length = UNKNOWN_LENGTH
        self.received = 0
        self.chunks: deque[Chunk] = deque()
        self.buffered = 0

    def feed(self, data: Chunk) -> None:
        """Bytes from the socket, in order. Raises `Malformed`."""
        if not self.started:
            self.started = True
            if self._read_ordinary(data):
                return
        if self.complete:
            self.reusable = False
        elif self._left:
            self._take_plain(data)
        else:
            self._parse(data)

    def end(self) -> None:
        """The server has closed. Completes an answer that has no length of its own."""
        self.reusable = False
        if self.head_done and self._until_close:
            self.complete = True

    def take(self) -> Chunk:
        """The oldest body bytes, or b"" when there are none yet."""
        if not self.chunks:
            return b""
        chunk = self.chunks.popleft()
        self.buffered -= len(chunk)
        return chunk

    @property
    def left(self) -> int:
        """Bytes that a body of known length still lacks."""
        return self._left

    def _read_ordinary(self, data: Chunk) -> bool:
        """Read a whole ordinary head and what follows it. False: nothing has been read."""
        head = _ordinary_head(data)
        if head is None or head.end() > HEAD_BYTES_MAX:
            return False
        headers = _fields(head[2])
        length = headers.get("content-length", "")
        if not length.isdecimal() or len(length) > LENGTH_DIGITS_MAX:
            return False
        self.status = int(head[1])
        self.headers = headers
        self._set_length(keeps_open="close" not in headers.get("connection", "").lower())
        self.head_done = True
        self.complete = self.complete or not self._left
        if len(data) > head.end():
            self.feed(data[head.end() :])
        return True

    def _take_plain(self, data: Chunk) -> None:
        if len(data) > self._left:
            data = data[: self._left]
            self.reusable = False
        self._left -= len(data)
        self._keep(data)
        if not self._left:
            self.complete = True

    def _keep(self, data: Chunk) -> None:
        self.chunks.append(data)
        self.buffered += len(data)
        self.received += len(data)
        self._silent = 0

    def _parse(self, data: Chunk) -> None:
        self._silent += len(data)
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if not self.complete:
                raise Malformed(_reason(error)) from None
            self.reusable = False
        if self.complete:
            self._parser = None  # it knows us: neither would be freed before the next collection
        elif self._silent > SILENT_BYTES_MAX:
            raise Malformed(f"{self._silent} bytes brought neither head nor body")

    # What the parser calls, in the order of the wire.

    def on_message_begin(self) -> None:
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_done:
            return  # a trailer of a chunked body: nothing of ours is carried there
        self._head_left -= len(name) + len(value)
        if self._head_left < 0:
            raise Malformed(f"its headers are longer than {HEAD_BYTES_MAX} bytes")
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        before = self.headers.get(key)
        self.headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        assert self._parser is not None, "the parser calls this"
        status: int = self._parser.get_status_code()
        if status == SWITCHING_PROTOCOLS:
            raise Malformed("it switches to another protocol")
        if 100 <= status < 200:
            self._interim = True
            self.headers = {}
            return
        self.status = status
        self._set_length(keeps_open=self._keeps_open(self._parser.get_http_version()))
        self.head_done = True

    def _set_length(self, *, keeps_open: bool) -> None:
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if coding is not None and coding.strip().lower() != "chunked":
            raise Malformed(f"its Transfer-Encoding is {coding!r}")
        if length is not None:
            self.length = int(length)
        if self._bodyless or self.status in BODYLESS:
            self.complete = True
        elif length is not None:
            self._left = self.length
        else:
            self._until_close = coding is None
        self.reusable = not self._until_close and keeps_open

    def _keeps_open(self, version: str) -> bool:
        connection = self.headers.get("connection", "").lower()
        if version == "1.1":
            return "close" not in connection
        return "keep-alive" in connection

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.reusable = False  # a body where there must be none (HEAD, 204, 304)
        elif self._left:
            self._take_plain(data)
        else:
            self._keep(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self.complete = True


def _fields(block: bytes) -> dict[str, str]:
    """Header lines as names and values; {} when a name comes twice, or is not for here."""
    lines = block.decode("latin-1").split("\r\n")
    lines.pop()  # what follows the last line's end
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip(" \t")
    if len(fields) != len(lines) or not _NOT_ORDINARY.isdisjoint(fields):
        return {}
    return fields


def _reason(error: HttpParserError) -> str:
    """What the parser says, or what one of our own callbacks said inside it."""
    inner = error.__context__
    return str(inner if isinstance(inner, Malformed) else error)
