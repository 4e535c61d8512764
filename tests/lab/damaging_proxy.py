"""A proxy in front of a real site that damages chosen answers and passes all others on.

Requests go through byte for byte, Host included, so their signatures stay good.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from typing import NamedTuple
from urllib.parse import urlsplit

LINE_BYTES_MAX = 64 * 1024
HEAD_LINES_MAX = 200


class Message(NamedTuple):
    """A request or an answer: the first line, the header lines, the whole body."""

    first: bytes
    headers: list[bytes]
    body: bytes

    def with_body(self, body: bytes) -> Message:
        """The same with another body, and a Content-Length that fits it."""
        kept = [line for line in self.headers if _name(line) not in _FRAMING]
        return Message(self.first, [*kept, b"Content-Length: %d\r\n" % len(body)], body)

    def raw(self) -> bytes:
        return b"".join([self.first, *self.headers, b"\r\n", self.body])


_FRAMING = (b"content-length", b"transfer-encoding")

Damage = Callable[[bytes, Message], bytes | None]
"""(request line, answer) to the bytes to send before the connection is closed, or None to
pass the answer on as it is."""


def body_cut(answer: Message) -> bytes:
    """Half of the body, under the Content-Length of the whole."""
    whole = answer.with_body(answer.body).raw()
    return whole[: len(whole) - len(answer.body) // 2]


def body_altered(answer: Message) -> bytes:
    """One bit of the body is another one."""
    body = bytearray(answer.body)
    body[len(body) // 2] ^= 1
    return answer.with_body(bytes(body)).raw()


@contextmanager
def damaging(
    endpoint: str, damage: Damage, refuse: Callable[[Message], bytes | None] = lambda _: None
) -> Iterator[str]:
    """The endpoint of a proxy before `endpoint`, until the block ends.

    `refuse`: request to an answer in the site's place, which is never asked then.
    """
    upstream = urlsplit(endpoint)
    address = (upstream.hostname or "", upstream.port or 80)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                with socket.create_connection(address) as behind:
                    self._relay(behind, behind.makefile("rb"))
            except (ConnectionError, _Ended):
                return  # one of the two ends closed, as HTTP allows

        def _relay(self, behind: socket.socket, answers: BufferedIOBase) -> None:
            while True:
                request = _read(self.rfile, bodyless=False)
                refusal = refuse(request)
                if refusal is not None:
                    self.wfile.write(refusal)
                    continue
                behind.sendall(request.raw())
                answer = _read(answers, bodyless=request.first.startswith(b"HEAD "))
                instead = damage(request.first, answer)
                self.wfile.write(answer.raw() if instead is None else instead)
                if instead is not None:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Ended(Exception):
    """The peer closed between two messages."""


def _read(file: BufferedIOBase, *, bodyless: bool) -> Message:
    first = file.readline(LINE_BYTES_MAX)
    if not first:
        raise _Ended
    headers: list[bytes] = []
    for _ in range(HEAD_LINES_MAX):
        line = file.readline(LINE_BYTES_MAX)
        if line in (b"\r\n", b""):
            break
        headers.append(line)
    message = Message(first, headers, b"")
    if bodyless:
        return message
    values = {_name(line): line.partition(b":")[2].strip() for line in headers}
    if values.get(b"transfer-encoding", b"").lower() == b"chunked":
        return message.with_body(b"".join(_chunks(file)))
    return message._replace(body=file.read(int(values.get(b"content-length", b"0"))))


def _chunks(file: BufferedIOBase) -> Iterator[bytes]:
    while size := int(file.readline(LINE_BYTES_MAX), 16):
        yield file.read(size)
        file.readline(LINE_BYTES_MAX)
    file.readline(LINE_BYTES_MAX)


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()
