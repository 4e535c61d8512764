"""The HTTP client's connections: used again, replaced, bounded, closed; and TLS."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
import weakref
from pathlib import Path

import pytest

from farshore.errors import (
    OutcomeUnknown,
    StoreError,
    Unreachable,
)
from farshore.s3.blocks import COMMON_BYTES
from farshore.s3.http import HttpPool, tls
from tests.unit.http_asking import MIB, a_few_turns, answering, ask, pool_to, silent
from tests.unit.http_server import Peer, authority, serve

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


def _one_by_one(listener: socket.socket) -> None:
    """Answer each request of one connection; asks for little memory itself."""
    peer, _ = listener.accept()
    with peer:
        while peer.recv(1024):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall")


async def test_a_read_asks_for_no_memory_beyond_what_came() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = asyncio.create_task(asyncio.to_thread(_one_by_one, listener))
        pool = HttpPool("127.0.0.1", listener.getsockname()[1], None)
        await ask(pool)  # the pool has its buffer now
        tracemalloc.start()
        try:
            for _ in range(10):
                assert (await ask(pool))[2] == b"small"
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            await pool.aclose()
            await answering
    assert most < COMMON_BYTES // 2


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
