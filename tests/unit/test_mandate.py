"""The right to copy: given under an epoch, and ended as soon as the record says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from farshore.control.ledger import record_name
from farshore.control.mandate import (
    LOGS_EVERY_LOOKS,
    LOOK_EVERY_S,
    UNSEEN_SECONDS_MAX,
    require_mandate,
    require_still,
    under_mandate,
)
from farshore.core.record import ControlRecord
from farshore.core.roles import Event
from farshore.errors import Corrupt, FarshoreError, Refused, Unreachable
from farshore.testing.store.faults import Fault, unreachable
from tests.unit.two_sides import BUCKET, PAIR, SITES, Person, World


@pytest.fixture
async def world() -> World:
    return await World().ready()


async def records(person: Person, *events: Event, primary: str = "") -> ControlRecord:
    """The events, one after the other; the last one names the primary."""
    for number, event in enumerate(events, 1):
        named = primary if number == len(events) else ""
        record = await person.records(event, primary=named)
    return record


class Naps:
    """A `sleep` that ends when the test says so."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asleep: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def sleep(self, _seconds: float) -> None:
        woken = asyncio.Event()
        self._asleep.put_nowait(woken)
        await woken.wait()

    async def end(self, seconds: float = LOOK_EVERY_S) -> None:
        woken = await self._asleep.get()
        self._world.clock.advance(seconds)
        woken.set()

    async def settled(self) -> None:
        """Wait until somebody sleeps again."""
        self._asleep.put_nowait(await self._asleep.get())


class Work:
    """A body under the mandate, that ends only by being stopped."""

    def __init__(self) -> None:
        self.epoch = 0
        self.began = asyncio.Event()

    async def run(self, world: World, person: Person, naps: Naps) -> None:
        async with under_mandate(
            person.plane, "east", clock=world.clock, sleep=naps.sleep
        ) as self.epoch:
            self.began.set()
            await asyncio.Event().wait()


@asynccontextmanager
async def working(world: World, person: Person, naps: Naps) -> AsyncIterator[asyncio.Task[None]]:
    work = Work()
    task = asyncio.create_task(work.run(world, person, naps))
    await work.began.wait()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(task: asyncio.Task[None]) -> FarshoreError:
    with pytest.raises(FarshoreError) as caught:
        await task
    return caught.value


async def test_where_nothing_was_recorded_the_configured_source_is_copied(world: World) -> None:
    assert require_mandate(await world.person("anna").plane.read(), "east") == 1


async def test_only_the_primary_is_copied(world: World) -> None:
    anna = world.person("anna")
    await records(anna, "give_up", "flip", primary="west")
    await records(anna, "commit", "reprotect")
    view = await anna.plane.read()
    with pytest.raises(Refused, match="east is not the primary: west is, by epoch 5") as caught:
        require_mandate(view, "east")
    assert "recorded by anna at 2026" in caught.value.message
    assert "in the recorded direction" in caught.value.hint
    assert require_mandate(view, "west") == 5


@pytest.mark.parametrize("events", [("give_up",), ("give_up", "flip"), ("unsure",)])
async def test_in_some_phases_nothing_is_copied(world: World, events: tuple[Event, ...]) -> None:
    anna = world.person("anna")
    record = await records(anna, *events)
    with pytest.raises(Refused, match="Nothing is copied while the pair is"):
        require_mandate(await anna.plane.read(), record.primary)


async def test_right_before_something_is_overwritten_the_record_is_asked(world: World) -> None:
    anna = world.person("anna")
    epoch = require_mandate(await anna.plane.read(), "east")
    await require_still(anna.plane, "east", epoch)
    await records(anna, "give_up", "flip", primary="west")
    with pytest.raises(Refused, match="east is not the primary"):
        await require_still(anna.plane, "east", epoch)
    anna.cut = set(SITES)
    await require_still(anna.plane, "east", epoch)


async def test_where_nobody_can_tell_nothing_is_copied(world: World) -> None:
    anna = world.person("anna")
    anna.cut = set(SITES)
    with pytest.raises(Unreachable, match="Who is primary"):
        require_mandate(await anna.plane.read(), "east")
    anna.cut = set()
    await world.stores["east"].put(BUCKET, record_name(PAIR), b"[]")
    with pytest.raises(Corrupt, match="Who is primary"):
        require_mandate(await anna.plane.read(), "east")
    await world.stores["west"].put(BUCKET, record_name(PAIR), b'{"schema": 7}')
    with pytest.raises(Refused, match="newer farshore"):
        require_mandate(await anna.plane.read(), "east")


async def test_a_side_that_is_behind_does_not_decide(world: World) -> None:
    """The old primary comes back and knows nothing of the failover."""
    anna = world.person("anna")
    anna.cut = {"east"}
    await records(anna, "give_up", "flip", primary="west")
    daemon = world.person("daemon")
    with pytest.raises(Refused, match="west is, by epoch 4"):
        async with under_mandate(daemon.plane, "east", clock=world.clock):
            pytest.fail("it copies from the old primary")
    assert world.records("east")[0].primary == "west"


