"""Callers of the daemon who show no token: what they send, and how slowly, has a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from farshore.daemon import caller
from farshore.daemon.api import Answers, application, served
from farshore.feed.webhook import webhook_routes

LAST = b"GET %b HTTP/1.0\r\n\r\n"
HEAD = b"POST /webhook HTTP/1.1\r\nHost: d\r\n"


async def nothing() -> None:
    """A scan that is asked for."""


async def kept(hints: object) -> int:
    return 1


ANSWERS = Answers(lambda: {"pair": "p"}, lambda: (b"m 1\n", "text/plain"), lambda: "", nothing)


@asynccontextmanager
async def daemon() -> AsyncIterator[int]:
    hook = webhook_routes(lambda: ["token"], kept)
    async with served(application(ANSWERS, lambda: ["token"], hook), "127.0.0.1", 0) as port:
        yield port


async def told(
    port: int, first: bytes, *pieces: bytes, pause_s: float = 0.0, ends: bool = False
) -> bytes:
    """Everything that is answered to somebody who does not stop by himself, unless he `ends`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(first)
        with suppress(ConnectionError):
            for piece in pieces:
                await asyncio.sleep(pause_s)  # as slow as the caller wants to be
                writer.write(piece)
                await writer.drain()
            if ends:
                writer.write_eof()
            async with asyncio.timeout(5):
                return await reader.read()
        return b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


ENDLESS = {
    "target": (b"GET /", b"a" * 4096),
    "value": (b"GET / HTTP/1.1\r\na: ", b"a" * 4096),
    "headers": (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 700),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 700),
    "chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 4096),
    "no request": (b"", b"\r\n" * 2048),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_a_head_without_end_is_refused(kind: str) -> None:
    first, piece = ENDLESS[kind]
    many = 4 * caller.SILENT_BYTES_MAX // len(piece)
    async with daemon() as port:
        answer = await told(port, first, *[piece] * many)  # comes back: the connection was closed
        assert b"200" not in answer
        assert b"alive" in await told(port, LAST % b"/healthz")


@pytest.mark.parametrize("kind", ["value", "trailers", "no request", "body"])
async def test_who_is_too_slow_is_given_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "SILENT_SECONDS_MAX", 0.15)
    refused = HEAD + b"Content-Length: 1000\r\n\r\n", b"x" * 70
    first, piece = refused if kind == "body" else ENDLESS[kind]
    async with daemon() as port:
        begun = asyncio.get_running_loop().time()
        await told(port, first, *[piece[:1]] * 20, pause_s=0.05)
        assert asyncio.get_running_loop().time() - begun < 0.8


async def test_who_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "SILENT_SECONDS_MAX", 0.2)
    async with daemon() as port:
        assert await told(port, b"") == b""
        assert await told(port, HEAD) == b""


async def test_connections_beyond_the_bound_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "CONNECTIONS_MAX", 3)
    async with daemon() as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0)
        assert await told(port, LAST % b"/healthz") == b""
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(5):
            while b"alive" not in await told(port, LAST % b"/healthz"):
                """Until the closed ones are seen to be."""


async def test_a_slow_event_of_a_sender_with_a_token_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The receiver has a bound of its own for the time of a body."""
    monkeypatch.setattr(caller, "SILENT_SECONDS_MAX", 0.1)
    body = json.dumps({"Records": []}).encode()
    head = HEAD + b"Connection: close\r\nAuthorization: Bearer token\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    async with daemon() as port:
        answer = await told(port, head, body[:5], body[5:], pause_s=0.15)
    assert b"200 OK" in answer


async def test_several_requests_on_one_connection() -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: d\r\n%b\r\n"
    async with daemon() as port:
        many = [request % b""] * 50 + [request % b"Connection: close\r\n"]
        assert (await told(port, many[0], *many[1:])).count(b"m 1\n") == 51
