"""Who looks at the control record while somebody else is half way through writing it."""

from __future__ import annotations

import asyncio

import pytest

from farshore.control.ledger import record_name
from farshore.testing.store.faults import Faulty, Hang
from tests.unit.two_sides import PAIR, World

RECORD = record_name(PAIR)


@pytest.fixture
async def world() -> World:
    return await World().ready()


async def test_who_comes_while_somebody_writes_looks_again_and_mends_nothing(
    world: World,
) -> None:
    """Two sites are apart for a moment in every change; to bring them into step reads far more,
    and clients' writes may wait meanwhile."""
    await world.person("anna").adds("before")
    apart, done = asyncio.Event(), asyncio.Event()
    looks = iter((apart, done))  # the first look meets the half-written change, the second the end
    asked: list[str] = []

    def slow(operation: str, _bucket: str, key: str, _number: int) -> Hang | None:
        if operation == "put" and key.startswith("audit/"):
            apart.set()
            return Hang(seen)
        return None

    def at_east(operation: str, _bucket: str, key: str, _number: int) -> Hang | None:
        asked.append(key)
        return Hang(next(looks, done)) if (operation, key) == ("get", RECORD) else None

    def at_west(operation: str, _bucket: str, key: str, _number: int) -> Hang | None:
        asked.append(key)
        if (operation, key) == ("get", RECORD) and asked.count(RECORD) > 2:
            seen.set()  # ben has looked once: anna goes on
        return None

    seen = asyncio.Event()
    anna, ben = world.person("anna"), world.person("ben")
    anna.plane.both.ledgers["west"].store = Faulty(world.stores["west"], slow)
    ben.plane.both.ledgers["east"].store = Faulty(world.stores["east"], at_east)
    ben.plane.both.ledgers["west"].store = Faulty(world.stores["west"], at_west)

    async def writes() -> None:
        await anna.plane.note(by="anna", action="look", kind="intent", what="Looks.")
        done.set()

    async with asyncio.timeout(5):
        await asyncio.gather(writes(), ben.adds("ben's"))
    assert asked.count(RECORD) >= 4, "he looked again"
    assert not any(key.startswith("runs/") for key in asked)
