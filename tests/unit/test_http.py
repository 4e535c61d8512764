"""The HTTP client against a server that misbehaves in every way that we know of."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from farshore.errors import (
    BadRequest,
    Corrupt,
    OutcomeUnknown,
    ServerFault,
    StoreError,
    Unreachable,
)
from farshore.s3.framing import HEAD_BYTES_MAX, SILENT_BYTES_MAX
from farshore.s3.http import HttpPool, tls
from farshore.s3.store import Stream
from tests.unit.http_server import Peer, Received, ScriptedServer, authority, serve

MIB = 1024 * 1024


@asynccontextmanager
async def pool_to(
    server: ScriptedServer,
    *,
    connections_max: int = 256,
    idle_timeout_s: float = 30.0,
    body_buffer: int = MIB,
    ca_file: str | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[HttpPool]:
    pool = HttpPool(
        host,
        server.port,
        tls(ca_file) if ca_file else None,
        connections_max=connections_max,
        idle_timeout_s=idle_timeout_s,
        body_buffer=body_buffer,
    )
    try:
        yield pool
    finally:
        await pool.aclose()


async def ask(
    pool: HttpPool,
    method: str = "GET",
    target: bytes = b"/",
    body: bytes | Stream = b"",
    headers: tuple[tuple[str, str], ...] = (),
) -> tuple[int, dict[str, str], bytes]:
    """One request, read to its end."""
    async with await pool.request(method, target, headers, body) as answer:
        return answer.status, answer.headers, await answer.read(64 * MIB)


async def a_few_turns() -> None:
    """Let the event loop look at its sockets: what was sent on loopback is there."""
    for _ in range(5):
        await asyncio.sleep(0)


async def answering(peer: Peer) -> None:
    """Answer "x" until the client goes."""
    try:
        while True:
            await peer.request()
            await peer.answer(b"x")
    except (asyncio.IncompleteReadError, ConnectionError):
        return


async def silent(peer: Peer) -> None:
    """Read the request and say nothing."""
    await peer.request()
    await peer.ended()


async def chunks_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


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


# Connections.


async def test_one_connection_serves_request_after_request() -> None:
    async def script(peer: Peer) -> None:
        for number in range(3):
            await peer.request()
            await peer.answer(str(number).encode())

    async with serve(script) as server, pool_to(server) as pool:
        assert [(await ask(pool))[2] for _ in range(3)] == [b"0", b"1", b"2"]
    assert server.accepted == 1


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\r\nConnection: close", "HTTP/1.0 200 OK"])
async def test_a_connection_that_is_to_close_is_not_used_again(head: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(f"{head}\r\nContent-Length: 1\r\n\r\na".encode())
        await peer.ended()

    async def second(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"b")

    async with serve(script, second) as server, pool_to(server) as pool:
        assert (await ask(pool))[2] == b"a"
        assert (await ask(pool, "PUT"))[2] == b"b"


async def test_a_stale_connection_is_replaced_for_a_reading_request() -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"first")
        await peer.request()  # and closes without an answer

    async def fresh(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"second")

    async with serve(stale, fresh) as server, pool_to(server) as pool:
        assert (await ask(pool))[2] == b"first"
        assert (await ask(pool))[2] == b"second"
    assert server.accepted == 2


async def test_a_stale_connection_leaves_a_write_unknown_and_sends_it_once() -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"first")
        await peer.request()

    async with serve(stale) as server, pool_to(server) as pool:
        await ask(pool)
        with pytest.raises(OutcomeUnknown) as caught:
            await ask(pool, "PUT", body=b"x")
    assert "look before" in caught.value.hint
    assert server.accepted == 1


@pytest.mark.parametrize(("method", "expected"), [("GET", Unreachable), ("PUT", OutcomeUnknown)])
async def test_a_fresh_connection_that_closes_is_not_tried_again(
    method: str, expected: type[StoreError]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with serve(script) as server, pool_to(server) as pool:
        with pytest.raises(expected, match="the server closed the connection"):
            await ask(pool, method)
    assert server.accepted == 1


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_for_a_write() -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"first")
        await peer.close()
        closed.set()

    async def second(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"second")

    async with serve(script, second) as server, pool_to(server) as pool:
        await ask(pool)
        await closed.wait()
        await a_few_turns()
        assert (await ask(pool, "PUT"))[2] == b"second"


async def test_requests_beyond_the_limit_wait_for_their_turn() -> None:
    async with serve(answering, answering) as server, pool_to(server, connections_max=2) as pool:
        answers = await asyncio.gather(*[ask(pool) for _ in range(20)])
    assert [body for _, _, body in answers] == [b"x"] * 20
    assert server.accepted == 2


async def test_a_dropped_connection_makes_room_for_those_who_wait() -> None:
    async def one(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x", Connection="close")

    async with serve(*[one] * 6) as server, pool_to(server, connections_max=2) as pool:
        await asyncio.gather(*[ask(pool) for _ in range(6)])
    assert server.accepted == 6


async def test_giving_up_while_waiting_loses_no_connection() -> None:
    async with serve(answering) as server, pool_to(server, connections_max=1) as pool:
        async with await pool.request("GET", b"/", (), b"") as answer:
            waiting = [asyncio.create_task(ask(pool)) for _ in range(3)]
            await a_few_turns()
            waiting[0].cancel()
            await answer.read(10)
        waiting[1].cancel()  # has been given the connection, and has not run yet
        assert (await waiting[2])[2] == b"x"
        await asyncio.gather(*waiting, return_exceptions=True)
        assert [task.cancelled() for task in waiting] == [True, True, False]
        assert (await ask(pool))[2] == b"x"
    assert server.accepted == 1


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_request_drops_its_connection(turns: int) -> None:
    """Wherever it is: connecting, connected, or waiting for the answer."""

    async def gone(peer: Peer) -> None:
        await peer.ended()

    async with serve(gone, answering) as server, pool_to(server, connections_max=1) as pool:
        task = asyncio.create_task(ask(pool))
        await server.arrived.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await ask(pool))[2] == b"x"


async def test_a_closed_pool_refuses_and_wakes_those_who_wait() -> None:
    async with serve(silent) as server:
        pool = HttpPool("127.0.0.1", server.port, None, connections_max=1)
        tasks = [asyncio.create_task(ask(pool)) for _ in range(2)]
        await server.arrived.wait()
        await pool.aclose()
        for task in tasks:
            with pytest.raises(Unreachable, match="closed by us"):
                await task
        with pytest.raises(Unreachable, match="closed by us"):
            await ask(pool)


# Silence.


@pytest.mark.parametrize(("method", "expected"), [("GET", Unreachable), ("PUT", OutcomeUnknown)])
async def test_no_answer_for_too_long(method: str, expected: type[StoreError]) -> None:
    async with serve(silent) as server, pool_to(server, idle_timeout_s=0.05) as pool:
        with pytest.raises(expected, match=r"no byte moved for 0\.05 s"):
            await ask(pool, method)
    assert server.accepted == 1


@pytest.mark.parametrize("length", ["Content-Length: 10\r\n", ""])
async def test_silence_inside_an_answer_is_no_end(length: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(f"HTTP/1.1 200 OK\r\n{length}\r\nabc".encode())
        await peer.ended()

    async with serve(script) as server, pool_to(server, idle_timeout_s=0.05) as pool:
        with pytest.raises(Unreachable, match="ended after 3"):
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
        await asyncio.sleep(0.3)
        yield b"cd"

    async with (
        serve(script) as server,
        pool_to(server, idle_timeout_s=0.1) as pool,
        await pool.request("PUT", b"/", (), Stream(4, slow())) as answer,
    ):
        body = answer.chunks()
        read = len(await anext(body))
        await asyncio.sleep(0.3)
        async for chunk in body:
            read += len(chunk)
    assert read == 4 * MIB


# No connection.


async def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pool = HttpPool("127.0.0.1", port, None, connections_max=1)
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


# TLS.


async def test_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    content = bytes(3 * MIB)

    async def script(peer: Peer) -> None:
        assert (await peer.request()).body == content
        await peer.answer(content)
        await peer.request()
        await peer.answer(b"again")

    async with (
        serve(script, context=ca.server) as server,
        pool_to(server, ca_file=ca.ca_file) as pool,
    ):
        assert (await ask(pool, "PUT", body=content))[2] == content
        assert (await ask(pool))[2] == b"again"
    assert server.accepted == 1


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    async with (
        serve(context=ca.server) as server,
        pool_to(server, ca_file=authority(other).ca_file) as pool,
    ):
        with pytest.raises(Unreachable, match="not trusted") as caught:
            await ask(pool)
    assert "ca_file" in caught.value.hint
    assert not caught.value.retryable


async def test_a_certificate_for_another_address_is_refused(tmp_path: Path) -> None:
    ca = authority(tmp_path, "127.0.0.2")
    async with (
        serve(context=ca.server) as server,
        pool_to(server, ca_file=ca.ca_file) as pool,
    ):
        with pytest.raises(Unreachable, match="not trusted"):
            await ask(pool)


async def test_https_to_a_server_that_speaks_http(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    ca = authority(tmp_path)
    async with serve(script) as server, pool_to(server, ca_file=ca.ca_file) as pool:
        with pytest.raises(Unreachable, match="TLS failed") as caught:
            await ask(pool)
    assert "speaks https" in caught.value.hint


def test_a_ca_file_that_is_not_there_or_not_pem(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be used"):
        tls(str(tmp_path / "absent.pem"))
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(Unreachable, match="cannot be used"):
        tls(str(tmp_path / "bad.pem"))


async def test_a_connection_that_was_lost_is_gone_without_the_collector() -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x")  # and closes

    gc.collect()
    gc.disable()
    try:
        async with serve(once) as server, pool_to(server) as pool:
            await ask(pool)
            alive = [weakref.ref(connection) for connection in pool._live]
            async with asyncio.timeout(10):
                while pool._live:  # noqa: ASYNC110  # the pool has no event for it
                    await asyncio.sleep(0.001)
            await a_few_turns()
            assert [found() for found in alive] == [None] * len(alive)
    finally:
        gc.enable()
