"""GET /v1/endpoint: ETags, long polls and events, as an application asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.applications import Starlette

from farshore.config.load import parse
from farshore.core.record import ControlRecord, initial
from farshore.daemon.api import served
from farshore.daemon.endpoint import EndpointDesk
from farshore.s3.http import HttpPool
from farshore.testing.clock import ManualClock
from tests.unit.sites import TOML

CONFIG = parse(TOML, Path("/nowhere/farshore.toml"))
EAST = initial("east.west", "east")


def at(site: str) -> ControlRecord:
    return replace(EAST, switch=replace(EAST.switch, wanted=site))


class Answer(NamedTuple):
    status: int
    etag: str
    body: Any


class Client:
    """Asks a daemon's door over a socket."""

    def __init__(self, pool: HttpPool) -> None:
        self._pool = pool

    async def get(self, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        target = f"/v1/endpoint{query}".encode()
        given = list((headers or {}).items())
        async with await self._pool.request("GET", target, given, b"") as answer:
            text = await answer.read(1 << 16)
            etag = dict(answer.headers).get("etag", "")
        return Answer(answer.status, etag, json.loads(text) if text else None)


@asynccontextmanager
async def asked(desk: EndpointDesk) -> AsyncIterator[Client]:
    async with served(Starlette(routes=desk.routes()), "127.0.0.1", 0) as port:
        pool = HttpPool("127.0.0.1", port, None)
        try:
            yield Client(pool)
        finally:
            await pool.aclose()


class Watched(EndpointDesk):
    """Tells a test when somebody waits."""

    def __init__(self, listeners_max: int = 1000) -> None:
        super().__init__(
            CONFIG, ManualClock(), lambda: 1_700_000_000.0, listeners_max=listeners_max
        )
        self.somebody_waits = asyncio.Event()

    async def _other_than(self, etag: str, seconds: float) -> None:
        self.somebody_waits.set()
        await super()._other_than(etag, seconds)


@pytest.fixture
def desk() -> Watched:
    return Watched()


async def test_before_the_record_was_read_it_says_so(desk: Watched) -> None:
    async with asked(desk) as client:
        answer = await client.get()
    assert answer.status == 503
    assert "not been read" in answer.body["error"]


async def test_it_names_the_site_its_url_and_the_watermark(desk: Watched) -> None:
    await desk.tell(EAST)
    async with asked(desk) as client:
        body = (await client.get()).body
    assert (body["site"], body["endpoint_url"]) == ("east", "http://127.0.0.1:8333")
    assert body["sites"]["west"] == "http://127.0.0.1:8334"
    assert body["watermark"] == "2023-11-14T22:13:20.000Z"


async def test_an_etag_that_still_holds_is_answered_without_a_body(desk: Watched) -> None:
    await desk.tell(EAST)
    async with asked(desk) as client:
        etag = (await client.get()).etag
        same = await client.get(headers={"if-none-match": etag})
        await desk.tell(at("west"))
        other = await client.get(headers={"if-none-match": etag})
    assert (same.status, same.body) == (304, None)
    assert other.body["site"] == "west"


async def test_a_long_poll_ends_with_the_flip(desk: Watched) -> None:
    await desk.tell(EAST)
    async with asked(desk) as client:
        etag = (await client.get()).etag
        poll = asyncio.create_task(client.get("?wait=30", {"if-none-match": etag}))
        await desk.somebody_waits.wait()
        await desk.tell(EAST)
        assert not poll.done(), "the same record wakes nobody"
        await desk.tell(at("west"))
        answer = await asyncio.wait_for(poll, 5)
    assert answer.body["site"] == "west"


async def test_a_long_poll_that_sees_no_change_ends_with_304(desk: Watched) -> None:
    await desk.tell(EAST)
    async with asked(desk) as client:
        etag = (await client.get()).etag
        answer = await client.get("?wait=0.05", {"if-none-match": etag})
    assert answer.status == 304


@pytest.mark.parametrize("wait", ["soon", "-1", "nan", "inf"])
async def test_a_wait_that_is_no_time_is_refused(desk: Watched, wait: str) -> None:
    await desk.tell(EAST)
    async with asked(desk) as client:
        assert (await client.get(f"?wait={wait}")).status == 400


async def test_events_come_at_once_and_at_every_change(desk: Watched) -> None:
    await desk.tell(EAST)
    async with served(Starlette(routes=desk.routes()), "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/endpoint HTTP/1.1\r\nhost: d\r\naccept: text/event-stream\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b'"site": "east"'), 5)
        await desk.somebody_waits.wait()
        await desk.tell(at("west"))
        await asyncio.wait_for(reader.readuntil(b'"site": "west"'), 5)
        writer.close()


async def test_beyond_the_limit_of_listeners_streams_and_waits_are_refused() -> None:
    desk = Watched(listeners_max=1)
    await desk.tell(EAST)
    async with asked(desk) as client:
        known = (await client.get()).etag
        first = asyncio.create_task(client.get("?wait=30", {"if-none-match": known}))
        await desk.somebody_waits.wait()
        assert (await client.get("?wait=30", {"if-none-match": known})).status == 503
        assert (await client.get(headers={"accept": "text/event-stream"})).status == 503
        await desk.tell(at("west"))
        assert (await first).body["site"] == "west"
