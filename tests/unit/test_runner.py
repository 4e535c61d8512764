"""The runner over steps that fail, lapse, stay unknown, and over a process that dies anywhere."""

from __future__ import annotations

import json

import pytest

from farshore.core.chain import BEGINNING, Draft, Entry, follow
from farshore.core.runbook import Approval, Plan, Run, StepPlan
from farshore.errors import Refused, Unreachable
from farshore.runbook.runner import LAPSES_MAX, Runner
from farshore.runbook.step import Found, StepFailed, StepUnknown
from farshore.testing.clock import ManualClock

ORDER = ("freeze", "drain", "flip", "probe")


class World:
    """What the steps change, and every call that changed it."""

    def __init__(self) -> None:
        self.holds: set[str] = set()
        self.calls: list[str] = []


class Fake:
    """A step that keeps its state in the world, so that a new process finds it."""

    def __init__(self, name: str, world: World, *, lapses: bool = False) -> None:
        self.id = name
        self.what = f"{name} it."
        self.lapses = lapses
        self.world = world
        self.error: Exception | None = None
        self.takes_effect = True
        self.blind = False
        self.stays = False  # it cannot be taken back

    async def look(self) -> Found:
        if self.blind:
            return Found(None, "no answer")
        return Found(self.id in self.world.holds, "", {"seen": self.id in self.world.holds})

    async def act(self) -> None:
        self.world.calls.append(self.id)
        if self.takes_effect:
            self.world.holds.add(self.id)
        if self.error is not None:
            raise self.error

    async def undo(self) -> None:
        if self.stays:
            raise Unreachable("the site is silent")
        if self.id in self.world.holds:
            self.world.calls.append(f"undo {self.id}")
            self.world.holds.discard(self.id)


class Died(BaseException):
    """The process is gone."""


class Shelf:
    """Keeps the document; dies before or after the save that it is told to."""

    def __init__(self) -> None:
        self.text = ""
        self.saves = 0
        self.dies_before = -1
        self.dies_after = -1

    async def save(self, run: Run) -> None:
        self.saves += 1
        if self.saves == self.dies_before:
            raise Died
        self.text = json.dumps(run.to_json())
        if self.saves == self.dies_after:
            raise Died

    def read(self) -> Run:
        return Run.from_json(json.loads(self.text))


def steps(world: World) -> dict[str, Fake]:
    made = {name: Fake(name, world) for name in ORDER}
    made["freeze"].lapses = made["drain"].lapses = True
    return made


def begun() -> Run:
    plan = Plan(
        "switchover",
        "east.west",
        "east",
        "west",
        1,
        "abc",
        tuple(StepPlan(name, f"{name} it.") for name in ORDER),
    )
    run = Run("r1", plan, "one@desk", 1.0, 1.0)
    run = run.approved(Approval("two@desk", 2.0, plan.digest, True))
    return run.begun(3.0, plan)


