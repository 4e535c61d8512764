"""What people are told of clients, fences and a freeze in the control record."""

from __future__ import annotations

from dataclasses import replace

from farshore.control.view import Shown, State, View, changed_text, clients_text, freeze_text
from farshore.core.record import ControlRecord, Fence, Freeze, SwitchState, initial

BEFORE = initial("east.west", "east")


def switched(wanted: str, active: str) -> ControlRecord:
    state = SwitchState(active=active, wanted=wanted, by="anna", why="east is down", at=60.0)
    return replace(BEFORE, switch=state)


def test_the_audit_log_names_the_site_of_a_flip() -> None:
    begun, done = switched("west", "east"), switched("west", "west")
    assert changed_text(BEFORE, begun) == "clients are to go to west"
    assert changed_text(begun, done) == "clients go to west"
    assert changed_text(done, done) == ""


def test_the_audit_log_names_the_site_of_a_fence_and_its_state() -> None:
    fenced = BEFORE.with_fence(Fence("east", "policy", "pending", "anna", "down", 60.0))
    assert changed_text(BEFORE, fenced) == "fence of east pending"
    assert changed_text(fenced, BEFORE) == "no fence of east"
    assert changed_text(fenced, fenced) == ""


def test_a_freeze_is_told_with_its_end_and_as_over_afterwards() -> None:
    frozen = replace(BEFORE, freeze=Freeze(60.0, 68.0, "anna", "a flip"))
    assert changed_text(BEFORE, frozen) == "frozen until 1970-01-01T00:01:08.000Z"
    assert changed_text(frozen, BEFORE) == "thawed"
    assert freeze_text(frozen, 61.0).startswith("writes wait, until 1970-01-01T00:01:08.000Z")
    assert freeze_text(frozen, 68.0).startswith("ended by itself 1970-01-01T00:01:08.000Z")
    assert freeze_text(BEFORE, 61.0) == ""


def test_a_flip_that_is_not_finished_is_told() -> None:
    assert clients_text(BEFORE) == ""
    assert clients_text(switched("west", "west")) == (
        "go to west; set 1970-01-01T00:01:00.000Z, by anna: east is down"
    )
    unfinished = clients_text(switched("west", "east"))
    assert "go to east; a flip to west was begun and is not finished" in unfinished


def seen(state: State, trouble: str, record: ControlRecord | None = BEFORE) -> View:
    return View(
        "east.west",
        "east",
        (Shown("east", "record", record), Shown("west", state, trouble=trouble)),
    )


def test_a_newer_record_is_told_once_with_what_to_do() -> None:
    view = seen("newer", "west has a record of a newer farshore.")
    assert view.sentence.count("newer farshore") == 1
    (conflict,) = view.conflicting
    assert conflict == (view.conflicts[0], "use the newer farshore here, too")


def test_a_damaged_record_is_written_anew_only_where_another_one_stands() -> None:
    (conflict,) = seen("damaged", "west is damaged.").conflicting
    assert "`farshore run`" in conflict.remedy
    (alone,) = seen("damaged", "west is damaged.", None).conflicting
    assert "older versions" in alone.remedy
