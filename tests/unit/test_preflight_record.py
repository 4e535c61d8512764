"""The rule `record`: what the control record allows."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from farshore.control.record import ControlPlane
from farshore.core.record import ControlRecord, SwitchState
from farshore.core.roles import Phase
from farshore.runbook.ground import Ground
from farshore.runbook.plans import FAILOVER_PHASES
from farshore.runbook.preflight import refusal
from tests.unit.sites import ManualClock, config_of

GROUND = Ground(config_of(), cast(ControlPlane, None), (), ManualClock(), "a", "b", "c")
RECORD = ControlRecord("east.west", 1, 0, "protected", "east", SwitchState("east", "east"))


def refused(phase: Phase, wanted: str, phases: tuple[Phase, ...] = FAILOVER_PHASES) -> str:
    """Why a run from east to west may not begin; "" if it may."""
    switch = replace(RECORD.switch, wanted=wanted)
    return refusal(replace(RECORD, phase=phase, switch=switch), GROUND, phases)


@pytest.mark.parametrize("phase", ["given_up", "fenced"])
def test_a_failover_goes_on_with_a_flip_to_the_same_site(phase: Phase) -> None:
    assert refused(phase, "west") == ""


def test_a_flip_to_another_site_is_finished_by_hand_first() -> None:
    assert "a flip to north is not finished" in refused("given_up", "north")


def test_a_flip_by_hand_in_quiet_times_is_finished_by_hand() -> None:
    assert "a flip to west is not finished" in refused("protected", "west")
    assert refused("protected", "east") == ""


def test_the_primary_and_the_phase_are_named() -> None:
    assert refusal(replace(RECORD, primary="west"), GROUND, ("protected",)) == (
        "west is the primary, not east"
    )
    assert refused("given_up", "east", ("protected",)) == "the pair is given up, not protected"
