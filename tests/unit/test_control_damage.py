"""The control record where documents are damaged, or a server obeys no conditions."""

from __future__ import annotations

import pytest

from farshore.control.ledger import record_name
from farshore.core.chain import verify
from farshore.errors import Corrupt, Refused, StateError
from tests.unit.two_sides import BUCKET, PAIR, SITES, World, words_of

RECORD = record_name(PAIR)


@pytest.fixture
async def world() -> World:
    return await World().ready()


# -- documents that are not what they were ---------------------------------------------


async def overwrite(world: World, site: str, body: bytes) -> None:
    await world.stores[site].put(BUCKET, RECORD, body)


async def test_a_damaged_record_is_shown_and_replaced_from_the_other_side(world: World) -> None:
    anna = world.person("anna")
    record = await anna.adds("one")
    await overwrite(world, "east", b"{ not json")
    view = await anna.plane.read()
    assert view.of("east").state == "damaged"
    assert view.record == record
    assert "damaged" in view.conflicts[0]
    assert (await anna.plane.heal()).in_step


async def test_a_record_that_somebody_edited_is_damaged(world: World) -> None:
    anna = world.person("anna")
    await anna.adds("one")
    edited = world.stores["east"].dump(BUCKET)
    body = next(h.body for h in edited if h.version.key == RECORD)
    await overwrite(world, "east", body.replace(b'"primary": "east"', b'"primary": "west"'))
    assert (await anna.plane.read()).of("east").state == "damaged"


async def test_a_damaged_record_is_not_replaced_by_guessing(world: World) -> None:
    anna = world.person("anna")
    await anna.adds("one")
    await overwrite(world, "west", b"[]")
    anna.cut = {"east"}
    with pytest.raises(Corrupt, match="damaged") as caught:
        await anna.adds("two")
    assert "purge" in caught.value.hint


async def test_a_newer_farshore_s_record_is_left_alone(world: World) -> None:
    anna = world.person("anna")
    await anna.adds("one")
    await overwrite(world, "west", b'{"schema": 2}')
    view = await anna.plane.read()
    assert view.of("west").state == "newer"
    assert "schema 2" in view.conflicts[0]
    with pytest.raises(StateError, match="newer farshore"):
        await anna.adds("two")
    with pytest.raises(StateError, match="newer farshore"):
        await anna.plane.note(by="anna", action="look", kind="intent", what="a look")
    assert b"schema" in world.stores["west"].dump(BUCKET)[-1].body


@pytest.mark.parametrize("sites", [("east",), ("west",), ("east", "west")])
async def test_a_record_that_was_rolled_back_is_detected_and_mended(
    world: World, sites: tuple[str, ...]
) -> None:
    """On one side the other one shows it; on both sides the audit log does."""
    anna = world.person("anna")
    await anna.adds("one")
    old = next(h.body for h in world.stores["east"].dump(BUCKET) if h.version.key == RECORD)
    await anna.plane.change(lambda r: r.stepped("give_up"), by="anna", why="down", action="give_up")
    last = world.records("east")[0]
    for site in sites:
        await overwrite(world, site, old)
    view = await anna.plane.read()
    assert view.record == last
    assert view.conflicts == tuple(
        f"{site} was rolled back: epoch 3, revision 2 stood there, and now epoch 1, revision 1."
        for site in sites
    )
    assert (await anna.plane.heal()).in_step
    assert {world.records(site)[0] for site in SITES} == {last}


async def test_a_record_that_was_deleted_is_detected_and_mended(world: World) -> None:
    anna = world.person("anna")
    record = await anna.adds("one")
    for site in SITES:
        await world.stores[site].delete(BUCKET, RECORD)
    view = await anna.plane.read()
    assert view.conflicts[0] == (
        "east was rolled back: epoch 1, revision 1 stood there, and now no record."
    )
    assert (await anna.plane.heal()).record == record


async def test_entries_that_a_site_has_missed_are_copied(world: World) -> None:
    anna = world.person("anna")
    for word in ("one", "two", "three"):
        anna.cut = {"west"} if word == "two" else set()
        await anna.adds(word)
    assert await world.entries("east") == await world.entries("west")


async def test_notes_are_appended_on_both_sides_and_move_no_record(world: World) -> None:
    anna = world.person("anna")
    intent = await anna.plane.note(by="anna", action="probe", kind="intent", what="a probe")
    anna.cut = {"east"}
    result = await anna.plane.note(
        by="anna",
        action="probe",
        kind="result",
        what="it passed",
        token=intent.draft.token,
        outcome="ok",
    )
    assert result.previous == intent.digest
    anna.cut = set()
    record = await anna.adds("one")
    entries = await world.entries("east")
    assert entries == await world.entries("west")
    assert verify(entries, record.audit_head) is None
    assert record.revision == 1


# -- servers without conditions --------------------------------------------------------


async def test_without_conditions_a_lock_and_a_read_back_do_it_and_it_is_said() -> None:
    world = await World(strong=False).ready()
    anna = world.person("anna")
    first = await anna.adds("one")
    anna.cut = {"east"}
    await anna.adds("two")
    anna.cut = set()
    third = await anna.adds("three")
    assert first.revision == 1
    assert words_of(third) == ["one", "two", "three"]
    view = await anna.plane.read()
    assert view.in_step
    assert not view.strong
    assert "kept apart by a lock only" in view.line
    entries = await world.entries("west")
    assert verify(entries, third.audit_head) is None


async def test_without_conditions_the_holder_of_the_lock_keeps_the_other_out() -> None:
    world = await World(strong=False).ready()
    anna, ben = world.person("anna"), world.person("ben")
    await anna.adds("one")
    async with anna.plane.both.ledgers["east"].writing():
        with pytest.raises(Refused, match="Another farshore"):
            await ben.adds("two")
