"""The audit chain: every entry changed, missing or moved is found, and the first is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.chain import BEGINNING, Draft, Entry, Head, Unreadable, follow, verify
from farshore.errors import Corrupt, StateError


def draft(number: int) -> Draft:
    return Draft(float(number), "anna on host1", "fence", "intent", f"step {number}", f"t{number}")


def chain(count: int, head: Head = BEGINNING, side: str = "east") -> list[Entry]:
    entries: list[Entry] = []
    for number in range(count):
        entries.append(follow(entries[-1].head if entries else head, side, draft(number)))
    return entries


def test_a_chain_as_it_was_written_is_whole() -> None:
    entries = chain(5)
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert verify(entries, entries[-1].head) is None
    assert verify(entries, entries[2].head) is None  # its result came later
    assert verify([]) is None


def test_an_entry_is_read_as_it_was_written() -> None:
    said = replace(draft(1), kind="result", outcome="ok", before={"epoch": 1}, after={"epoch": 2})
    entry = follow(Head(7, "abc"), "west", said)
    assert Entry.from_json(entry.to_json()) == entry


@pytest.mark.parametrize(
    ("field", "value"),
    [("sequence", 0), ("kind", "wish"), ("outcome", "fine"), ("after", []), ("at", "")],
)
def test_what_is_no_entry_is_damaged(field: str, value: object) -> None:
    with pytest.raises(Corrupt, match=r"."):
        Entry.from_json({**chain(1)[0].to_json(), field: value})


def test_an_entry_of_a_newer_farshore_is_named() -> None:
    with pytest.raises(StateError, match="schema 9"):
        Entry.from_json({**chain(1)[0].to_json(), "schema": 9})


LENGTHS = st.integers(2, 8)


@given(LENGTHS, st.data())
def test_a_missing_entry_is_named(count: int, data: st.DataObject) -> None:
    entries = chain(count)
    gone = data.draw(st.integers(0, count - 1))
    finding = verify(entries[:gone] + entries[gone + 1 :], entries[-1].head)
    assert finding is not None
    assert (finding.kind, finding.sequence) == ("missing", gone + 1)


@given(LENGTHS, st.data())
def test_a_changed_entry_is_named(count: int, data: st.DataObject) -> None:
    entries = chain(count)
    at = data.draw(st.integers(0, count - 1))
    forged = list(entries)
    forged[at] = replace(entries[at], draft=replace(entries[at].draft, actor="nobody"))
    finding = verify(forged, entries[-1].head)
    assert finding is not None
    assert (finding.kind, finding.sequence) == ("changed", at + 1)


@given(LENGTHS, st.data())
def test_a_changed_entry_with_a_right_digest_is_named_too(count: int, data: st.DataObject) -> None:
    entries = chain(count)
    at = data.draw(st.integers(0, count - 1))
    before = entries[at - 1].head if at else BEGINNING
    forged = list(entries)
    forged[at] = follow(before, "east", replace(draft(at), actor="nobody"))
    finding = verify(forged, entries[-1].head)
    assert finding is not None
    assert (finding.kind, finding.sequence) == ("changed", at + 1)


@given(LENGTHS, st.data())
def test_a_chain_forged_from_one_entry_on_is_betrayed_by_the_record(
    count: int, data: st.DataObject
) -> None:
    entries = chain(count)
    at = data.draw(st.integers(0, count - 1))
    forged = entries[:at]
    for number in range(at, count):
        head = forged[-1].head if forged else BEGINNING
        forged.append(follow(head, "east", replace(draft(number), actor="nobody")))
    assert verify(forged) is None
    finding = verify(forged, entries[-1].head)
    assert finding is not None
    assert (finding.kind, finding.sequence) == ("changed", count)


@given(LENGTHS, st.data())
def test_two_entries_that_changed_places_are_named(count: int, data: st.DataObject) -> None:
    entries = chain(count)
    one = data.draw(st.integers(0, count - 2))
    other = data.draw(st.integers(one + 1, count - 1))
    entries[one], entries[other] = entries[other], entries[one]
    finding = verify(entries)
    assert finding is not None
    assert (finding.kind, finding.sequence) == ("reordered", other + 1)


def test_an_entry_that_stands_twice_is_named() -> None:
    entries = chain(3)
    finding = verify([entries[0], entries[1], entries[1], entries[2]])
    assert finding is not None
    assert (finding.kind, finding.sequence) == ("reordered", 2)


def test_an_entry_that_cannot_be_read_is_named() -> None:
    entries = chain(3)
    finding = verify([entries[0], Unreadable(2, "east", "it is not JSON"), entries[2]])
    assert finding is not None
    assert (finding.kind, finding.why) == ("changed", "it is not JSON")
    moved = verify([entries[0], Unreadable(2, "east", "it is number 3", moved=True)])
    assert moved is not None
    assert moved.kind == "reordered"


def test_a_chain_with_a_branch_is_whole_and_both_ends_are_held() -> None:
    """East went on by itself while west could not be seen, and the other way round."""
    trunk = chain(3)
    east = chain(2, trunk[-1].head, "east")
    west = chain(3, trunk[-1].head, "west")
    both = sorted([*trunk, *east, *west], key=lambda entry: entry.place)
    assert verify(both, west[-1].head, east[-1].head) is None
    without = [entry for entry in both if entry != east[-1]]
    finding = verify(without, west[-1].head, east[-1].head)
    assert finding is not None
    assert finding.sequence == 5
    without = [entry for entry in both if entry != west[0]]
    finding = verify(without, west[-1].head, east[-1].head)
    assert finding is not None
    assert (finding.kind, finding.sequence, finding.side) == ("missing", 4, "west")
