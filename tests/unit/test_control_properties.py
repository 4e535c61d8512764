"""The control record under partitions, lost answers and people who act at once.

Rounds of changes, each person seeing both sites, one or none; then everybody sees
everything, the sites are brought into step, and what was promised must hold.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.control.both import BothSides
from farshore.control.view import View
from farshore.core.chain import Draft, Entry, Head, verify
from farshore.core.record import ControlRecord
from farshore.errors import FarshoreError, Refused
from farshore.testing.store.faults import Crash, Crashed, Rates, at
from tests.unit.two_sides import SITES, Hours, Person, World, words_of

PEOPLE = ("anna", "ben", "cleo")

CUTS = st.sampled_from([frozenset(), frozenset(), {"east"}, {"west"}, {"east", "west"}])
ROUND = st.fixed_dictionaries({name: st.none() | CUTS for name in PEOPLE})
"""Who acts, and what they cannot see; None: they do nothing."""

BAD_LINE = Rates(unreachable=0.05, lost_answer=0.1, server_fault_after=0.05, throttled=0.05)

Outcome = ControlRecord | FarshoreError


async def happens(
    rounds: list[dict[str, frozenset[str] | None]], seed: int, rates: Rates | None
) -> tuple[World, dict[str, Outcome]]:
    """The world afterwards, in step, and what each change was answered, by its word."""
    world = await World(seed=seed, jostle=True).ready()
    people = {
        name: world.person(name, seed=seed + number, rates=rates)
        for number, name in enumerate(PEOPLE)
    }
    people["cleo"].raises = True
    outcomes: dict[str, Outcome] = {}
    for number, cuts in enumerate(rounds):
        acting = [name for name in PEOPLE if cuts[name] is not None]
        for name in acting:
            people[name].cut = set(cuts[name] or ())
        words = [f"{name} {number}" for name in acting]
        answers = await asyncio.gather(
            *(people[name].tries(word) for name, word in zip(acting, words, strict=True))
        )
        outcomes.update(zip(words, answers, strict=True))
    view = await world.person("healer").plane.heal()
    assert view.in_step or not view.written, view.sentence
    return world, outcomes


def never_two_at_one_place(world: World) -> None:
    """At one (epoch, revision) there is one record, wherever and whenever it stood."""
    places: dict[tuple[int, int], str] = {}
    for site in SITES:
        for record in (*world.records(site), *world.history(site)):
            assert places.setdefault(record.place, record.digest) == record.digest


def only_rises(world: World) -> None:
    """What stands at a site is never replaced by something lower."""
    for site in SITES:
        places = [record.place for record in reversed(world.records(site))]
        assert places == sorted(set(places))


def nothing_acknowledged_is_lost(world: World, outcomes: dict[str, Outcome]) -> None:
    """Its word is in what stands; or it lost to a higher epoch, and is in the history."""
    records = world.records("east")
    if not records:
        assert not [o for o in outcomes.values() if isinstance(o, ControlRecord)]
        return
    standing = records[0]
    kept = [record for site in SITES for record in world.history(site)]
    for word, outcome in outcomes.items():
        if not isinstance(outcome, ControlRecord):
            continue
        assert word in words_of(outcome)
        if word in words_of(standing):
            continue
        assert outcome.epoch < standing.epoch
        assert any(word in words_of(record) for record in kept), word


async def audited(world: World) -> None:
    """Both logs are the same and whole, down to the records that lost."""
    if not world.records("east"):
        return
    heads = [record.audit_head for site in SITES for record in world.history(site)]
    entries = await world.entries("east")
    assert entries == await world.entries("west")
    assert verify(entries, world.records("east")[0].audit_head, *heads) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(ROUND, min_size=1, max_size=5), st.integers(0, 10_000))
def test_partitions_lose_nothing_that_was_acknowledged(
    rounds: list[dict[str, frozenset[str] | None]], seed: int
) -> None:
    async def scenario() -> None:
        world, outcomes = await happens(rounds, seed, None)
        never_two_at_one_place(world)
        only_rises(world)
        nothing_acknowledged_is_lost(world, outcomes)
        await audited(world)
        assert world.records("east")[:1] == world.records("west")[:1]

    asyncio.run(scenario())


@settings(max_examples=150, deadline=None)
@given(st.lists(ROUND, min_size=1, max_size=4), st.integers(0, 10_000))
def test_partitions_and_lost_answers_lose_nothing_that_was_acknowledged(
    rounds: list[dict[str, frozenset[str] | None]], seed: int
) -> None:
    async def scenario() -> None:
        world, outcomes = await happens(rounds, seed, BAD_LINE)
        never_two_at_one_place(world)
        only_rises(world)
        nothing_acknowledged_is_lost(world, outcomes)
        await audited(world)
        assert world.records("east")[:1] == world.records("west")[:1]

    asyncio.run(scenario())


class Together(BothSides):
    """Nobody writes before everybody has read."""

    def __init__(self, both: BothSides, barrier: asyncio.Barrier) -> None:
        super().__init__(both.sites, list(both.ledgers.values()), primary="east")
        self._barrier = barrier
        self._waited = False

    async def append(
        self, view: View, site: str, draft: Draft, behind: Head | None = None
    ) -> Entry:
        if not self._waited:
            self._waited = True
            await self._barrier.wait()
        return await super().append(view, site, draft, behind)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.integers(0, 10_000))
def test_of_those_who_read_the_same_exactly_one_wins(count: int, seed: int) -> None:
    """With both sides up: as many changes as there are revisions, and whoever lost is told."""

    async def scenario() -> None:
        world = await World(seed=seed, jostle=True).ready()
        barrier = asyncio.Barrier(count)
        people = [world.person(f"person {number}") for number in range(count)]
        for person in people:
            person.plane.both = Together(person.plane.both, barrier)
        outcomes = await asyncio.gather(*(p.tries(p.name) for p in people))
        won = [outcome for outcome in outcomes if isinstance(outcome, ControlRecord)]
        assert len(won) == 1
        assert all(
            isinstance(o, Refused) and won[0].by in o.message for o in outcomes if o not in won
        )
        assert world.records("east") == world.records("west") == won

    asyncio.run(scenario())


CALLS_MAX = 200
"""A change and the healing before it are shorter than this."""


async def dies_at(number: int, *, after: bool) -> tuple[World, bool]:
    """Somebody is killed at one of their calls; (the world afterwards, whether they were)."""
    world = await World().ready()
    anna, victim = world.person("anna"), Person(world, "ben", at(number, Crash(after=after)))
    anna.cut = {"west"}
    await anna.adds("before")  # so that there is something to bring into step as well
    died = False
    try:
        await victim.adds("killed")
    except Crashed:
        died = True
    return world, died


@pytest.mark.parametrize("after", [False, True])
async def test_whoever_is_killed_anywhere_leaves_a_change_or_none(*, after: bool) -> None:
    """The next one goes on from what stands; the log stays whole."""
    deaths = 0
    for number in range(1, CALLS_MAX):
        world, died = await dies_at(number, after=after)
        deaths += died
        healed = await world.person("cleo").plane.heal()
        assert healed.in_step
        words = words_of(healed.record)
        assert words in (["before"], ["before", "killed"]), number
        record = await world.person("cleo").adds("next")
        assert words_of(record) == [*words, "next"]
        assert world.records("east")[0] == world.records("west")[0] == record
        never_two_at_one_place(world)
        await audited(world)
        if not died:
            break
    assert deaths > 20
    assert not died, "the last one lived"


@pytest.mark.parametrize("seed", range(8))
async def test_without_conditions_racers_are_kept_apart_by_the_lock(seed: int) -> None:
    hours = Hours()
    passing = asyncio.create_task(hours.pass_for_ever())
    world = await World(seed=seed, jostle=True, strong=False, clock=hours).ready()
    people = [world.person(name) for name in PEOPLE]
    answers = await asyncio.gather(*(person.tries(person.name) for person in people))
    await world.person("healer").plane.heal()
    passing.cancel()
    never_two_at_one_place(world)
    only_rises(world)
    outcomes = {person.name: answer for person, answer in zip(people, answers, strict=True)}
    nothing_acknowledged_is_lost(world, outcomes)
    assert all(isinstance(a, ControlRecord | Refused) for a in answers)