class Log:
    """The audit log: (action, kind, outcome) of every entry."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.error: Exception | None = None
        self.writes = 0

    async def enter(self, *drafts: Draft) -> list[Entry]:
        if self.error is not None:
            raise self.error
        self.drafts += drafts
        self.writes += 1
        return [follow(BEGINNING, "west", draft) for draft in drafts]

    @property
    def said(self) -> list[tuple[str, str]]:
        """(action, outcome) of each; an intent has no outcome."""
        return [(draft.action, draft.outcome) for draft in self.drafts]


def runner(made: dict[str, Fake], shelf: Shelf, log: Log | None = None) -> Runner:
    steps = list(made.values())
    return Runner(steps, shelf, log or Log(), ManualClock(), "one@desk", "flip")


async def test_every_step_is_made_once_and_recorded() -> None:
    world, shelf = World(), Shelf()
    run = await runner(steps(world), shelf).go(begun())
    assert run.state == "done"
    assert world.calls == list(ORDER)
    assert shelf.read().to_json() == run.to_json()
    assert [record.evidence for record in run.steps] == [{"seen": True}] * 4


@pytest.mark.parametrize("kill", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 9))
async def test_killed_at_any_save_the_next_process_ends_in_the_same_state(
    kill: str, number: int
) -> None:
    world, shelf = World(), Shelf()
    await shelf.save(begun())
    setattr(shelf, f"dies_{kill}", number + 1)
    with pytest.raises(Died):
        await runner(steps(world), shelf).go(begun())
    run = await runner(steps(world), shelf).go(shelf.read())
    assert run.state == "done"
    assert world.calls == list(ORDER), "no step has its effect twice"


async def test_before_the_point_of_no_return_a_failure_takes_everything_back() -> None:
    world, shelf = World(), Shelf()
    made = steps(world)
    made["drain"].error, made["drain"].takes_effect = StepFailed("3 writes stay"), False
    run = await runner(made, shelf).go(begun())
    assert run.state == "aborted"
    assert "3 writes stay" in run.aborted
    assert world.calls == ["freeze", "drain", "undo freeze"]
    assert world.holds == set()


async def test_from_the_point_of_no_return_on_nothing_is_taken_back() -> None:
    world, shelf = World(), Shelf()
    made = steps(world)
    made["flip"].error, made["flip"].takes_effect = StepFailed("a proxy is silent"), False
    run = await runner(made, shelf).go(begun())
    assert run.state == "failed"
    assert world.holds == {"freeze", "drain"}
    made["flip"].error, made["flip"].takes_effect = None, True
    assert (await runner(made, shelf).go(shelf.read())).state == "done"


async def test_an_unclear_step_that_shows_is_done() -> None:
    world, shelf = World(), Shelf()
    made = steps(world)
    made["flip"].error = StepUnknown("no answer came")
    assert (await runner(made, shelf).go(begun())).state == "done"


async def test_an_unclear_step_that_does_not_show_stops_the_run() -> None:
    world, shelf = World(), Shelf()
    made = steps(world)
    made["flip"].error, made["flip"].takes_effect = StepUnknown("no answer came"), False
    run = await runner(made, shelf).go(begun())
    assert run.state == "unknown"
    assert world.calls == ["freeze", "drain", "flip"]


async def test_a_step_that_cannot_be_looked_at_is_not_acted_on() -> None:
    world, shelf = World(), Shelf()
    made = steps(world)
    made["flip"].blind = True
    run = await runner(made, shelf).go(begun())
    assert run.state == "unknown"
    assert "flip" not in world.calls


async def test_a_freeze_that_has_ended_is_made_again_with_what_relies_on_it() -> None:
    world, shelf = World(), Shelf()
    await shelf.save(begun())
    shelf.dies_after = 5
    with pytest.raises(Died):
        await runner(steps(world), shelf).go(begun())
    world.holds.clear()
    run = await runner(steps(world), shelf).go(shelf.read())
    assert run.state == "done"
    assert world.calls == ["freeze", "drain", "freeze", "drain", "flip", "probe"]


async def test_a_freeze_that_never_holds_ends_the_run_after_a_bounded_number_of_tries() -> None:
    world, shelf = World(), Shelf()
    made = steps(world)
    drain = made["drain"].look

    async def ends() -> Found:
        found = await drain()
        if found.done:
            world.holds.clear()
        return found

    made["drain"].look = ends  # type: ignore[method-assign]  # both end as soon as they are seen
    run = await runner(made, shelf).go(begun())
    assert run.state == "aborted"
    assert world.calls.count("drain") == LAPSES_MAX + 1
    assert "flip" not in world.calls


async def test_a_second_run_of_the_same_document_is_refused_by_its_store() -> None:
    world = World()

    class Taken(Shelf):
        async def save(self, run: Run) -> None:
            raise Refused("two@desk has changed it")

    with pytest.raises(Refused, match="two@desk"):
        await runner(steps(world), Taken()).go(begun())
    assert world.calls == []


async def test_aborting_by_hand_takes_back_before_and_leaves_after_the_point() -> None:
    world, shelf = World(), Shelf()
    made = steps(world)
    made["drain"].blind = True
    run = await runner(made, shelf).go(begun())
    assert run.state == "unknown"
    ended = await runner(made, shelf).abort(run, "second thoughts")
    assert (ended.state, world.holds) == ("aborted", set())


async def test_what_was_taken_back_before_an_abort_broke_off_is_made_again() -> None:
    """Else the run goes on as if it still stood: a flip without a fence."""
    world, shelf = World(), Shelf()
    made = steps(world)
    made["freeze"].lapses = made["drain"].lapses = False  # as a fence
    made["freeze"].stays, shelf.dies_after = True, 4
    with pytest.raises(Died):
        await runner(made, shelf).go(begun())
    assert world.holds == {"freeze", "drain"}
    with pytest.raises(StepUnknown, match="freeze could not be taken back"):
        await runner(made, shelf).abort(shelf.read(), "second thoughts")
    assert world.holds == {"freeze"}, "the drain was taken back already"
    assert (await runner(made, shelf).go(shelf.read())).state == "done"
    assert world.holds == set(ORDER)


# -- the audit log -------------------------------------------------------------------------


async def test_every_step_is_noted_before_and_after() -> None:
    world, log = World(), Log()
    await runner(steps(world), Shelf(), log).go(begun())
    assert log.said == [pair for s in ORDER for pair in ((f"step.{s}", ""), (f"step.{s}", "ok"))]
    tokens = [draft.token for draft in log.drafts]
    assert tokens[::2] == tokens[1::2]
    assert len(set(tokens)) == len(ORDER)
    assert {draft.actor for draft in log.drafts} == {"one@desk"}
    assert log.writes == len(ORDER) + 1, "a result and the next intent are written at once"


async def test_a_step_does_nothing_before_its_intent_and_the_result_before_it_are_noted() -> None:
    world, log = World(), Log()
    made, seen = steps(world), list[list[tuple[str, str]]]()
    act = made["drain"].act

    async def watched() -> None:
        seen.append(log.said)
        await act()

    made["drain"].act = watched  # type: ignore[method-assign]  # looks at the log when it is made
    await runner(made, Shelf(), log).go(begun())
    assert seen == [[("step.freeze", ""), ("step.freeze", "ok"), ("step.drain", "")]]


async def test_what_was_made_is_noted_also_where_the_run_is_stopped_from_outside() -> None:
    log = Log()

    def stop(said: str) -> None:
        if said.startswith("drain"):
            raise Refused("called off")

    steps_ = list(steps(World()).values())
    maker = Runner(steps_, Shelf(), log, ManualClock(), "one@desk", "flip", stop)
    with pytest.raises(Refused, match="called off"):
        await maker.go(begun())
    assert log.said[-2:] == [("step.drain", ""), ("step.drain", "ok")]


async def test_nothing_is_done_that_could_not_be_noted() -> None:
    world, log = World(), Log()
    log.error = Refused("the audit log cannot be continued")
    with pytest.raises(Refused, match="audit log"):
        await runner(steps(world), Shelf(), log).go(begun())
    assert world.calls == []


async def test_a_failure_and_the_abort_that_follows_are_noted() -> None:
    world, log = World(), Log()
    made = steps(world)
    made["drain"].error, made["drain"].takes_effect = StepFailed("3 writes stay"), False
    await runner(made, Shelf(), log).go(begun())
    assert log.said[2:] == [
        ("step.drain", ""),
        ("step.drain", "failed"),
        ("abort", ""),
        ("abort", "ok"),
    ]
    assert "3 writes stay" in log.drafts[3].what