async def test_work_is_stopped_when_the_epoch_has_risen(world: World) -> None:
    anna, daemon, naps = world.person("anna"), world.person("daemon"), Naps(world)
    async with working(world, daemon, naps) as task:
        await naps.end()
        await naps.settled()
        assert not task.done()
        await records(anna, "give_up", "abort")
        await naps.end()
        error = await ended(task)
    assert isinstance(error, Refused)
    assert "began under epoch 1, and epoch 3 was begun by anna at 2026" in error.message


async def test_work_is_stopped_when_another_site_is_primary(world: World) -> None:
    anna, daemon, naps = world.person("anna"), world.person("daemon"), Naps(world)
    async with working(world, daemon, naps) as task:
        await records(anna, "give_up", "flip", primary="west")
        await naps.end()
        assert "west is, by epoch 5" in (await ended(task)).message


async def test_work_goes_on_through_changes_within_its_epoch(world: World) -> None:
    anna, daemon, naps = world.person("anna"), world.person("daemon"), Naps(world)
    async with working(world, daemon, naps) as task:
        await records(anna, "freeze", "drain", "fence")
        await naps.end()
        await naps.settled()
        assert not task.done()


async def test_a_record_that_cannot_be_read_for_long_ends_the_work(world: World) -> None:
    daemon, naps = world.person("daemon"), Naps(world)
    async with working(world, daemon, naps) as task:
        daemon.cut = set(SITES)
        await naps.end(UNSEEN_SECONDS_MAX / 2)
        await naps.settled()
        assert not task.done()
        await naps.end(UNSEEN_SECONDS_MAX)
        assert "could not be read for 30 s" in (await ended(task)).message


async def test_a_side_that_is_back_is_brought_up_while_work_goes_on(world: World) -> None:
    anna, daemon, naps = world.person("anna"), world.person("daemon"), Naps(world)
    await records(anna, "freeze")
    async with working(world, daemon, naps) as task:
        anna.cut = {"west"}
        await records(anna, "thaw")
        assert world.records("west")[0].phase == "frozen"
        await naps.end()
        await naps.settled()
        assert world.records("west")[0].phase == "protected"
        assert not task.done()


async def test_a_side_that_lacks_audit_entries_alone_is_brought_up_once_it_is_back(
    world: World,
) -> None:
    """A run that failed its preflight while a side was away changes no record (chaos of roles,
    seed 3): that side lacked its end until the next change, and held it for open."""
    anna, daemon, naps = world.person("anna"), world.person("daemon"), Naps(world)
    async with working(world, daemon, naps):
        anna.cut = daemon.cut = {"west"}
        await anna.plane.note(by="anna", action="switchover", kind="intent", what="a run")
        await naps.end()
        await naps.settled()
        assert await world.entries("west") == []
        daemon.cut = set()
        await naps.end()
        await naps.settled()
        assert await world.entries("west") == await world.entries("east")


async def test_a_side_that_only_somebody_else_could_not_reach_is_brought_up_within_a_minute(
    world: World,
) -> None:
    anna, daemon, naps = world.person("anna"), world.person("daemon"), Naps(world)
    async with working(world, daemon, naps):
        anna.cut = {"west"}
        await anna.plane.note(by="anna", action="switchover", kind="intent", what="a run")
        assert await world.entries("west") == []
        for _ in range(LOGS_EVERY_LOOKS):
            await naps.end()
        await naps.settled()
        assert await world.entries("west") == await world.entries("east")


@pytest.mark.parametrize("nth", range(1, 6))
async def test_a_healing_that_breaks_off_is_gone_on_with(world: World, nth: int) -> None:
    """West alone has entries that the head of the record, which is at both by then, would hide."""
    anna, ben, naps = world.person("anna"), world.person("ben"), Naps(world)
    await anna.adds("before")
    anna.cut, ben.cut = {"east"}, {"west"}
    for word in ("one", "two"):
        await anna.plane.note(by="anna", action="approve", kind="result", what=word)
    for word in ("a", "b", "c"):
        await ben.adds(word)
    puts = 0

    def silent(operation: str, _bucket: str, _key: str, _number: int) -> Fault | None:
        nonlocal puts
        puts += operation == "put"
        return unreachable() if puts >= nth else None

    daemon = Person(world, "daemon", silent, only="east")
    async with under_mandate(daemon.plane, "east", clock=world.clock, sleep=naps.sleep):
        nth = 1000  # from now on it answers
        for _ in range(2):
            await naps.end()
            await naps.settled()
    assert puts > 0, "it was healed"
    east, west = await world.entries("east"), await world.entries("west")
    assert [e.place for e in east] == [e.place for e in west]
    assert world.records("east")[0] == world.records("west")[0]
