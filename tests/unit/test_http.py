"""The HTTP client: good answers, what it sends, and who is slow."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farshore.errors import (
    BadRequest,
    Corrupt,
    ServerFault,
)
from farshore.s3.store import Stream
from tests.unit.http_asking import MIB, ask, chunks_of, pool_to
from tests.unit.http_server import Peer, Received, authority, serve

# What a good answer looks like.


async def test_an_answer_gives_status_lower_case_headers_and_the_body() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"hello", ETag='"abc"', X_Amz_Meta_Name="caf\xe9")

    async with serve(script) as server, pool_to(server) as pool:
        status, headers, body = await ask(pool)
    assert (status, body) == (200, b"hello")
    assert headers["etag"] == '"abc"'
    assert headers["x-amz-meta-name"] == "caf\xe9"


async def test_headers_that_repeat_or_are_empty_are_kept() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(
            b"HTTP/1.1 200 OK\r\nx-a: 1\r\nX-A: 2\r\nx-empty:\r\nContent-Length: 0\r\n\r\n"
        )

    async with serve(script) as server, pool_to(server) as pool:
        _, headers, _ = await ask(pool)
    assert headers["x-a"] == "1, 2"
    assert headers["x-empty"] == ""


async def test_an_answer_that_comes_byte_by_byte_is_the_same_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: x\r\n\r\nhello":
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)

    async with serve(script) as server, pool_to(server) as pool:
        assert (await ask(pool))[2] == b"hello"


async def test_a_chunked_answer_is_joined_and_its_trailer_is_left_out() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await peer.say(b"2;x=y\r\nde\r\n0\r\nx-late: 1\r\n\r\n")
        await peer.request()
        await peer.answer(b"again")

    async with serve(script) as server, pool_to(server) as pool:
        _, headers, body = await ask(pool)
        assert (await ask(pool))[2] == b"again"
    assert body == b"abcde"
    assert "x-late" not in headers
    assert server.accepted == 1


async def test_an_answer_without_a_length_ends_when_the_server_closes() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nuntil ")
        await peer.say(b"the end")

    async with serve(script) as server, pool_to(server) as pool:
        assert (await ask(pool))[2] == b"until the end"


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Same"), ("DELETE", "204 None")]
)
async def test_an_answer_without_a_body_may_tell_a_length(method: str, status: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(f"HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n".encode())
        await peer.request()
        await peer.answer(b"next")

    async with serve(script) as server, pool_to(server) as pool:
        _, headers, body = await ask(pool, method)
        assert (await ask(pool))[2] == b"next"
    assert (headers["content-length"], body) == ("99", b"")
    assert server.accepted == 1


async def test_interim_answers_are_skipped() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.say(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        await peer.answer(b"real")

    async with serve(script) as server, pool_to(server) as pool:
        status, headers, body = await ask(pool, "PUT", body=b"x")
    assert (status, body) == (200, b"real")
    assert "link" not in headers


# What we send.


async def test_a_small_body_goes_out_with_its_head_and_its_length() -> None:
    seen: list[Received] = []

    async def script(peer: Peer) -> None:
        first = await peer.reader.read(MIB)
        assert first.endswith(b"\r\n\r\nbody")
        seen.append(Received("", "", [], b"", first))
        await peer.answer()

    async with serve(script) as server, pool_to(server) as pool:
        await ask(pool, "PUT", b"/b/a/../c//%2e%2e", b"body", (("x-amz-meta-a", "\xff"),))
    raw = seen[0].head
    assert raw.startswith(b"PUT /b/a/../c//%2e%2e HTTP/1.1\r\n")
    assert b"\r\nx-amz-meta-a: \xff\r\n" in raw
    assert b"\r\ncontent-length: 4\r\n" in raw
    assert f"\r\nhost: 127.0.0.1:{server.port}\r\n".encode() in raw
    assert b"expect" not in raw.lower()
    assert b"accept-encoding" not in raw.lower()


async def test_host_is_sent_once_when_it_is_among_the_headers() -> None:
    seen: list[Received] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    async with serve(script) as server, pool_to(server) as pool:
        await ask(pool, headers=(("host", "signed.example"),))
    assert seen[0].values("host") == ["signed.example"]
    assert seen[0].values("content-length") == []


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_a_writing_request_without_a_body_says_length_zero(method: str) -> None:
    seen: list[Received] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    async with serve(script) as server, pool_to(server) as pool:
        await ask(pool, method)
    assert seen[0].values("content-length") == ["0"]


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\0b", "Ω"])
async def test_a_header_that_cannot_be_sent_is_refused_before_anything_is(value: str) -> None:
    async with serve() as server, pool_to(server) as pool:
        with pytest.raises(BadRequest):
            await ask(pool, headers=(("x-amz-meta-a", value),))
    assert server.accepted == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_large_body_arrives_whole(streamed: bool) -> None:
    content = bytes(range(256)) * 4096 * 3
    body: bytes | Stream = content
    if streamed:
        body = Stream(len(content), chunks_of(content[:MIB], b"", content[MIB:], b""))
    seen: list[Received] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer(b"1")
        seen.append(await peer.request())
        await peer.answer(b"2")

    async with serve(script) as server, pool_to(server) as pool:
        assert (await ask(pool, "PUT", body=body))[2] == b"1"
        assert (await ask(pool))[2] == b"2"
    assert seen[0].body == content
    assert seen[0].values("content-length") == [str(len(content))]
    assert seen[0].values("transfer-encoding") == []
    assert server.accepted == 1


async def test_an_empty_stream_is_a_body_of_length_zero() -> None:
    async def script(peer: Peer) -> None:
        assert (await peer.request()).body == b""
        await peer.answer(b"done")

    async with serve(script) as server, pool_to(server) as pool:
        assert (await ask(pool, "PUT", body=Stream(0, chunks_of())))[2] == b"done"


@pytest.mark.parametrize("parts", [(b"abc", b"de"), (b"abc", b"defgh", b"ijkl"), ()])
async def test_a_stream_of_the_wrong_length_never_becomes_a_complete_request(
    parts: tuple[bytes, ...],
) -> None:
    arrived: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        arrived.append(await peer.ended())

    async with serve(script) as server, pool_to(server) as pool:
        with pytest.raises(Corrupt):
            await ask(pool, "PUT", body=Stream(8, chunks_of(*parts)))
    assert len(arrived[0]) < 8


async def test_what_the_stream_raises_is_raised_and_its_last_bytes_are_not_sent() -> None:
    arrived: list[bytes] = []
    closed: list[bool] = []

    async def wrong_in_the_end() -> AsyncIterator[bytes]:
        try:
            yield b"abcd"
            yield b"efgh"
            raise Corrupt("the hash differs")
        finally:
            closed.append(True)

    async def script(peer: Peer) -> None:
        await peer.head()
        arrived.append(await peer.ended())

    async with serve(script) as server, pool_to(server) as pool:
        with pytest.raises(Corrupt, match="the hash differs"):
            await ask(pool, "PUT", body=Stream(8, wrong_in_the_end()))
    assert arrived == [b"abcd"]
    assert closed == [True]


async def test_an_early_refusal_stops_the_body_and_is_the_answer() -> None:
    produced: list[int] = []
    closed: list[bool] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            for number in range(4096):
                produced.append(number)
                yield bytes(MIB)
        finally:
            closed.append(True)

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.reader.readexactly(1000)
        await peer.answer(b"<Error/>", "503 Slow Down")
        await peer.ended()

    async def second(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"fresh")

    async with serve(script, second) as server, pool_to(server) as pool:
        status, _, body = await ask(pool, "PUT", body=Stream(4096 * MIB, endless()))
        assert (status, body) == (503, b"<Error/>")
        assert (await ask(pool))[2] == b"fresh"
    assert len(produced) < 64
    assert closed == [True]
    assert server.accepted == 2


async def test_an_early_refusal_also_stops_a_body_in_memory() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"<Error/>", "403 Forbidden")
        assert len(await peer.ended()) < 64 * MIB

    async with serve(script) as server, pool_to(server) as pool:
        assert (await ask(pool, "PUT", body=bytes(64 * MIB)))[0] == 403


async def test_a_slow_server_holds_the_producer_back() -> None:
    produced = 0
    content = 32 * MIB
    let_go = asyncio.Event()

    async def producer() -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(content // MIB):
            produced += 1
            yield bytes(MIB)

    async def script(peer: Peer) -> None:
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        await peer.head()
        await let_go.wait()
        await peer.reader.readexactly(content)
        await peer.answer(b"done")

    async with serve(script) as server, pool_to(server) as pool:
        task = asyncio.create_task(ask(pool, "PUT", body=Stream(content, producer())))
        before = -1
        while produced != before:
            before = produced
            await asyncio.sleep(0.05)
        assert produced < 24
        let_go.set()
        assert (await task)[2] == b"done"


# Reading slowly.


async def test_a_slow_reader_holds_the_server_back() -> None:
    total = 64 * MIB
    written = 0

    async def script(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        await peer.say(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        for _ in range(total // MIB):
            await peer.say(bytes(MIB))
            written += MIB

    async with (
        serve(script) as server,
        pool_to(server, body_buffer=MIB) as pool,
        await pool.request("GET", b"/", (), b"") as answer,
    ):
        body = answer.chunks()
        read = len(await anext(body))
        before = -1
        while written != before:
            before = written
            await asyncio.sleep(0.05)
        assert written < total // 2
        async for chunk in body:
            read += len(chunk)
    assert read == total


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_large_body_whose_pieces_are_all_held(tmp_path: Path, encrypted: bool) -> None:
    """Memory is used again only once nobody looks at it, TLS's own buffers included."""
    content = random.Random(7).randbytes(24 * MIB)
    ca = authority(tmp_path)

    async def script(peer: Peer) -> None:
        for body in (content, b"small", content):
            await peer.request()
            await peer.answer(body)

    async with (
        serve(script, context=ca.server if encrypted else None) as server,
        pool_to(server, ca_file=ca.ca_file if encrypted else None) as pool,
    ):
        for expected in (content, b"small", content):
            async with await pool.request("GET", b"/", (), b"") as answer:
                pieces = [piece async for piece in answer.chunks()]
            assert b"".join(pieces) == expected
    assert server.accepted == 1


async def test_an_answer_larger_than_the_limit_is_a_fault() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(bytes(2000))

    async with (
        serve(script) as server,
        pool_to(server) as pool,
        await pool.request("GET", b"/", (), b"") as answer,
    ):
        with pytest.raises(ServerFault, match="longer than 1000 bytes"):
            await answer.read(1000)


async def test_an_answer_not_read_to_its_end_costs_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await peer.ended()

    async def second(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"fresh")

    async with serve(script, second) as server, pool_to(server) as pool:
        async with await pool.request("GET", b"/", (), b"") as answer:
            assert answer.length == 10
        with pytest.raises(Corrupt, match="closed before it was read"):
            await answer.read(10)
        assert (await ask(pool))[2] == b"fresh"
