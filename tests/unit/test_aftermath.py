"""What a switch leaves open: one line each with its remedy, gone when it is closed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast, get_args

import pytest

from farshore.cli.reference import commands
from farshore.core.aftermath import Open, Proved, SeenRuns, left_open
from farshore.core.record import ControlRecord, Fence, SwitchState, initial
from farshore.core.roles import Phase
from farshore.core.runbook import Approval, Outcome, Override, Plan, Run, Shown, StepPlan, Verb

STEPS = (StepPlan("fence", "Fence."), StepPlan("flip", "Flip."), StepPlan("probe", "Probe."))
FLIPPED_AT = 60.0
BEFORE = initial("east.west", "east")
SAID = re.compile(r"[^\n]+: [^\n]+\.")


def record(phase: Phase, primary: str = "west", *fenced: str) -> ControlRecord:
    switch = SwitchState(primary, primary, "anna", "east is down", FLIPPED_AT)
    found = replace(BEFORE, phase=phase, primary=primary, switch=switch)
    for site in fenced:
        found = found.with_fence(Fence(site, "policy", "standing", "anna", "down", 50.0))
    return found


def run(verb: str = "failover", *outcomes: str, overrides: tuple[Override, ...] = ()) -> Run:
    plan = Plan(
        cast(Verb, verb), "east.west", "east", "west", 1, "abc", STEPS, Shown(), overrides=overrides
    )
    found = Run("r1", plan, "anna", 10.0, 9.0)
    if not outcomes:
        return found
    found = found.approved(Approval("bert", 11.0, plan.digest, True)).begun(12.0, plan)
    for step, outcome in zip(STEPS, outcomes, strict=False):
        found = found.step_begun(step.id, 13.0, "anna")
        if outcome != "killed":
            found = found.step_ended(step.id, cast(Outcome, outcome), 14.0, "it says why")
    return found


DONE = run("failover", "ok", "ok", "ok")


def names(*found: Open) -> list[str]:
    return [item.name for item in found]


def test_a_pair_that_was_never_switched_has_nothing_open() -> None:
    assert left_open(BEFORE, "west") == ()


def test_every_stage_after_a_flip_has_its_remedy_until_the_next_one() -> None:
    stages: list[tuple[Phase, str | None, str]] = [
        ("switched", "AT RISK", "`farshore commit`"),
        ("committed", "NOT SAFE", "`farshore reprotect`, once east answers"),
        ("reprotecting", "AT RISK", "`farshore reprotect` again"),
    ]
    for phase, level, remedy in stages:
        role, fence, divergent = left_open(
            record(phase, "west", "east"), "east", SeenRuns(None, DONE)
        )
        assert (role.level, remedy in role.text) == (level, True)
        assert (fence.name, fence.level) == ("old-side-fenced", None)
        assert divergent.name == "divergent-unknown"
    assert left_open(record("protected", "west", "east"), "east", SeenRuns(None, DONE)) == ()


def test_going_back_is_offered_after_a_switchover_alone() -> None:
    for verb, offered in (("switchover", True), ("failback", True), ("failover", False)):
        flipped = run(verb, "ok", "ok", "ok")
        role, *_ = left_open(record("switched"), "east", SeenRuns(None, flipped))
        assert ("farshore rollback" in role.text) is offered


def test_divergent_versions_are_open_until_a_later_verify_finds_none() -> None:
    found = record("reprotecting")
    runs = SeenRuns(None, DONE)
    assert "divergent-unknown" in names(*left_open(found, "east", runs))
    old = Proved(FLIPPED_AT - 1, 0)
    assert "divergent-unknown" in names(*left_open(found, "east", runs, old)), "before the flip"
    some = left_open(found, "east", runs, Proved(FLIPPED_AT + 1, 2))
    (text,) = [item.text for item in some if item.name == "divergent"]
    assert "east has 2 versions that west never got" in text
    assert names(*left_open(found, "east", runs, Proved(FLIPPED_AT + 1, 0))) == ["unproved"]


def test_rules_that_were_set_aside_are_told_until_the_pair_is_protected() -> None:
    aside = Override("fence", "east has no fence.")
    runs = SeenRuns(None, run("switchover", "ok", "ok", "ok", overrides=(aside,)))
    (told,) = [o for o in left_open(record("committed"), "east", runs) if o.name == "set-aside"]
    assert "The rule fence was set aside in r1 (east has no fence):" in told.text
    assert left_open(record("protected"), "east", runs) == ()


@pytest.mark.parametrize(
    ("open_run", "name", "says"),
    [
        (run("failover", "ok", "failed"), "run-failed", "failed at flip (it says why)"),
        (run("failover", "unknown"), "run-unknown", "what became of fence (it says why)"),
        (run("failover", "ok", "ok", "killed"), "run-under-way", "is at probe, or was killed"),
        (run("failover"), "run-waits", "waits for a word: `farshore approve r1`"),
        (
            run().approved(Approval("bert", 11.0, run().plan.digest, True)),
            "run-waits",
            "`farshore resume r1` begins it",
        ),
    ],
)
def test_a_run_that_is_not_over_is_told_with_its_state(open_run: Run, name: str, says: str) -> None:
    (told,) = left_open(BEFORE, "west", SeenRuns(open_run, None))
    assert (told.name, says in told.text) == (name, True)
    assert (told.level is None) is (name == "run-waits")


def test_a_pair_that_was_left_half_way_says_how_to_go_on() -> None:
    (told,) = left_open(record("fenced", "east", "east"), "west")
    assert told.name == "left-half-way"
    assert "`farshore failover --to west` goes on from here" in told.text
    assert "left-half-way" not in names(
        *left_open(record("fenced", "east"), "west", SeenRuns(run("failover", "ok", "failed")))
    ), "the run says more"


def test_a_flip_by_hand_that_is_not_finished_is_told() -> None:
    half = replace(BEFORE, switch=SwitchState("east", "west", "anna", "why", 60.0))
    (told,) = left_open(half, "west")
    assert "`farshore switch set west` goes on" in told.text


def test_a_primary_that_is_fenced_is_told() -> None:
    (told,) = left_open(record("protected", "west", "west"), "east")
    assert (told.name, told.level) == ("primary-fenced", "AT RISK")
    assert "`farshore unfence west` lets them write" in told.text


def every_text() -> list[str]:
    runs = [run("failover", "ok", "failed"), run("failover", "unknown"), run(), None]
    aside = run("switchover", "ok", "ok", "ok", overrides=(Override("fence", "none"),))
    return [
        item.text
        for phase in get_args(Phase)
        for open_run in runs
        for flipped in (DONE, aside)
        for proved in (None, Proved(FLIPPED_AT + 1, 3))
        for item in left_open(
            record(phase, "west", "east", "west"), "east", SeenRuns(open_run, flipped), proved
        )
    ]


def test_each_is_one_sentence_with_a_remedy_whose_commands_exist() -> None:
    known = {name.split()[1] for name, _ in commands() if " " in name}
    texts = set(every_text())
    assert len(texts) > 10
    for text in texts:
        assert SAID.fullmatch(text), text
        assert set(re.findall(r"`farshore (\w+)", text)) <= known
