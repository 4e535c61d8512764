"""The table of roles: complete, and what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from farshore.cli.reference import pages
from farshore.core.roles import (
    COPYING,
    EVENTS,
    NEW_PRIMARY,
    PHASES,
    TABLE,
    Event,
    Phase,
    diagram,
    found,
    step,
)
from farshore.errors import Refused

ALL_PHASES: tuple[Phase, ...] = get_args(Phase)
ALL_EVENTS: tuple[Event, ...] = get_args(Event)


def test_every_phase_and_event_has_words_and_a_row() -> None:
    assert tuple(PHASES) == ALL_PHASES
    assert {event for _, event in TABLE} == set(ALL_EVENTS)
    named = {event for event in ALL_EVENTS if not event.startswith("found_")}
    assert set(EVENTS) == named | {"found_PHASE"}


def test_a_switchover_and_the_way_back_end_where_they_began() -> None:
    phase: Phase = "protected"
    way: list[Event] = ["freeze", "drain", "fence", "flip", "commit", "reprotect", "protect"]
    seen = [phase := step(phase, event).phase for event in way]
    assert seen == [
        "frozen",
        "drained",
        "fenced",
        "switched",
        "committed",
        "reprotecting",
        "protected",
    ]


@pytest.mark.parametrize("phase", ALL_PHASES)
@pytest.mark.parametrize("event", ALL_EVENTS)
def test_what_is_not_in_the_table_is_refused_and_says_what_can_follow(
    phase: Phase, event: Event
) -> None:
    if (phase, event) in TABLE:
        assert step(phase, event) == TABLE[phase, event]
        return
    with pytest.raises(Refused, match=f"{event} cannot follow") as caught:
        step(phase, event)
    assert all(name in caught.value.hint for at, name in TABLE if at == phase)


@pytest.mark.parametrize("phase", [phase for phase in ALL_PHASES if phase != "unknown"])
def test_any_step_may_be_unknown_and_is_left_only_by_what_was_found(phase: Phase) -> None:
    assert step(phase, "unsure").phase == "unknown"
    assert step("unknown", found(phase)).phase == phase
    assert {event for at, event in TABLE if at == "unknown"} == {
        found(other) for other in ALL_PHASES if other != "unknown"
    }


def test_what_was_found_cannot_be_unknown() -> None:
    with pytest.raises(Refused):
        found("unknown")


def test_whatever_names_another_primary_raises_the_epoch() -> None:
    assert all(TABLE[row].raises for row in TABLE if row[1] in NEW_PRIMARY)


def test_whatever_begins_or_ends_copying_under_other_roles_raises_the_epoch() -> None:
    """Into and out of a failover or a switch; not where the same side goes on."""
    for (phase, event), (to, raises) in TABLE.items():
        if phase in COPYING and to not in (*COPYING, "unknown"):
            assert raises or to == "committed", (phase, event)
    assert "switched" not in COPYING
    assert "unknown" not in COPYING


def test_nothing_leads_to_a_flip_but_a_fence() -> None:
    assert {phase for phase, event in TABLE if event == "flip"} == {"fenced", "given_up"}


def test_the_diagram_is_the_table() -> None:
    drawn = [line.strip() for line in diagram().splitlines()[2:]]
    wanted = [
        f"{phase} --> {to}: {event}{' ↑' if raises else ''}"
        for (phase, event), (to, raises) in TABLE.items()
        if "unknown" not in (phase, to)
    ]
    assert drawn == wanted


def test_the_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "roles.md"
    assert page.read_text(encoding="utf-8") == pages()["roles.md"], (
        "run python -m farshore.cli.reference"
    )
