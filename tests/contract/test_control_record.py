"""The control record on real servers: two control buckets on one server stand for two sites."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from farshore.clock import SystemClock
from farshore.control.audit import BLOCK, AuditLog
from farshore.control.both import BothSides
from farshore.control.ledger import Ledger, pair_key, record_name
from farshore.control.record import IN_A_HURRY, ControlPlane
from farshore.core.chain import BEGINNING, Draft, Entry, follow, verify
from farshore.core.record import ControlRecord
from farshore.errors import Refused
from farshore.s3.client import S3Client
from farshore.s3.store import Store
from farshore.s3.wrap import Retrying
from farshore.testing.store.faults import Faulty, Script, lost_answer, on, unreachable
from tests.unit.sites import config_of

from . import servers
from .servers import Server

SITES = ("east", "west")
PAIR = pair_key(*SITES)
RECORD = record_name(PAIR)
NUMBERS = itertools.count()


def quiet(_operation: str, _bucket: str, _key: str, _number: int) -> None:
    """A script without faults."""


@pytest.fixture(scope="module", params=["weed", "moto"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with ExitStack() as stack:
        if request.param == "moto":
            yield stack.enter_context(servers.moto())
        else:
            yield stack.enter_context(servers.weed(tmp_path_factory.mktemp("w")))


class World:
    """Two sites with empty control buckets, and people at them."""

    def __init__(self, number: int, client: S3Client) -> None:
        self._number = number
        self.client = client

    def person(self, *, east: Script = quiet, west: Script = quiet) -> ControlPlane:
        ledgers = [
            self.ledger(site, Faulty(self.client, script))
            for site, script in zip(SITES, (east, west), strict=True)
        ]
        return ControlPlane(BothSides(SITES, ledgers, primary="east"), SystemClock())

    def ledger(self, site: str, store: Store) -> Ledger:
        about = replace(config_of().site(site), control_bucket=self.bucket(site))
        return Ledger(about, Retrying(store, IN_A_HURRY), PAIR, strong=True)

    def bucket(self, site: str) -> str:
        return f"control-{self._number}-{site}"


@pytest.fixture
async def world(server: Server) -> AsyncIterator[World]:
    client = S3Client("server", server.endpoint, server.credentials)
    made = World(next(NUMBERS), client)
    for site in SITES:
        await client.create_bucket(made.bucket(site))
        await client.put_versioning(made.bucket(site), True)
    yield made
    await client.aclose()


async def adds(plane: ControlPlane, word: str) -> ControlRecord:
    def decide(record: ControlRecord) -> ControlRecord:
        drivers = (*record.switch.drivers, (word, ""))
        return replace(record, switch=replace(record.switch, drivers=drivers))

    return await plane.change(decide, by=word, why="", action="switch")


async def test_changes_stand_on_both_sides_and_are_audited(world: World) -> None:
    plane = world.person()
    records = [await adds(plane, word) for word in ("one", "two", "three")]
    view = await plane.read()
    assert view.in_step
    assert view.record == records[-1]
    logs = [await plane.both.log(site).everything() for site in SITES]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 6
    assert verify(logs[0], view.record.audit_head) is None


async def test_of_racers_no_two_win_at_one_place(world: World) -> None:
    planes = [world.person() for _ in range(6)]
    outcomes = await asyncio.gather(
        *(adds(plane, f"racer {n}") for n, plane in enumerate(planes)), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, ControlRecord)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(won) + len(lost) == 6, outcomes
    assert won
    assert len({record.place for record in won}) == len(won)
    view = await planes[0].heal()
    assert view.in_step
    assert [word for word, _ in view.record.switch.drivers] == [
        record.by for record in sorted(won, key=lambda record: record.place)
    ]


async def test_lost_answers_are_read_back(world: World) -> None:
    plane = world.person(
        east=on("put", lost_answer(), times=100), west=on("put", lost_answer(), times=100)
    )
    records = [await adds(plane, word) for word in ("one", "two")]
    assert [record.place for record in records] == [(1, 1), (1, 2)]
    log = await plane.both.log("west").everything()
    assert [entry.sequence for entry in log] == [1, 2, 3, 4]


async def test_the_side_that_was_away_is_brought_into_step(world: World) -> None:
    plane = world.person()
    await adds(plane, "before")
    lost = await adds(world.person(west=lambda *_: unreachable()), "east alone")
    won = await adds(world.person(east=lambda *_: unreachable()), "west alone")
    assert (lost.place, won.place) == ((1, 2), (2, 2))
    assert "has lost" in (await plane.read()).sentence
    view = await plane.heal()
    assert view.in_step
    assert view.record == won
    kept = await world.client.list_versions(world.bucket("east"), prefix="history/")
    assert [entry.key for entry in kept.entries] == [
        f"history/{PAIR}/00000001-00000002-{lost.digest[:12]}.json"
    ]
    log = await plane.both.log("east").everything()
    assert verify(log, won.audit_head, lost.audit_head) is None


async def test_a_record_of_another_form_is_left_alone(world: World) -> None:
    plane = world.person()
    record = await adds(plane, "one")
    await world.client.put(world.bucket("west"), RECORD, b"\x00\x01")
    assert (await plane.read()).of("west").state == "damaged"
    assert (await plane.heal()).record == record


async def test_a_long_log_is_listed_whole(world: World, server: Server) -> None:
    """Past a page of the server (moto is slow: less there), and from any number on."""
    count = (10 if server.filer_port else 2) * BLOCK + 7
    entries = [follow(BEGINNING, "east", Draft(0.0, "anna", "note", "intent", "a note", "t"))]
    while len(entries) < count:
        entries.append(follow(entries[-1].head, "east", entries[0].draft))
    ledger = world.ledger("east", world.client)
    log = AuditLog(ledger)
    gate = asyncio.Semaphore(32)

    async def keep(entry: Entry) -> None:
        async with gate:
            await log.keep(entry)

    await asyncio.gather(*(keep(entry) for entry in entries))
    assert [number for number, _ in await log.places()] == list(range(1, count + 1))
    for after in (BLOCK - 1, BLOCK, BLOCK + 3, count):
        assert [n for n, _ in await log.places(after)] == list(range(after + 1, count + 1))
