"""A run as data: approvals that bind, outcomes that stand, and going on after any kill."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.runbook import Approval, Override, Plan, Run, Shown, StepPlan
from farshore.errors import Corrupt, Refused, StateError

STEPS = (StepPlan("freeze", "Freeze."), StepPlan("flip", "Flip."), StepPlan("probe", "Probe."))
PLAN = Plan("switchover", "east.west", "east", "west", 3, "abc", STEPS, Shown(0.5, 100.0, 0, 0))


def planned(**changes: object) -> Run:
    return replace(Run("r1", PLAN, "one@desk", 10.0, 9.0), **changes)  # type: ignore[arg-type]


def agreed(run: Run, by: str = "two@desk") -> Run:
    return run.approved(Approval(by, 11.0, run.plan.digest, True))


def running() -> Run:
    return agreed(planned()).begun(12.0, PLAN)


def done(run: Run, step: str) -> Run:
    return run.step_begun(step, 13.0, "one@desk").step_ended(step, "ok", 14.0)


def test_a_run_goes_from_plan_to_done() -> None:
    run = planned()
    assert run.state == "planned"
    run = agreed(run)
    assert run.state == "approved"
    run = run.begun(12.0, PLAN)
    for step in STEPS:
        assert run.next_step() == step
        run = done(run, step.id)
    assert (run.state, run.next_step(), run.ended_at) == ("done", None, 14.0)


def test_an_approval_is_for_what_was_shown() -> None:
    with pytest.raises(Refused, match="not what would be done"):
        planned().approved(Approval("two@desk", 11.0, "0" * 16, True))


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, epoch=4),
        replace(PLAN, switch="xyz"),
        replace(PLAN, target="north"),
        replace(PLAN, steps=STEPS[:2]),
        replace(PLAN, writes="hold"),
        replace(PLAN, overrides=(Override("lag", "tested"),)),
        replace(PLAN, shown=Shown(31.0, 100.0, 5, 5)),
    ],
)
def test_a_plan_that_has_become_another_one_is_refused(other: Plan) -> None:
    with pytest.raises(Refused, match="have changed since the approval"):
        agreed(planned()).begun(12.0, other)


def test_the_exposure_may_move_within_its_range() -> None:
    moved = replace(PLAN, shown=Shown(29.0, 101.0, 2, 50))
    assert agreed(planned()).begun(12.0, moved).state == "running"


def test_a_failover_s_approval_is_bound_to_the_watermark() -> None:
    plan = replace(PLAN, verb="failover")
    later = replace(plan, shown=Shown(5000.0, 100.0, 0, 0))
    other = replace(plan, shown=Shown(0.5, 101.0, 0, 0))
    assert plan.digest == later.digest != other.digest


def test_a_failover_may_lose_less_than_was_agreed_to_and_never_more() -> None:
    plan = replace(PLAN, verb="failover")
    run = agreed(planned(plan=plan))
    less = replace(plan, shown=Shown(0.1, 105.0, 0, 0))
    assert run.begun(12.0, less).state == "running"
    for shown in (Shown(0.5, 99.0, 0, 0), Shown()):
        with pytest.raises(Refused, match="what may be lost"):
            run.begun(12.0, replace(plan, shown=shown))
    with pytest.raises(Refused, match="epoch"):
        run.begun(12.0, replace(less, epoch=4))


def test_two_persons_are_two_persons() -> None:
    run = planned(two_persons=True)
    with pytest.raises(Refused, match="two persons"):
        agreed(run, by="one@desk")
    assert agreed(run).state == "approved"


def test_a_declined_run_is_over() -> None:
    run = planned().approved(Approval("two@desk", 11.0, PLAN.digest, False, "not today"))
    assert (run.state, run.is_open) == ("declined", False)
    with pytest.raises(Refused):
        run.begun(12.0, PLAN)


def test_steps_are_made_in_order_and_never_twice() -> None:
    run = running()
    with pytest.raises(Refused, match="next step is freeze"):
        run.step_begun("flip", 13.0, "one@desk")
    run = done(run, "freeze")
    with pytest.raises(Refused, match="next step is flip"):
        run.step_begun("freeze", 15.0, "one@desk")
    with pytest.raises(Refused, match="stands"):
        run.step_ended("freeze", "failed", 15.0, "no")


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_what_went_wrong_stops_the_run_and_may_be_tried_again(outcome: str) -> None:
    run = running().step_begun("freeze", 13.0, "one@desk")
    run = run.step_ended("freeze", outcome, 14.0, "the proxy was silent")  # type: ignore[arg-type]
    assert run.state == outcome
    again = run.step_begun("freeze", 20.0, "two@desk")
    record = again.record_of("freeze")
    assert record is not None
    assert (again.state, record.tries, record.began_at) == ("running", 2, 13.0)


def test_a_kill_between_intent_and_outcome_leaves_the_step_to_be_looked_at() -> None:
    run = running().step_begun("freeze", 13.0, "one@desk")
    read = Run.from_json(json.loads(json.dumps(run.to_json())))
    assert read.next_step() == STEPS[0]
    assert read.step_begun("freeze", 30.0, "two@desk").record_of("freeze") is not None


@pytest.mark.parametrize("outcome", ["failed", "unknown", "skipped"])
def test_what_is_not_ok_needs_a_reason(outcome: str) -> None:
    run = running().step_begun("freeze", 13.0, "one@desk")
    with pytest.raises(Refused, match="reason"):
        run.step_ended("freeze", outcome, 14.0)  # type: ignore[arg-type]


def test_an_abort_ends_it_where_it_stands() -> None:
    run = done(running(), "freeze").abort(20.0, "second thoughts")
    assert (run.state, run.is_open) == ("aborted", False)
    with pytest.raises(Refused):
        run.step_begun("flip", 21.0, "one@desk")


def test_a_document_of_a_newer_farshore_is_not_guessed_at() -> None:
    with pytest.raises(StateError, match="newer farshore"):
        Run.from_json({**running().to_json(), "schema": 2})


@pytest.mark.parametrize("name", ["id", "plan", "asked_at", "two_persons", "steps", "aborted"])
def test_a_damaged_document_says_so(name: str) -> None:
    body = running().to_json()
    values: tuple[object, ...] = (None, 7, "x", [])
    for value in values:
        if body[name] == value or (name in ("id", "aborted") and value == "x"):
            continue
        if name == "steps" and value == []:
            continue
        with pytest.raises(Corrupt):
            Run.from_json({**body, name: value})


@given(st.integers(0, 3), st.sampled_from(["ok", "failed", "unknown", "skipped", None]))
def test_every_prefix_of_a_run_comes_back_whole(count: int, last: str | None) -> None:
    run = running()
    for step in STEPS[:count]:
        run = done(run, step.id)
    following = run.next_step()
    if following is not None:
        run = run.step_begun(following.id, 15.0, "one@desk")
        if last is not None:
            run = run.step_ended(following.id, last, 16.0, "why", {"seen": 1})  # type: ignore[arg-type]
    read = Run.from_json(json.loads(json.dumps(run.to_json())))
    assert read == run
    assert (read.state, read.next_step()) == (run.state, run.next_step())
