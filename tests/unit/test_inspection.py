"""Both audit logs read whole: what was changed, taken out or moved is found, and where."""

from __future__ import annotations

import json

import pytest

from farshore.control.audit import entry_name
from farshore.control.documents import write_document
from farshore.control.inspection import Inspection, inspect, with_runs
from farshore.control.ledger import record_name
from farshore.control.runs import run_name
from farshore.core.chain import Draft, Entry
from farshore.core.runbook import Plan, Run, StepPlan
from farshore.errors import Unreachable
from farshore.testing.store.call import Call
from tests.unit.two_sides import BUCKET, PAIR, SITES, Person, World

PLAN = Plan("switchover", "east.west", "east", "west", 1, "abc", (StepPlan("flip", "Flip."),))
RUN = Run("20260101-000000-switchover-west", PLAN, "one@desk", 1.0, 1.0)


@pytest.fixture
async def world() -> World:
    """Three changes, with six entries, on both sides."""
    made = await World().ready()
    for word in ("one", "two", "three"):
        await made.person("anna").adds(word)
    return made


async def inspected(world: World, *, cut: set[str] | None = None) -> Inspection:
    auditor = world.person("auditor")
    auditor.cut = cut or set()
    return await inspect(auditor.plane.both)


def name(number: int, side: str = "east") -> str:
    return entry_name(PAIR, (number, side))


def body(world: World, site: str, key: str) -> bytes:
    """What stands there now."""
    held = world.stores[site].dump(BUCKET)
    return next(h.body for h in held if h.version.key == key and h.version.is_latest)


async def change_word(world: World, site: str, number: int) -> None:
    content = json.loads(body(world, site, name(number)))
    content["actor"] = "nobody"
    await world.stores[site].put(BUCKET, name(number), json.dumps(content).encode())


async def test_logs_as_they_were_written_have_no_problem(world: World) -> None:
    found = await inspected(world)
    assert found.problems == ()
    assert [log.site for log in found.logs] == list(SITES)
    assert [len(log.entries) for log in found.logs] == [6, 6]
    assert [sites for _, sites in found.entries()] == [SITES] * 6
    assert found.open_intents() == []


async def test_where_nothing_was_recorded_there_is_nothing_wrong() -> None:
    found = await inspected(await World().ready())
    assert found.problems == ()
    assert found.entries() == []


@pytest.mark.parametrize("cut", SITES)
async def test_one_side_is_enough(world: World, cut: str) -> None:
    found = await inspected(world, cut={cut})
    assert found.problems == ()
    assert len(found.entries()) == 6
    assert [bool(log.trouble) for log in found.logs] == [site == cut for site in SITES]
    other = next(site for site in SITES if site != cut)
    await change_word(world, other, 3)
    problems = (await inspected(world, cut={cut})).problems
    assert problems[0].startswith(f"{other}: audit entry 3 (numbered by east) was changed")


async def test_without_any_side_nothing_can_be_said(world: World) -> None:
    with pytest.raises(Unreachable, match="No audit log"):
        await inspected(world, cut=set(SITES))


@pytest.mark.parametrize("site", SITES)
async def test_a_changed_entry_is_named_with_its_site(world: World, site: str) -> None:
    await change_word(world, site, 2)
    await change_word(world, site, 4)
    problems = (await inspected(world)).problems
    assert len(problems) == 1
    assert problems[0].startswith(f"{site}: audit entry 2 (numbered by east) was changed")


@pytest.mark.parametrize("number", [1, 3, 5])
async def test_a_missing_entry_is_named_with_its_site(world: World, number: int) -> None:
    await world.stores["west"].delete(BUCKET, name(number))
    problems = (await inspected(world)).problems
    assert len(problems) == 1
    assert problems[0].startswith(f"west: audit entry {number} ")
    assert "is missing" in problems[0]


async def test_the_newest_result_is_missed_by_the_other_side(world: World) -> None:
    """No record vouches for it: only the other site knows."""
    await world.stores["west"].delete(BUCKET, name(6))
    problems = (await inspected(world)).problems
    assert problems == (
        "west: audit entry 6 (numbered by east) is missing: east has it and west has not.",
    )


async def test_entries_that_changed_places_are_named(world: World) -> None:
    two, three = (body(world, "east", name(number)) for number in (2, 3))
    await world.stores["east"].put(BUCKET, name(2), three)
    await world.stores["east"].put(BUCKET, name(3), two)
    problems = (await inspected(world)).problems
    assert problems == ("east: audit entry 2 (numbered by east) was moved: holds number 3.",)


