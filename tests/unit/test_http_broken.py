"""The HTTP client against broken answers, silence, and servers that are not there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from farshore.errors import (
    Corrupt,
    OutcomeUnknown,
    ServerFault,
    StoreError,
    Unreachable,
)
from farshore.s3.framing import HEAD_BYTES_MAX, SILENT_BYTES_MAX
from farshore.s3.http import HttpPool, tls
from farshore.s3.store import Stream
from tests.unit.http_asking import MIB, ask, pool_to, silent
from tests.unit.http_server import Peer, authority, serve

# Broken answers.


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", Corrupt), ("PUT", OutcomeUnknown), ("DELETE", OutcomeUnknown)]
)
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc",
    ],
)
async def test_a_body_cut_short(method: str, expected: type[StoreError], start: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(start)

    async with serve(script) as server, pool_to(server) as pool:
        with pytest.raises(expected, match="ended after 3"):
            await ask(pool, method)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * (HEAD_BYTES_MAX + 1) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-endless: " + b"a" * (SILENT_BYTES_MAX + 1),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 30_000,
    ],
    ids=[
        "ssh",
        "two-lengths",
        "no-number",
        "coding",
        "upgrade",
        "chunk",
        "long",
        "endless",
        "100s",
    ],
)
async def test_an_answer_that_is_not_http_is_a_fault(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(answer)
        await peer.ended()

    async with serve(script) as server, pool_to(server) as pool:
        with pytest.raises(ServerFault, match="not readable HTTP"):
            await ask(pool, "PUT", body=b"x")


async def test_bytes_after_the_answer_cost_the_connection_and_nothing_else() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n")
        await peer.ended()

    async def second(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"mine")

    async with serve(script, second) as server, pool_to(server) as pool:
        assert (await ask(pool))[2] == b"abc"
        assert (await ask(pool))[2] == b"mine"


async def test_a_body_after_head_is_not_taken_for_the_next_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await peer.ended()

    async def second(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"mine")

    async with serve(script, second) as server, pool_to(server) as pool:
        assert (await ask(pool, "HEAD"))[2] == b""
        assert (await ask(pool))[2] == b"mine"


# Silence.


@pytest.mark.parametrize(("method", "expected"), [("GET", Unreachable), ("PUT", OutcomeUnknown)])
async def test_no_answer_for_too_long(method: str, expected: type[StoreError]) -> None:
    async with serve(silent) as server, pool_to(server, idle_timeout_s=0.05) as pool:
        with pytest.raises(expected, match=r"no byte moved for 0\.05 s"):
            await ask(pool, method)
    assert server.accepted == 1


@pytest.mark.parametrize("length", ["Content-Length: 10\r\n", ""])
async def test_silence_inside_an_answer_is_no_end(length: str) -> None:
    """Long enough that a slow moment of this process is not taken for the server's silence."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(f"HTTP/1.1 200 OK\r\n{length}\r\nabc".encode())
        await peer.ended()

    async with serve(script) as server, pool_to(server, idle_timeout_s=0.5) as pool:
        with pytest.raises(Unreachable, match="ended after 3"):
            await ask(pool)


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"HTTP/1.1 200 OK\r\nx: ", b"a"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
)
async def test_a_head_that_comes_in_drops_is_given_up(first: bytes, drop: bytes) -> None:
    """Each drop came in time: 64 KiB of them could take weeks."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(first)
        with suppress(ConnectionError):
            for _ in range(40):
                await peer.say(drop)
                await asyncio.sleep(0.05)  # the drip itself

    async with serve(script) as server, pool_to(server, idle_timeout_s=0.3) as pool:
        with pytest.raises(Unreachable, match="its head was not complete"):
            await ask(pool)


async def test_a_server_that_takes_no_bytes_is_given_up() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await gone.wait()

    async with serve(script) as server, pool_to(server, idle_timeout_s=0.1) as pool:
        with pytest.raises(OutcomeUnknown, match="no byte moved"):
            await ask(pool, "PUT", body=bytes(64 * MIB))
        gone.set()


async def test_a_slow_reader_and_a_slow_producer_are_not_silence() -> None:
    async def script(peer: Peer) -> None:
        assert (await peer.request()).body == b"abcd"
        await peer.answer(bytes(4 * MIB))

    async def slow() -> AsyncIterator[bytes]:
        yield b"ab"
        await asyncio.sleep(0.7)  # longer than the line may be silent
        yield b"cd"

    async with (
        serve(script) as server,
        pool_to(server, idle_timeout_s=0.5) as pool,
        await pool.request("PUT", b"/", (), Stream(4, slow())) as answer,
    ):
        body = answer.chunks()
        read = len(await anext(body))
        await asyncio.sleep(0.7)
        async for chunk in body:
            read += len(chunk)
    assert read == 4 * MIB


# No connection.


async def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and nobody else listens there meanwhile
        pool = HttpPool("127.0.0.1", held.getsockname()[1], None, connections_max=1)
        for _ in range(3):  # a failed attempt gives its slot back
            with pytest.raises(Unreachable, match=os.strerror(errno.ECONNREFUSED)) as caught:
                await ask(pool, "PUT", body=b"x")
            assert caught.value.retryable
            assert "check the endpoint" in caught.value.hint
        await pool.aclose()


async def test_a_connection_that_takes_too_long(tmp_path: Path) -> None:
    """A listener that accepts and never says hello: the TLS handshake gets no answer."""
    ca_file = authority(tmp_path).ca_file

    async def mute(peer: Peer) -> None:
        await peer.ended()

    async with serve(mute) as server:
        pool = HttpPool("127.0.0.1", server.port, tls(ca_file), connect_timeout_s=0.1)
        with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
            await ask(pool)
        await pool.aclose()


async def test_a_name_that_is_no_host_name() -> None:
    pool = HttpPool("a..b", 80, None)
    with pytest.raises(Unreachable, match="host name"):
        await ask(pool)
    await pool.aclose()
