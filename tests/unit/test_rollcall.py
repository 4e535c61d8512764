"""Heartbeats that never came: what a feed vouches for, and when it is known to have lost."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from farshore.core.rollcall import REMEMBERED_MAX, Answer, RollCall

LATE = 4


def roll(*written: int) -> RollCall:
    made = RollCall()
    for at in written:
        made.wrote(f"v{at}", float(at))
    return made


def test_a_feed_vouches_up_to_its_heartbeat_less_by_how_much_it_may_be_late() -> None:
    assert roll(10, 12).heard("f", "v10", 10.0, late_s=3.0) == Answer(7.0, 0)


def test_nothing_beyond_a_heartbeat_that_has_not_come() -> None:
    calls = roll(10, 12, 14, 16)
    calls.heard("f", "v10", 10.0, late_s=3.0)
    assert calls.heard("f", "v14", 14.0, late_s=3.0) == Answer(10.0, 0), "12 may be late"
    assert calls.heard("f", "v12", 12.0, late_s=3.0) == Answer(9.0, 0)
    assert calls.heard("f", "v16", 16.0, late_s=3.0) == Answer(13.0, 0)


def test_one_that_is_overdue_is_missing() -> None:
    calls = roll(10, 12, 14, 16)
    calls.heard("f", "v10", 10.0, late_s=3.0)
    assert calls.heard("f", "v16", 16.0, late_s=3.0) == Answer(10.0, 1)
    calls.forget("f")
    assert calls.heard("f", "v16", 16.0, late_s=3.0) == Answer(13.0, 0), "it begins anew"


def test_one_feed_owes_nothing_to_another_nor_what_was_before_its_time() -> None:
    calls = roll(10, 12, 14)
    calls.heard("f", "v10", 10.0, late_s=0.0)
    assert calls.heard("g", "v14", 14.0, late_s=0.0) == Answer(14.0, 0)


def test_a_heartbeat_may_come_before_it_is_acknowledged() -> None:
    calls = roll(10)
    calls.heard("f", "v10", 10.0, late_s=0.0)
    calls.heard("f", "v12", 10.0, late_s=0.0)
    calls.wrote("v12", 12.0)
    calls.wrote("v14", 14.0)
    assert calls.heard("f", "v14", 14.0, late_s=0.0) == Answer(14.0, 0)


def test_events_that_name_no_versions_are_known_as_such() -> None:
    calls = roll(10)
    assert not calls.names("f")
    calls.heard("f", "v10", 10.0, late_s=0.0)
    assert calls.names("f")


def test_it_remembers_within_bounds() -> None:
    calls = roll(*range(3 * REMEMBERED_MAX))
    calls.heard("f", "v0", 0.0, late_s=0.0)
    newest = 3 * REMEMBERED_MAX - 1
    answer = calls.heard("f", f"v{newest}", float(newest), late_s=0.0)
    assert answer.missing == REMEMBERED_MAX - 1


@given(st.integers(0, 2**32), st.integers(10, 120))
def test_a_silence_that_takes_a_heartbeat_with_it_never_lets_a_feed_vouch_too_much(
    seed: int, ticks: int
) -> None:
    """Every third event is a heartbeat; a silence swallows all events for a while."""
    rng = random.Random(seed)
    lost_from = rng.randrange(3, ticks)
    lost_to = lost_from + rng.randrange(3, 9)  # at least one heartbeat
    calls, way, unknown = RollCall(), [], set[int]()
    for now in range(ticks):
        is_beat = now % 3 == 0
        if is_beat:
            calls.wrote(f"v{now}", float(now))
        else:
            unknown.add(now)
        if not lost_from <= now < lost_to:
            way.append(now)
        ready = [at for at in way if at - way[0] <= LATE]
        at = rng.choice(ready) if ready and rng.random() < 0.9 else None
        if at is None:
            continue
        way.remove(at)
        if at % 3:
            unknown.discard(at)
            continue
        answer = calls.heard("f", f"v{at}", float(at), late_s=float(LATE))
        if answer.missing:
            return  # a scan is asked for
        assert answer.complete_until <= min(unknown, default=ticks), (seed, now)