async def test_an_entry_that_is_no_json_is_named(world: World) -> None:
    await world.stores["east"].put(BUCKET, name(4), b"{")
    found = await inspected(world)
    assert len(found.problems) == 1
    assert "audit entry 4 (numbered by east) was changed: cannot be read" in found.problems[0]
    assert len(found.entries()) == 7  # west's, and what stands at east in its place


async def test_a_log_that_was_taken_away_is_noticed(world: World) -> None:
    for site in SITES:
        for number in range(1, 7):
            await world.stores[site].delete(BUCKET, name(number))
    problems = (await inspected(world)).problems
    assert len(problems) == 2
    assert "audit entry 5 is missing: the control record was announced by it" in problems[0]


async def test_a_record_that_was_rolled_back_is_a_problem(world: World) -> None:
    held = world.stores["east"].dump(BUCKET)
    oldest = [h.body for h in held if h.version.key == record_name(PAIR)][-1]
    await world.stores["east"].put(BUCKET, record_name(PAIR), oldest)
    problems = (await inspected(world)).problems
    assert problems == (
        "east was rolled back: epoch 1, revision 3 stood there, and now epoch 1, revision 1.",
    )


async def test_what_lost_is_kept_and_shown_and_its_branch_is_held(world: World) -> None:
    anna, ben = world.person("anna"), world.person("ben")
    anna.cut, ben.cut = {"west"}, {"east"}
    await anna.adds("a")
    await ben.adds("b")
    found = await inspected(world)
    assert any("has lost" in problem for problem in found.problems)
    await world.person("healer").plane.heal()
    found = await inspected(world)
    assert found.problems == ()
    assert [(site, record.by) for site, record in found.lost()] == [("east", "anna")]
    branch = next(
        entry
        for entry, _ in found.entries()
        if isinstance(entry, Entry) and entry.draft.actor == "anna" and entry.sequence == 7
    )
    await world.stores["east"].delete(BUCKET, name(*branch.place))
    assert (await inspected(world)).problems


async def test_what_was_begun_and_has_no_result_is_told(world: World) -> None:
    anna: Person = world.person("anna")
    await anna.plane.note(by="anna", action="probe", kind="intent", what="a probe")
    found = await inspected(world)
    assert [entry.draft.what for entry in found.open_intents()] == ["a probe"]
    assert found.problems == ()


async def test_an_intent_whose_run_is_over_is_not_open(world: World) -> None:
    anna: Person = world.person("anna")
    what = f"{RUN.id}: flip it."
    await anna.plane.note(by="anna", action="step.flip", kind="intent", what=what)
    found = await inspected(world)
    for run, left in ((RUN, 1), (RUN.abort(9.0, "a test"), 0)):
        for site in SITES:
            await write_document(world.stores[site], BUCKET, run_name(PAIR, RUN.id), run.to_json())
        seen = await with_runs(anna.plane.both, found)
        assert len(seen.open_intents()) == left
    assert [answer.text for answer in seen.answered().values()] == [f"{RUN.id} is over: aborted"]


async def test_entries_that_are_written_at_once_stand_one_behind_the_other(world: World) -> None:
    anna: Person = world.person("anna")
    drafts = [
        Draft(1.0, "anna", "step.freeze", "result", "done", "t1", "ok"),
        Draft(2.0, "anna", "step.drain", "intent", "drain it", "t2"),
    ]
    entries = await anna.plane.enter(*drafts)
    assert [entry.draft for entry in entries] == drafts
    assert entries[1].previous == entries[0].digest
    found = await inspected(world)
    assert found.problems == ()
    assert [sites for _, sites in found.entries()][-2:] == [SITES] * 2


async def test_an_entry_that_was_read_once_is_not_read_again_by_who_writes(world: World) -> None:
    anna: Person = world.person("anna")
    await anna.plane.note(by="anna", action="probe", kind="intent", what="a probe")
    gets: list[str] = []

    class Counted:
        async def before(self, call: Call) -> None:
            if call.operation == "get" and call.key.startswith("audit/"):
                gets.append(call.key)

        async def after(self, call: Call) -> None: ...

    world.stores["east"].hook = Counted()
    for _ in range(3):
        await anna.plane.note(by="anna", action="probe", kind="intent", what="again")
    assert gets == []
    await inspect(anna.plane.both)
    assert len(gets) == 10, "who verifies reads every entry"
