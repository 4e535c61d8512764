"""The rows of `farshore status` after a flip: what they say, and what they leave to the reasons."""

from __future__ import annotations

from dataclasses import replace

from farshore.cli.afterflip import NOTHING, AfterFlip, document, rows
from farshore.core.aftermath import Open
from farshore.core.runbook import Approval, Plan, Run, Shown, StepPlan
from farshore.switch.traffic import Traffic

STEPS = (StepPlan("fence", "Fence."), StepPlan("flip", "Flip."))
PLAN = Plan("failover", "east.west", "east", "west", 1, "abc", STEPS, Shown())
RUN = (
    Run("r1", PLAN, "anna", 10.0, 9.0)
    .approved(Approval("bert", 11.0, PLAN.digest, True))
    .begun(12.0, PLAN)
    .step_begun("fence", 12.0, "anna")
    .step_ended("fence", "ok", 14.0)
)
TOLD = Open("old-side-fenced", None, "east is fenced: leave it.")
RISK = Open("uncommitted", "AT RISK", "west is primary: `farshore commit`.")


def test_with_nothing_open_there_is_no_row() -> None:
    assert [*rows(NOTHING, (), 100.0)] == []
    told = document(NOTHING, ())
    assert (told["run"], told["open"], told["errors"]["before"]) == (None, [], None)


def test_the_run_and_the_error_rates_are_told_and_risks_stand_above() -> None:
    found = AfterFlip(RUN, Traffic("east", 200, 1), Traffic("west", 0, 0))
    assert dict(rows(found, (RISK, TOLD), 100.0)) == {
        "run": "r1: running; 1 of 2 steps; asked by anna, approved by bert",
        "errors before": "east: 1 of 200 requests failed (0.5 %), since the proxies were started",
        "errors since": "west: no request, since the flip",
        "still open": "east is fenced: leave it.",
    }
    assert [item["name"] for item in document(found, (RISK, TOLD))["open"]] == [
        "uncommitted",
        "old-side-fenced",
    ]


def test_a_run_that_is_over_says_for_how_long_and_why_nothing_was_counted() -> None:
    done = replace(RUN, ended_at=40.0)
    told = dict(rows(AfterFlip(done, trouble="no proxy counts"), (), 100.0))
    assert "1 min 0 s ago" in told["run"]
    assert told["errors"] == "no proxy counts"
