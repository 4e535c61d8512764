"""The control record: its document, which of two counts, and what comes from what."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.chain import Head
from farshore.core.document import digest_of
from farshore.core.record import (
    LINEAGE_MAX,
    ControlRecord,
    Era,
    Fence,
    Freeze,
    SwitchState,
    arbiter_place,
    initial,
    next_epoch,
    standing,
    succeeds,
)
from farshore.core.roles import Phase
from farshore.errors import Corrupt, Refused, StateError

SITES = st.sampled_from(["east", "west"])
TEXTS = st.text(max_size=20)
MOMENTS = st.integers(0, 4_000_000_000_000).map(lambda ms: ms / 1000)
FENCES = st.builds(
    Fence, SITES, TEXTS, st.sampled_from(["pending", "standing"]), TEXTS, TEXTS, MOMENTS
)
SWITCHES = st.builds(
    SwitchState, SITES, SITES, TEXTS, TEXTS, MOMENTS, st.lists(st.tuples(TEXTS, TEXTS)).map(tuple)
)
RECORDS = st.builds(
    ControlRecord,
    pair=st.just("east.west"),
    epoch=st.integers(1, 4),
    revision=st.integers(0, 3),
    phase=st.sampled_from(get_args(Phase)),
    primary=SITES,
    switch=SWITCHES,
    fences=st.lists(FENCES, max_size=2).map(tuple),
    freeze=st.none() | st.builds(Freeze, MOMENTS, MOMENTS, TEXTS, TEXTS),
    audit_head=st.builds(Head, st.integers(0, 9), TEXTS),
    lineage=st.lists(st.builds(Era, st.integers(1, 4), st.integers(0, 3))).map(tuple),
    by=TEXTS,
    why=TEXTS,
    at=MOMENTS,
)


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: ControlRecord) -> None:
    assert ControlRecord.from_json(record.to_json()) == record
    assert ControlRecord.from_json(record.to_json()).digest == record.digest


@given(RECORDS, RECORDS, RECORDS)
def test_which_record_counts_does_not_depend_on_who_asks(
    one: ControlRecord, other: ControlRecord, third: ControlRecord
) -> None:
    assert standing(one, one) == one
    assert standing(one, other) == standing(other, one)
    assert standing(standing(one, other), third) == standing(one, standing(other, third))
    assert standing(one, other) in (one, other)


@given(RECORDS, RECORDS)
def test_the_higher_epoch_counts_then_the_higher_revision(
    one: ControlRecord, other: ControlRecord
) -> None:
    assert standing(one, other).place == max(one.place, other.place)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epoch", 0),
        ("epoch", True),
        ("revision", -1),
        ("phase", "asleep"),
        ("primary", None),
        ("fences", {}),
        ("freeze", []),
        ("audit_head", "none"),
        ("lineage", [3]),
        ("at", "yesterday"),
        ("switch", {"active": "east"}),
    ],
)
def test_a_record_that_was_tampered_with_is_damaged(field: str, value: object) -> None:
    body = {**initial("east.west", "east").to_json(), field: value}
    with pytest.raises(Corrupt, match="digest"):
        ControlRecord.from_json(body)
    with pytest.raises(Corrupt, match=field):
        ControlRecord.from_json(with_digest(body))


def with_digest(body: dict[str, object]) -> dict[str, object]:
    return {**body, "digest": digest_of(body)}


def test_a_record_of_a_newer_farshore_is_named_and_left_alone() -> None:
    body = {**initial("east.west", "east").to_json(), "schema": 2, "moons": 3}
    with pytest.raises(StateError, match="newer farshore \\(schema 2") as caught:
        ControlRecord.from_json(body)
    assert "pip install --upgrade" in caught.value.hint


def test_events_change_the_primary_only_where_roles_change() -> None:
    record = initial("east.west", "east")
    fenced = record.stepped("freeze").stepped("drain").stepped("fence")
    assert (fenced.phase, fenced.epoch, fenced.primary) == ("fenced", 1, "east")
    flipped = fenced.stepped("flip", primary="west")
    assert (flipped.phase, flipped.epoch, flipped.primary) == ("switched", 2, "west")
    with pytest.raises(Refused, match="fence does not change the primary"):
        record.stepped("freeze").stepped("drain").stepped("fence", primary="west")


def test_a_site_has_one_fence() -> None:
    pending = Fence("east", "policy", "pending", "anna", "down", 1.0)
    up = replace(pending, state="standing")
    record = initial("east.west", "east").with_fence(pending).with_fence(up)
    assert record.fences == (up,)
    assert record.fence_of("east") == up
    assert record.without_fence("east").fence_of("east") is None


def test_a_flip_under_way_names_the_drivers_that_are_behind() -> None:
    switch = SwitchState("east", "west", drivers=(("proxy", "west"), ("dns", "east"), ("ssm", "")))
    assert switch.under_way
    assert switch.behind == ("dns", "ssm")


# -- epochs and where a record comes from --------------------------------------------


@given(st.integers(1, 1000), st.integers(0, 1))
def test_each_epoch_is_given_out_by_one_site_alone(epoch: int, place: int) -> None:
    following = next_epoch(epoch, place)
    assert arbiter_place(following) == place
    assert epoch < following <= epoch + 2


def grown(record: ControlRecord, epochs: list[int]) -> list[ControlRecord]:
    """The record and its successors, one in each of these epochs."""
    line = [record]
    for number, epoch in enumerate(epochs):
        head = Head(number + 1, "d")
        line.append(succeeds(line[-1], line[-1], epoch, head, "anna", "test", float(number)))
    return line


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.data())
def test_a_record_comes_from_all_those_in_its_line(rises: list[int], data: st.DataObject) -> None:
    epochs = [1 + sum(rises[: n + 1]) for n in range(len(rises))]
    line = grown(initial("east.west", "east"), epochs)
    assert [record.revision for record in line] == list(range(len(line)))
    later = data.draw(st.integers(0, len(line) - 1))
    earlier = data.draw(st.integers(0, len(line) - 1))
    assert line[later].comes_from(line[earlier]) == (earlier <= later)


def test_a_record_does_not_come_from_a_fork() -> None:
    start = initial("east.west", "east")
    ours = grown(start, [1, 1, 1])
    theirs = grown(start, [1, 2])
    assert theirs[-1].comes_from(ours[1])
    assert not theirs[-1].comes_from(ours[2])
    assert not ours[-1].comes_from(theirs[-1])
    assert standing(ours[-1], theirs[-1]) == theirs[-1]


def test_a_record_forgets_its_oldest_epochs() -> None:
    line = grown(initial("east.west", "east"), list(range(2, LINEAGE_MAX + 10)))
    assert len(line[-1].lineage) == LINEAGE_MAX
    assert line[-1].comes_from(line[-2])
    assert not line[-1].comes_from(line[0])
