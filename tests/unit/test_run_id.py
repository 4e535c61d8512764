"""Ids of runs: in order of time, and no two alike."""

from __future__ import annotations

from farshore.core.run_id import new_id

AT = 1_795_400_930.9
FIRST = "20261123-022850-switchover-west"


def test_an_id_says_when_and_what() -> None:
    assert new_id(AT, "switchover-west", ()) == FIRST
    assert new_id(AT + 1, "switchover-west", (FIRST,)) == "20261123-022851-switchover-west"
    assert new_id(AT, "failover-west", (FIRST,)) == "20261123-022850-failover-west"


def test_a_second_one_of_one_second_has_a_number() -> None:
    """A run that was declined, and the next one, once had one id between them."""
    taken: list[str] = []
    for _ in range(3):
        taken.append(new_id(AT, "switchover-west", taken))
    assert taken == [FIRST, f"{FIRST}-2", f"{FIRST}-3"]
    assert sorted(taken) == taken
