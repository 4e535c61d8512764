"""The control record on two sites: one at a time goes wrong, each as it happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from farshore.control.ledger import key_of, record_name
from farshore.core.chain import Entry, verify
from farshore.core.record import ControlRecord, Fence
from farshore.errors import OutcomeUnknown, Refused, Unreachable
from farshore.testing.store.faults import Faulty, Hang, lost_answer, on, unreachable
from tests.unit.sites import config_of
from tests.unit.two_sides import BUCKET, PAIR, SITES, Once, Person, World, words_of

RECORD = record_name(PAIR)


@pytest.fixture
async def world() -> World:
    return await World().ready()


async def test_where_nothing_was_recorded_the_configured_source_is_primary(world: World) -> None:
    view = await world.person("anna").plane.read()
    assert not view.written
    assert (view.record.primary, view.record.epoch, view.record.phase) == ("east", 1, "protected")
    assert view.agree
    assert view.sentence == "Nothing was recorded yet."


async def test_a_change_stands_on_both_sides_with_its_intent_and_its_result(world: World) -> None:
    record = await world.person("anna").adds("one")
    assert (record.epoch, record.revision, record.by, record.why) == (1, 1, "anna", "one")
    view = await world.person("ben").plane.read()
    assert view.in_step
    assert view.record == record
    assert view.sentence == "Both sides agree."
    east, west = await world.entries("east"), await world.entries("west")
    assert east == west
    assert [entry.draft.kind for entry in east if isinstance(entry, Entry)] == ["intent", "result"]
    assert verify(east, record.audit_head) is None


async def test_a_change_that_changes_nothing_writes_nothing(world: World) -> None:
    anna = world.person("anna")
    record = await anna.adds("one")
    assert await anna.plane.change(lambda r: r, by="anna", why="", action="look") == record
    assert len(world.records("east")) == 1


async def test_what_the_change_refuses_is_refused_before_anything_is_written(world: World) -> None:
    def decide(record: ControlRecord) -> ControlRecord:
        return record.stepped("flip", primary="west")

    with pytest.raises(Refused, match="flip cannot follow"):
        await world.person("anna").plane.change(decide, by="anna", why="", action="flip")
    assert not world.stores["east"].dump(BUCKET)


async def test_another_primary_needs_another_epoch_and_a_site_of_the_pair(world: World) -> None:
    plane = world.person("anna").plane
    with pytest.raises(Refused, match="higher epoch"):
        await plane.change(lambda r: replace(r, primary="west"), by="a", why="", action="flip")
    with pytest.raises(Refused, match="not a site"):
        await plane.change(
            lambda r: replace(r, primary="north", epoch=2), by="a", why="", action="flip"
        )


async def test_a_change_of_roles_raises_the_epoch_by_two_while_its_arbiter_answers(
    world: World,
) -> None:
    plane = world.person("anna").plane
    await plane.change(lambda r: r.stepped("give_up"), by="anna", why="down", action="give_up")
    record = await plane.change(
        lambda r: r.stepped("flip", primary="west"), by="anna", why="down", action="flip"
    )
    assert (record.epoch, record.primary, record.phase) == (5, "west", "switched")


@pytest.mark.parametrize(
    ("name", "source", "target", "key"),
    [
        ("east-west", "east", "west", "east.west"),
        ("west-east", "west", "east", "east.west"),
        ("east-west", "west", "east", "east.west"),
        ("photos", "west", "east", "photos"),
    ],
)
def test_the_record_of_a_pair_is_the_same_in_both_directions(
    name: str, source: str, target: str, key: str
) -> None:
    """A pair with a name of its own has a record of its own."""
    pair = replace(config_of().pair, name=name, source=source, target=target)
    assert key_of(pair) == key


async def test_status_shows_what_stands_in_one_line_and_as_json(world: World) -> None:
    anna = world.person("anna")
    assert (await anna.plane.read()).line == (
        "protected, epoch 1, revision 0, primary east. Nothing was recorded yet."
    )
    await anna.records("give_up")
    view = await anna.plane.read()
    assert view.line == "given up, epoch 3, revision 1, primary east. Both sides agree."
    found = view.to_json()
    assert (found["phase"], found["epoch"], found["primary"]) == ("given_up", 3, "east")
    assert (found["by"], found["at"]) == ("anna", "2026-01-01T00:00:00.000Z")
    assert (found["agree"], found["strong"], found["conflicts"]) == (True, True, [])
    anna.cut = {"west"}
    found = (await anna.plane.read()).to_json()
    assert found["agree"] is False
    assert found["sites"]["west"]["shows"] == "unreachable"
    assert found["sites"]["west"]["trouble"]


# -- two at once ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
async def test_of_two_who_change_it_at_once_exactly_one_wins(seed: int) -> None:
    world = await World(seed=seed, jostle=True).ready()
    anna, ben = world.person("anna"), world.person("ben")
    if seed % 2:
        await anna.adds("before")
    outcomes = await asyncio.gather(anna.tries("a"), ben.tries("b"))
    records = [outcome for outcome in outcomes if isinstance(outcome, ControlRecord)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    if len(records) == 2:  # one had ended before the other began to read
        assert words_of(max(records, key=lambda r: r.revision))[-2:] in (["a", "b"], ["b", "a"])
    else:
        assert (len(records), len(refusals)) == (1, 1)
        assert f"{records[0].by} at 20" in refusals[0].message
        assert "decide again" in refusals[0].hint
        assert world.records("east")[0] == world.records("west")[0] == records[0]
    for site in SITES:
        assert verify(await world.entries(site), world.records(site)[0].audit_head) is None


async def test_the_one_who_is_late_is_told_who_was_first_and_when(world: World) -> None:
    """Both have read the same; the other's record lands just before ours."""
    anna, ben = world.person("anna"), world.person("ben")
    await anna.adds("before")

    def decide(record: ControlRecord) -> ControlRecord:
        return replace(record, switch=replace(record.switch, why="late"))

    world.stores["east"].hook = Once(world.stores["east"], RECORD, lambda: anna.adds("a"))
    with pytest.raises(Refused) as caught:
        await ben.plane.change(decide, by="ben", why="", action="switch")
    assert caught.value.exit_code == 5
    assert "anna at 2026-01-01T00:00:00.000Z (a) was first" in caught.value.message
    assert "epoch 1, revision 2" in caught.value.message
    outcomes = [e.draft.outcome for e in await world.entries("west") if isinstance(e, Entry)]
    assert sorted(outcomes) == ["", "", "", "ok", "ok", "refused"]


