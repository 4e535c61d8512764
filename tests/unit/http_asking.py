"""A pool to a scripted server, requests read to their ends, and scripts that several tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from farshore.s3.http import HttpPool, tls
from farshore.s3.store import Stream
from tests.unit.http_server import Peer, ScriptedServer

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
