"""A fence and the control record: whoever dies or races, they come to say the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from farshore.clock import Clock
from farshore.config import Config
from farshore.core.record import ControlRecord, Fence, initial
from farshore.errors import Refused, ServerFault, Unreachable
from farshore.fence.bite import Bite, Word
from farshore.fence.recorded import Fences
from farshore.fence.site import Opened, Toothless
from farshore.testing.clock import ManualClock
from tests.unit.sites import TOML, config_of


@dataclass
class Plane:
    """The control record of a pair that always answers; `meanwhile` runs before a change."""

    record: ControlRecord = field(default_factory=lambda: initial("east.west", "east"))
    actions: list[str] = field(default_factory=list)
    meanwhile: dict[str, Callable[[ControlRecord], ControlRecord]] = field(default_factory=dict)

    answering: Sequence[str] = ("east", "west")

    async def read(self) -> Plane:
        return self

    async def change(
        self, decide: Callable[[ControlRecord], ControlRecord], *, by: str, why: str, action: str
    ) -> ControlRecord:
        if action in self.meanwhile:
            self.record = replace(self.meanwhile.pop(action)(self.record), by="bob@desk")
        self.record = replace(decide(self.record), by=by, why=why)
        self.actions.append(action)
        return self.record

    @property
    def state(self) -> str:
        fence = self.record.fence_of("east")
        return fence.state if fence else ""


@dataclass
class East:
    """A site whose fence is one word. `down`: it does not answer."""

    stands: bool = False
    word: Word = "bites"
    down: bool = False
    calls: list[str] = field(default_factory=list)

    async def look(self) -> dict[str, bool]:
        return {"files": self.stands}

    async def put(self, *, keep: bool = False) -> list[Bite]:
        self.calls.append("keep" if keep else "put")
        bites = [Bite("files", self.word)]
        if self.word == "open":
            raise Toothless("it does not bite", bites=bites)
        self.stands = True
        return bites

    async def take(self) -> list[Opened]:
        self.calls.append("take")
        was = self.stands
        self.stands = False
        return [Opened("files", was, True)]

    @asynccontextmanager
    async def open(self, _: Config, site: str, __: Clock) -> AsyncIterator[East]:
        assert site == "east"
        if self.down:
            raise Unreachable("east does not answer")
        yield self


@pytest.fixture
def plane() -> Plane:
    return Plane()


@pytest.fixture
def east() -> East:
    return East()


@pytest.fixture
def fences(plane: Plane, east: East) -> Fences:
    without_app = "\n".join(line for line in TOML.splitlines() if not line.startswith("app"))
    return Fences(config_of(without_app), plane, ManualClock(), opener=east.open)


def fence_in(plane: Plane) -> Fence:
    found = plane.record.fence_of("east")
    assert found is not None
    return found


async def test_what_is_wanted_is_recorded_before_what_is(
    fences: Fences, plane: Plane, east: East
) -> None:
    raised = await fences.raise_("east", "ann@desk", "it burns")
    assert (raised.proved, plane.state, plane.actions) == (
        True,
        "standing",
        ["fence", "fence.done"],
    )
    fence = fence_in(plane)
    assert (fence.by, fence.why, fence.mode) == ("ann@desk", "it burns", "policy")
    await fences.raise_("east", "bob@desk", "again")
    assert fence_in(plane) == fence, "it keeps its author"
    assert [o.open for o in await fences.lower("east", "bob@desk", "over")] == [True]
    assert (plane.state, east.stands) == ("", False)
    assert [o.was for o in await fences.lower("east", "bob@desk", "over")] == [False]


async def test_a_site_that_is_down_is_fenced_when_it_answers(
    fences: Fences, plane: Plane, east: East
) -> None:
    east.down = True
    raised = await fences.raise_("east", "ann@desk", "it is gone")
    assert (raised.proved, plane.state, raised.trouble) == (
        False,
        "pending",
        "east does not answer",
    )
    assert not (await fences.carry_out(fence_in(plane))).proved
    east.down = False
    assert (await fences.carry_out(fence_in(plane))).proved
    assert (plane.state, fence_in(plane).by, east.calls) == ("standing", "ann@desk", ["keep"])


async def test_a_pending_fence_can_be_taken_back_while_the_site_is_down(
    fences: Fences, plane: Plane, east: East
) -> None:
    east.down = True
    await fences.raise_("east", "ann@desk", "it is gone")
    assert await fences.lower("east", "ann@desk", "a false alarm") == []
    assert plane.state == ""
    east.down = False
    await fences.raise_("east", "ann@desk", "it is back, sick")
    east.down = True
    with pytest.raises(Unreachable):
        await fences.lower("east", "ann@desk", "now")
    assert plane.state == "standing", "what stands there cannot be taken away from here"
    again = await fences.raise_("east", "bob@desk", "does it stand?")
    assert (again.fence.state, again.proved) == ("standing", False)


async def test_what_cannot_be_proved_is_recorded_as_that(
    fences: Fences, plane: Plane, east: East
) -> None:
    east.word = "unproved"
    raised = await fences.raise_("east", "ann@desk", "now")
    assert (raised.proved, plane.state) == (False, "unproved")
    east.word = "bites"
    assert (await fences.raise_("east", "ann@desk", "now")).proved
    assert plane.state == "standing"


async def test_a_fence_that_does_not_bite_leaves_the_record_as_it_was(
    fences: Fences, plane: Plane, east: East
) -> None:
    east.word = "open"
    with pytest.raises(Toothless):
        await fences.raise_("east", "ann@desk", "now")
    assert (plane.state, plane.actions[-1]) == ("", "fence.refused")
    east.word = "bites"
    await fences.raise_("east", "ann@desk", "now")
    east.word = "open"
    with pytest.raises(Toothless):
        await fences.raise_("east", "bob@desk", "does it still?")
    assert plane.state == "pending", "it is wanted, and does not hold"
    with pytest.raises(Toothless):
        await fences.carry_out(fence_in(plane))
    assert plane.state == "pending"


async def test_an_error_half_way_leaves_it_pending(
    fences: Fences, plane: Plane, east: East
) -> None:
    class Failing(East):
        async def put(self, *, keep: bool = False) -> list[Bite]:
            raise ServerFault("500")

    with pytest.raises(ServerFault):
        await replace(fences, opener=Failing().open).raise_("east", "ann@desk", "now")
    assert plane.state == "pending"
    assert (await fences.raise_("east", "ann@desk", "now")).proved


async def test_taken_back_by_another_while_it_was_put_up(
    fences: Fences, plane: Plane, east: East
) -> None:
    plane.meanwhile["fence.done"] = lambda record: record.without_fence("east")
    with pytest.raises(Refused, match="bob@desk took the fence of east back"):
        await fences.raise_("east", "ann@desk", "now")
    assert (plane.state, east.stands) == ("", False)


@pytest.mark.parametrize("stood", [False, True])
async def test_fenced_by_another_while_it_was_taken_away(
    fences: Fences, plane: Plane, east: East, stood: bool
) -> None:
    if stood:
        await fences.raise_("east", "ann@desk", "now")
    theirs = Fence("east", "policy", "standing", "bob@desk", "no!", 1.0)
    plane.meanwhile["unfence"] = lambda record: record.with_fence(theirs)
    with pytest.raises(Refused, match="bob@desk fenced east while its fence was taken away"):
        await fences.lower("east", "ann@desk", "over")
    assert (fence_in(plane), east.stands) == (theirs, True)


async def test_two_who_fence_at_once_agree(fences: Fences, plane: Plane, east: East) -> None:
    theirs = Fence("east", "policy", "standing", "bob@desk", "first", 1.0)
    plane.meanwhile["fence"] = lambda record: record.with_fence(theirs)
    raised = await fences.raise_("east", "ann@desk", "second")
    assert (raised.proved, fence_in(plane).by) == (True, "bob@desk")


async def test_without_a_record_nothing_is_changed(
    fences: Fences, plane: Plane, east: East
) -> None:
    plane.answering = ()
    for order in (fences.raise_, fences.lower):
        with pytest.raises(Unreachable, match="Neither control bucket"):
            await order("east", "ann@desk", "now")
    assert (east.calls, plane.actions) == ([], [])


# -- at one moment ---------------------------------------------------------------------------


@dataclass
class Racing(East):
    """A site whose policy is read, tried and written in steps, between which others work."""

    random: Random = field(default_factory=Random)

    async def _others(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)

    async def look(self) -> dict[str, bool]:
        await self._others()
        return {"files": self.stands}

    async def put(self, *, keep: bool = False) -> list[Bite]:
        if not (await self.look())["files"]:
            self.stands = False  # what an earlier trial has left is taken away
            await self._others()
            self.stands = True
        await self._others()
        bites = [Bite("files", "bites" if self.stands else "open")]
        if not self.stands:
            raise Toothless("it does not bite", bites=bites)
        return bites

    async def take(self) -> list[Opened]:
        await self._others()
        was, self.stands = self.stands, False
        await self._others()
        return [Opened("files", was, not self.stands)]


@dataclass
class RacingPlane(Plane):
    """Reading and changing the record take time; a change is one step."""

    random: Random = field(default_factory=Random)

    async def read(self) -> Plane:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        return Plane(self.record)

    async def change(
        self, decide: Callable[[ControlRecord], ControlRecord], *, by: str, why: str, action: str
    ) -> ControlRecord:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        return await super().change(decide, by=by, why=why, action=action)


async def race(fences: Fences, seed: int) -> str:
    """Two or three people at once; how the record and the site differ, "" where they agree."""
    random = Random(seed)
    east, plane = Racing(random=random), RacingPlane(random=random)
    one = replace(fences, recorder=plane, opener=east.open)
    if random.random() < 0.5:
        await one.raise_("east", "ann@desk", "before")
    orders = [random.choice([one.raise_, one.lower]) for _ in range(random.choice([2, 3]))]
    ended = await asyncio.gather(
        *(order("east", f"{number}@desk", "now") for number, order in enumerate(orders)),
        return_exceptions=True,
    )
    defects = [e for e in ended if isinstance(e, BaseException) and not isinstance(e, Refused)]
    assert defects == []
    agree = plane.state == "pending" or (plane.state == "standing") == east.stands
    return "" if agree else f"seed {seed}: recorded {plane.state!r}, stands {east.stands}"


async def test_people_at_one_moment_leave_what_the_record_says(fences: Fences) -> None:
    assert [told for seed in range(500) if (told := await race(fences, seed))] == []
