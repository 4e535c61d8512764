"""The pure part of `make chaos ROLES=1`: what is tried, and a checker that can fail."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from farshore.faultpoints import PLACES as KNOWN_PLACES
from tests.chaos.ledger import MARKER
from tests.chaos.reigns import (
    ACTS,
    PLACES,
    Change,
    Claim,
    Stand,
    Story,
    Written,
    deeds,
    judged,
    primary_sites,
)

E, W = "east", "west"
SWITCH = Change(10.0, 12.0, W, False)
GIVEN_UP = Change(10.0, 12.0, W, True)
ONE = Written("k", "a", 5.0)


def told(
    stands: Sequence[Stand],
    *,
    changes: Sequence[Change] = (SWITCH,),
    claims: Sequence[Claim] = (),
    shown: str = "",
    acked_at: float = 5.0,
) -> list[str]:
    """The promises that are broken by one write that stands so."""
    story = Story(changes, E, claims, frozenset(shown))
    found = judged([ONE._replace(acked_at=acked_at)], {"k": stands}, story, 0.0)
    return [one.promise for one in found]


def native(site: str, at: float = 5.0) -> Stand:
    return Stand(site, "a", True, at)


def replica(site: str, at: float = 5.2) -> Stand:
    return Stand(site, "a", False, at)


def test_one_seed_is_one_sequence_of_deeds_and_each_act_has_its_turn() -> None:
    first, again = (list(itertools.islice(deeds(7), 40)) for _ in range(2))
    assert first == again
    assert first != list(itertools.islice(deeds(8), 40))
    assert {one.act for one in first[: len(ACTS)]} == set(ACTS)


def test_every_place_where_a_command_is_killed_is_known() -> None:
    named = {place.partition(":")[0] for places in PLACES.values() for place in places}
    assert named <= set(KNOWN_PLACES)


@pytest.mark.parametrize(
    ("at", "sites"), [(9.9, {E}), (10.0, {E, W}), (12.0, {E, W}), (12.1, {W}), (21.0, {E, W})]
)
def test_between_the_two_times_of_a_change_it_may_be_either(at: float, sites: set[str]) -> None:
    story = Story([SWITCH, Change(20.0, 22.0, E, False)], E, (), frozenset())
    assert primary_sites(story, at) == sites


@pytest.mark.parametrize(
    ("stands", "broken"),
    [
        ([native(E), replica(W)], []),
        ([native(E, 11.0), replica(W, 11.2)], []),
        ([native(W, 13.0), replica(E, 13.2)], []),
        ([native(E, 13.0), replica(W, 13.2)], ["one writable side"]),
        ([native(W, 5.0), replica(E, 5.2)], ["one writable side"]),
        ([native(E, 11.0), native(W, 11.0)], ["one writable side"]),
        ([native(E), replica(W), replica(W, 5.4)], ["nothing doubled"]),
        ([native(E)], ["nothing acknowledged lost"]),
        ([], ["nothing acknowledged lost"]),
        ([replica(W)], ["nothing acknowledged lost"]),
        ([native(E), Stand(W, "b", False, 5.2)], ["nothing acknowledged lost"]),
    ],
)
def test_where_a_write_may_stand(stands: list[Stand], broken: list[str]) -> None:
    assert told(stands) == broken


def test_nothing_is_owed_of_a_write_that_nobody_was_told_of() -> None:
    assert told([], acked_at=math.inf) == []
    assert told([native(E)], acked_at=math.inf) == []
    assert told([native(E, 13.0)], acked_at=math.inf) == ["one writable side"]


def test_only_a_failover_may_leave_behind_and_only_what_was_shown() -> None:
    assert told([native(E)], changes=[GIVEN_UP], shown="k") == []
    assert told([native(E)], changes=[GIVEN_UP]) == ["nothing acknowledged lost"]
    assert told([native(E)], changes=[SWITCH], shown="k") == ["nothing acknowledged lost"]
    late = [native(W, 13.0)]
    assert told(late, changes=[GIVEN_UP], shown="k", acked_at=13.0) == ["nothing acknowledged lost"]


def test_what_is_kept_stands_beneath_a_marker_and_nothing_else_may() -> None:
    hidden = [Stand(E, MARKER, False, 14.0), native(E), Stand(W, MARKER, False, 13.0)]
    assert told(hidden, changes=[GIVEN_UP], shown="k") == []
    assert told(hidden, changes=[GIVEN_UP]) != []
    assert told([native(E), replica(W), Stand(W, MARKER, False, 13.0)]) != []


def test_what_was_promised_is_not_left_behind_and_did_not_come_later() -> None:
    understated = ["exposure never understated"]
    claim = Claim(6.0, 8.0, E)
    both = [native(E), replica(W, 7.9)]
    assert told(both, claims=[claim]) == []
    assert told([native(E), replica(W, 8.1)], claims=[claim]) == understated
    assert told([native(E), replica(W, 8.1)], claims=[claim._replace(source=W)]) == []
    assert told([native(E), replica(W, 8.1)], claims=[claim._replace(watermark=4.0)]) == []
    assert told([native(E)], changes=[GIVEN_UP], shown="k", claims=[claim]) == understated
    after = claim._replace(at=30.0)
    assert told([native(E)], changes=[GIVEN_UP], shown="k", claims=[after]) == []