# -- one side down -------------------------------------------------------------------


async def test_that_a_fence_stands_by_now_is_no_decision_that_comes_first(world: World) -> None:
    """The daemon notes it when the site answers; a failover at work must not fail over it."""
    anna, daemon = world.person("anna"), world.person("daemon")
    fence = Fence("east", "policy", "pending", "anna", "down", 1.0)
    await anna.plane.change(lambda r: r.with_fence(fence), by="anna", why="", action="fence")

    async def stands() -> None:
        standing = replace(fence, state="standing")
        await daemon.plane.change(
            lambda r: r.with_fence(standing), by="anna", why="", action="fence.done"
        )

    world.stores["east"].hook = Once(world.stores["east"], RECORD, stands)
    record = await anna.records("give_up")
    assert (record.phase, record.fence_of("east")) == ("given_up", replace(fence, state="standing"))
    for site in SITES:
        assert verify(await world.entries(site), world.records(site)[0].audit_head) is None


async def test_that_a_fence_was_taken_away_is_a_decision(world: World) -> None:
    anna, ben = world.person("anna"), world.person("ben")
    fence = Fence("east", "policy", "standing", "anna", "down", 1.0)
    await anna.plane.change(lambda r: r.with_fence(fence), by="anna", why="", action="fence")

    async def lowers() -> None:
        await ben.plane.change(
            lambda r: r.without_fence("east"), by="ben", why="", action="unfence"
        )

    world.stores["east"].hook = Once(world.stores["east"], RECORD, lowers)
    with pytest.raises(Refused) as caught:
        await anna.records("give_up")
    assert caught.value.message.startswith("give_up was not recorded: ben at 2026-01-01T")


async def test_with_the_second_site_down_the_first_one_decides_in_its_epoch(world: World) -> None:
    anna = world.person("anna")
    await anna.adds("before")
    anna.cut = {"west"}
    record = await anna.adds("alone")
    assert (record.epoch, record.revision) == (1, 2)
    assert world.records("west")[0].revision == 1
    anna.cut = set()
    view = await anna.plane.read()
    assert view.conflicts == ()
    assert view.sentence.startswith("west is behind")
    healed = await anna.plane.heal()
    assert healed.in_step
    assert world.records("west")[0] == record
    assert world.history("west") == []
    assert await world.entries("east") == await world.entries("west")


async def test_with_the_first_site_down_the_second_one_decides_in_its_own_epoch(
    world: World,
) -> None:
    anna = world.person("anna")
    await anna.adds("before")
    anna.cut = {"east"}
    first = await anna.adds("alone")
    second = await anna.adds("again")
    assert [(r.epoch, r.revision) for r in (first, second)] == [(2, 2), (2, 3)]
    anna.cut = set()
    assert (await anna.plane.heal()).record == second
    assert world.records("east")[0] == second
    third = await anna.adds("both")
    assert (third.epoch, third.revision) == (2, 4)
    assert words_of(third) == ["before", "alone", "again", "both"]


async def test_with_both_sites_down_nothing_is_recorded(world: World) -> None:
    anna = world.person("anna")
    anna.cut = set(SITES)
    with pytest.raises(Unreachable, match=r"east: .* west: "):
        await anna.adds("one")


