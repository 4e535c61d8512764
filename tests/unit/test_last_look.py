"""The look behind the fence: what is known to have come round the freeze is not forgotten."""

from __future__ import annotations

from typing import cast

import pytest

from farshore.control.record import ControlPlane
from farshore.core.runbook import Approval, Plan, Run, StepPlan
from farshore.runbook.desk import found_before
from farshore.runbook.ground import Ground
from farshore.runbook.last_look import LAST_LOOK, require_nothing_left
from farshore.runbook.step import StepFailed
from tests.unit.sites import ManualClock, config_of

GROUND = Ground(config_of(), cast(ControlPlane, None), (), ManualClock(), "a", "b", "c")
PLAN = Plan("switchover", "east.west", "east", "west", 1, "abc", (StepPlan(LAST_LOOK, "Look."),))
RUN = Run("20260101-000000-switchover-west", PLAN, "one@desk", 1.0, 1.0)


def test_where_nothing_was_ever_found_the_flip_may_go_on() -> None:
    require_nothing_left(GROUND, (), "list files at east: no answer")


def test_keys_that_came_round_are_named_and_stand_in_the_record() -> None:
    with pytest.raises(StepFailed) as caught:
        require_nothing_left(GROUND, ("files/k",), "list files at east: no answer")
    assert caught.value.message == (
        "Round the freeze 1 key of east got versions that west is not known to have: files/k. "
        "list files at east: no answer"
    )
    assert caught.value.evidence == {"came_round": ["files/k"]}


def test_what_an_earlier_try_found_is_not_forgotten_by_the_next() -> None:
    """East is silent by then: a switchover does not become a failover without a person."""
    agreed = RUN.approved(Approval("two@desk", 2.0, PLAN.digest, True))
    begun = agreed.begun(3.0, PLAN).step_begun(LAST_LOOK, 3.0, "one@desk")
    assert found_before(begun) == ()
    failed = begun.step_ended(LAST_LOOK, "failed", 4.0, "1 key", {"came_round": ["files/k"]})
    assert found_before(failed) == ("files/k",)
    again = Run.from_json(failed.step_begun(LAST_LOOK, 5.0, "two@desk").to_json())
    assert found_before(again) == ("files/k",), "nor where that one was killed"
    done = again.step_ended(LAST_LOOK, "ok", 6.0, "", {"came_round": ["files/k"]})
    assert found_before(done) == (), "they were copied"
