"""A daemon that looks after fences: what is gone at a site is wanted again, and not too soon."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from farshore.config import Config, Principal
from farshore.core.policy import Spared, deny_writes, merged
from farshore.core.record import ControlRecord, Fence
from farshore.daemon.fences import STANDING_EVERY_S, SURE_AFTER_S, FenceKeeper
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import config_of
from tests.unit.two_sides import BUCKET as CONTROL
from tests.unit.two_sides import Person, World

BUCKET = "files"
FENCE = Fence("east", "policy", "standing", "ann@desk", "it burns", 1.0)
POLICY = merged("", deny_writes(BUCKET, Spared.of(["replicator"])))


class Enough(Exception):
    """The looks that were asked for are over."""


@dataclass
class Desk:
    """East is recorded as fenced. `waits`: the seconds before each look."""

    world: World
    person: Person
    said: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    looks: int = 0
    policy_back_at: int = 0

    @property
    def east(self) -> MemoryStore:
        return self.world.stores["east"]

    async def sleep(self, seconds: float) -> None:
        if len(self.waits) == self.looks:
            raise Enough
        self.waits.append(seconds)
        if len(self.waits) == self.policy_back_at:
            await self.east.put_bucket_policy(BUCKET, POLICY)

    def open_site(self, _: Config, site: str, __: Principal) -> MemoryStore:
        return self.world.stores[site]

    async def look(self, looks: int) -> None:
        """A daemon starts, looks so often, and ends."""
        self.looks, self.waits = looks, []
        keeper = FenceKeeper(
            config_of(), self.world.clock, self.said.append, self.sleep, self.open_site
        )
        await keeper._read(self.person.plane)
        with pytest.raises(Enough):
            await keeper._look_for_ever(self.person.plane)

    async def records(self, fence: Fence | None) -> None:
        def decide(record: ControlRecord) -> ControlRecord:
            return record.with_fence(fence) if fence else record.without_fence("east")

        await self.person.plane.change(decide, by="ann@desk", why="a test", action="fence")

    @property
    def state(self) -> str:
        """The fence's, as east has it recorded."""
        fence = self.world.records("east")[0].fence_of("east")
        return fence.state if fence else "none"


@pytest.fixture
async def desk() -> Desk:
    world = await World().ready()
    made = Desk(world, world.person("daemon"))
    await made.east.create_bucket(BUCKET)
    await made.east.put_versioning(BUCKET, True)
    await made.records(FENCE)
    return made


async def test_a_fence_that_stands_is_left_alone(desk: Desk) -> None:
    await desk.east.put_bucket_policy(BUCKET, POLICY)
    await desk.look(3)
    assert desk.waits == [STANDING_EVERY_S] * 3
    assert (desk.state, desk.said) == ("standing", [])


async def test_a_fence_that_is_gone_is_wanted_again_at_the_second_look(desk: Desk) -> None:
    await desk.look(1)
    assert desk.state == "standing", "somebody may be about to record that it was taken away"
    await desk.look(2)
    assert desk.waits == [STANDING_EVERY_S, SURE_AFTER_S]
    assert desk.state == "pending"
    assert desk.said == ["the fence of east is gone, and is put up again"]


async def test_a_fence_that_is_back_at_the_second_look_is_left_alone(desk: Desk) -> None:
    desk.policy_back_at = 2
    await desk.look(3)
    assert desk.waits == [STANDING_EVERY_S, SURE_AFTER_S, STANDING_EVERY_S]
    assert (desk.state, desk.said) == ("standing", [])


async def test_a_fence_that_a_person_has_taken_away_stays_away(desk: Desk) -> None:
    keeper = FenceKeeper(config_of(), desk.world.clock, desk.said.append, desk.sleep)
    await keeper._read(desk.person.plane)
    await desk.records(None)
    await keeper._want_again(desk.person.plane, FENCE)
    assert desk.state == "none"


async def test_a_site_that_has_lost_its_disks_is_brought_up_before_its_fence(desk: Desk) -> None:
    """Its audit log is gone with them: an entry there would get a number that was given out."""
    empty = MemoryStore("east", clock=desk.world.clock, capabilities=EVERYTHING, seed=7)
    for bucket in (CONTROL, BUCKET):
        await empty.create_bucket(bucket)
        await empty.put_versioning(bucket, True)
    desk.world.stores["east"] = empty
    desk.person = desk.world.person("daemon")
    await desk.look(2)
    assert (desk.world.records("east"), desk.said) == ([], [])
    assert desk.world.records("west")[0].fence_of("east") == FENCE
    await desk.person.plane.heal()
    await desk.look(2)
    assert desk.state == "pending"
