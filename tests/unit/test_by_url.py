"""A presigned URL as a stranger uses it: its signature is never repeated."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import ClassVar

import pytest

from farshore.errors import BadRequest, Denied, ServerFault, StoreError, Throttled, Unreachable
from farshore.s3.by_url import by_url, context_of
from tests.unit.http_server import Peer, serve

SECRET = "5eed"


class Answers(http.server.BaseHTTPRequestHandler):
    """The status that the path names, and the body that was sent."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer(b"read")

    def do_PUT(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.seen.append(self.path)
        self.send_response(int(self.path[1:4]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


async def test_what_was_answered(server: str) -> None:
    assert await by_url("GET", f"{server}/200?s={SECRET}") == b"read"
    assert await by_url("PUT", f"{server}/200?s={SECRET}", b"sent") == b"sent"
    assert Answers.seen[-1] == f"/200?s={SECRET}", "it is sent as it was made"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/403", Denied), ("/404", BadRequest), ("/500", ServerFault), ("/503", Throttled)],
)
async def test_a_refusal(server: str, path: str, kind: type[StoreError]) -> None:
    with pytest.raises(kind) as caught:
        await by_url("GET", f"{server}{path}?s={SECRET}")
    assert path[1:] in caught.value.message
    assert SECRET not in caught.value.message


async def test_nobody_there(server: str) -> None:
    with pytest.raises(Unreachable) as caught:
        await by_url("GET", f"http://127.0.0.1:1/200?s={SECRET}", seconds_max=2)
    assert SECRET not in caught.value.message
    assert context_of(None) is None


@pytest.mark.parametrize(
    "said",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500, b"HTTP/1.1 \x00\r\n\r\n"],
)
async def test_what_is_no_http_is_a_fault_of_the_server(said: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(said)

    async with serve(script) as running:
        url = f"http://127.0.0.1:{running.port}/b/k?X-Amz-Signature={SECRET}"
        with pytest.raises(StoreError) as refused:
            await by_url("GET", url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_redirect_is_not_followed(status: str, method: str) -> None:
    """A server that answers so could send us, and what we send, anywhere."""

    async def elsewhere(peer: Peer) -> None:
        await peer.answer(b"not here")

    async with serve(elsewhere) as other:
        to = f"http://127.0.0.1:{other.port}/b/k"

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.answer(b"", status, Location=to)

        async with serve(script) as running:
            url = f"http://127.0.0.1:{running.port}/b/k?X-Amz-Signature={SECRET}"
            with pytest.raises(BadRequest, match=status[:3]):
                await by_url(method, url, b"body" if method == "PUT" else None)
        assert other.accepted == 0


async def test_a_proxy_of_the_environment_is_not_told_the_signature(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await by_url("GET", f"{server}/200?s={SECRET}") == b"read"


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "then"), [(b"", INTERIM), (b"HTTP/1.1 200 OK\r\nx: ", b"a"), (LONG, b"x")]
)
async def test_an_answer_that_drips_for_ever_is_given_up(first: bytes, then: bytes) -> None:
    """Each byte came in time, and so the timeout of the standard library never ended it."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(first)
        with suppress(ConnectionError):
            for _ in range(20):
                await asyncio.sleep(0.05)  # the drip itself
                await peer.say(then)

    async with serve(script) as running:
        begun = monotonic()
        with pytest.raises(StoreError):
            await by_url("GET", f"http://127.0.0.1:{running.port}/b/k?s={SECRET}", seconds_max=0.2)
        assert monotonic() - begun < 0.8


async def test_an_answer_without_end_is_not_kept() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(64):
                await peer.say(bytes(1 << 20))

    async with serve(script) as running:
        with pytest.raises(ServerFault, match="longer than"):
            await by_url("GET", f"http://127.0.0.1:{running.port}/b/k?s={SECRET}")