async def test_a_failover_needs_nothing_but_the_surviving_side(world: World) -> None:
    """Nothing was ever recorded, and the primary is gone."""
    anna = world.person("anna")
    anna.cut = {"east"}
    fence = Fence("east", "policy", "pending", "anna", "down", 1.0)
    plane = anna.plane
    await plane.change(
        lambda r: r.stepped("give_up").with_fence(fence), by="anna", why="down", action="give_up"
    )
    record = await plane.change(
        lambda r: r.stepped("flip", primary="west"), by="anna", why="down", action="flip"
    )
    assert (record.primary, record.epoch, record.fences) == ("west", 4, (fence,))
    ben = world.person("ben")
    assert (await ben.plane.heal()).of("east").record == record


# -- two who cannot see each other -----------------------------------------------------


async def test_the_higher_epoch_wins_and_the_loser_is_kept_and_shown(world: World) -> None:
    anna, ben = world.person("anna"), world.person("ben")
    await anna.adds("before")
    anna.cut, ben.cut = {"west"}, {"east"}
    lost = await anna.adds("a")
    won = await ben.adds("b")
    anna.cut = set()
    view = await anna.plane.read()
    assert view.record == won
    assert len(view.conflicts) == 1
    assert "east shows epoch 1, revision 2 by anna" in view.conflicts[0]
    assert "has lost" in view.conflicts[0]
    assert not view.agree
    healed = await anna.plane.heal()
    assert healed.in_step
    assert healed.conflicts == ()
    assert world.records("east")[0] == world.records("west")[0] == won
    assert world.history("east") == [lost]
    entries = await world.entries("east")
    assert entries == await world.entries("west")
    assert verify(entries, won.audit_head, lost.audit_head) is None
    notes = [e.draft for e in entries if isinstance(e, Entry) and e.draft.action == "heal"]
    assert notes[0].what == ("east was brought from epoch 1, revision 2 to epoch 2, revision 2.")
    assert notes[0].before == lost.to_json()


async def test_who_loses_while_copying_is_refused_and_kept(world: World) -> None:
    """Anna sees both; Ben, who sees west alone, decides between her two writes."""
    anna, ben = world.person("anna"), world.person("ben")
    await anna.adds("before")
    ben.cut = {"east"}

    world.stores["west"].hook = Once(world.stores["west"], RECORD, lambda: ben.adds("b"))
    with pytest.raises(Refused, match=r"ben at .* was first"):
        await anna.adds("a")
    assert (await anna.plane.heal()).in_step
    assert words_of(world.records("east")[0]) == ["before", "b"]
    assert [words_of(record) for record in world.history("east")] == [["before", "a"]]


# -- answers that are lost -------------------------------------------------------------


@pytest.mark.parametrize("nth", [1, 2])
async def test_a_change_whose_answer_is_lost_is_read_back(world: World, nth: int) -> None:
    anna = Person(world, "anna", on("put", lost_answer(), nth=nth, key=RECORD))
    record = await anna.adds("one")
    assert record.revision == 1
    assert world.records("east") == world.records("west") == [record]


async def test_an_entry_whose_answer_is_lost_stands_once(world: World) -> None:
    for number in range(1, 5):
        anna = Person(world, "anna", on("put", lost_answer(), nth=number))
        await anna.adds(f"change {number}")
    entries = await world.entries("east")
    assert [entry.sequence for entry in entries] == list(range(1, 9))
    assert verify(entries, world.records("east")[0].audit_head) is None


async def test_an_arbiter_that_reads_but_does_not_write_is_left_out(world: World) -> None:
    anna = world.person("anna")
    await anna.adds("before")
    down = Faulty(world.stores["east"], on("put", unreachable(), times=1000))
    anna.plane.both.ledgers["east"].store = down
    record = await anna.adds("alone")
    assert (record.epoch, record.revision) == (2, 2)
    assert world.records("east")[0].epoch == 1
    assert world.records("west")[0] == record


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("operations", [("get", "put"), ("put",)])
async def test_a_site_that_says_nothing_is_left_out_in_time(
    world: World, site: str, operations: tuple[str, ...]
) -> None:
    anna = world.person("anna")
    await anna.adds("before")
    never = asyncio.Event()

    def silent(operation: str, _bucket: str, _key: str, _number: int) -> Hang | None:
        return Hang(never) if operation in operations else None

    world.seconds_max = 0.02
    ben = world.person("ben")
    ben.plane.both.ledgers[site].store = Faulty(world.stores[site], silent)
    async with asyncio.timeout(5):
        record = await ben.adds("without")
    assert words_of(record) == ["before", "without"]
    assert record.place == ((2, 2) if site == "east" else (1, 2))
    assert (await anna.plane.heal()).record == record


async def test_when_nobody_can_tell_it_is_said(world: World) -> None:
    """West is down, and east goes away with the answer."""
    anna = world.person("anna")
    anna.cut = {"west"}

    async def goes() -> None:
        anna.cut = set(SITES)
        raise OutcomeUnknown("no answer came")

    world.stores["east"].hook = Once(world.stores["east"], RECORD, goes, after=True)
    with pytest.raises(OutcomeUnknown, match="not known") as caught:
        await anna.adds("one")
    assert caught.value.exit_code == 6
