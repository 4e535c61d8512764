"""The watermark against a model of what was truly written and applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.watermark import Watermark

GRACE = 3
"""Ticks by which the model's feed may reorder."""

Op = Literal["write", "beat", "deliver", "double", "apply", "open", "close", "abort", "lose", "cut"]


class Event(NamedTuple):
    at: int
    is_beat: bool


@dataclass
class World:
    """A source that is written, a feed, a backlog, lanes and scans: one tick per operation."""

    now: int = 0
    unapplied: set[int] = field(default_factory=set)
    written: list[int] = field(default_factory=list)
    feed: list[Event] = field(default_factory=list)
    backlog: set[int] = field(default_factory=set)
    opened: int | None = None
    lost: bool = False
    mark: Watermark = field(default_factory=Watermark)

    def step(self, op: Op, pick: int) -> None:
        self.now += 1
        act: dict[Op, Callable[[int], None]] = {
            "write": self._write,
            "beat": self._beat,
            "deliver": self._deliver,
            "double": self._double,
            "apply": self._apply,
            "open": self._open,
            "close": self._close,
            "abort": self._abort,
            "lose": self._lose,
            "cut": self._cut,
        }
        act[op](pick)
        self.mark = self.mark.backlog_oldest(self._oldest())

    def _oldest(self) -> int | None:
        return min(self.backlog, default=None)

    def _write(self, _: int) -> None:
        self.unapplied.add(self.now)
        self.written.append(self.now)
        self.feed.append(Event(self.now, is_beat=False))

    def _beat(self, _: int) -> None:
        self.feed.append(Event(self.now, is_beat=True))

    def _deliver(self, pick: int) -> None:
        ready = [e for e in self.feed if e.at - self.feed[0].at <= GRACE]
        if not ready:
            return
        event = ready[pick % len(ready)]
        self.feed.remove(event)
        if event.is_beat:
            self.mark = self.mark.told_until(event.at - GRACE)
        else:
            self.backlog.add(event.at)

    def _double(self, pick: int) -> None:
        if self.written:
            self.backlog.add(self.written[pick % len(self.written)])

    def _apply(self, pick: int) -> None:
        if self.backlog:
            at = sorted(self.backlog)[pick % len(self.backlog)]
            self.backlog.remove(at)
            self.unapplied.discard(at)

    def _open(self, _: int) -> None:
        self.opened = self.now
        self.mark = self.mark.scan_started(self.now)

    def _close(self, _: int) -> None:
        if self.opened is None:
            return
        for at in sorted(self.unapplied - self.backlog):
            self.backlog.add(at)
            self.mark = self.mark.found_missing(at)
        left = self._oldest()
        self.mark = self.mark.scan_closed(self.opened, complete=True, left_over=left)
        self.opened = None

    def _abort(self, _: int) -> None:
        if self.opened is not None:
            self.mark = self.mark.scan_closed(self.opened, complete=False, left_over=None)
            self.opened = None

    def _lose(self, pick: int) -> None:
        if self.feed:
            self.feed.pop(pick % len(self.feed))

    def _cut(self, _: int) -> None:
        self.feed.clear()
        self.mark = self.mark.feed_lost()

    def true_exposure(self) -> int:
        """Seconds since the oldest write that is not on the target."""
        return self.now - min(self.unapplied, default=self.now)


WHOLE: tuple[Op, ...] = (
    "write",
    "beat",
    "deliver",
    "double",
    "apply",
    "open",
    "close",
    "abort",
    "cut",
)
LOSSY: tuple[Op, ...] = (*WHOLE, "lose")


def days(ops: tuple[Op, ...]) -> st.SearchStrategy[list[tuple[Op, int]]]:
    return st.lists(st.tuples(st.sampled_from(ops), st.integers(0, 7)), max_size=80)


@given(days(WHOLE))
def test_exposure_is_never_understated_when_nothing_is_lost_unsaid(
    day: list[tuple[Op, int]],
) -> None:
    world = World()
    for op, pick in day:
        world.step(op, pick)
        exposure = world.mark.exposure(world.now)
        assert exposure is None or exposure >= world.true_exposure(), (op, world)


@given(days(LOSSY))
def test_what_was_lost_unsaid_is_corrected_and_counted_by_the_next_scan(
    day: list[tuple[Op, int]],
) -> None:
    world = World()
    for op, pick in day:
        before = world.mark
        opened, missed = world.opened, min(world.unapplied - world.backlog, default=None)
        world.step(op, pick)
        if op != "close" or opened is None:
            continue
        assert world.mark.exposure(world.now) is not None
        assert (world.mark.exposure(world.now) or 0.0) >= world.true_exposure()
        if missed is not None and before.watermark is not None and missed < before.watermark:
            assert world.mark.understatements > before.understatements


@given(days(LOSSY))
def test_it_goes_back_only_when_something_was_found_missing(day: list[tuple[Op, int]]) -> None:
    world = World()
    for op, pick in day:
        before = world.mark.watermark
        world.step(op, pick)
        after = world.mark.watermark
        if before is not None and op != "close":
            assert after is not None
            assert after >= before
        assert world.mark.proved_at is None or after is not None


@given(days(WHOLE))
def test_when_all_is_applied_a_scan_brings_it_to_the_scan_s_start(
    day: list[tuple[Op, int]],
) -> None:
    world = World()
    for op, pick in day:
        world.step(op, pick)
    world.step("open", 0)
    began = world.now
    world.step("close", 0)
    while world.backlog:
        world.step("apply", 0)
    assert world.mark.watermark is not None
    assert world.mark.watermark >= began


def test_before_the_first_scan_nothing_is_known() -> None:
    mark = Watermark().told_until(5.0).backlog_oldest(None)
    assert mark.exposure(6.0) is None
    assert mark.basis == "nothing"


def test_a_heartbeat_moves_it_between_scans_unless_something_older_waits() -> None:
    mark = Watermark().scan_started(10.0).scan_closed(10.0, complete=True, left_over=None)
    assert (mark.watermark, mark.proved_at, mark.basis) == (10.0, 10.0, "scan")
    mark = mark.told_until(14.0)
    assert (mark.watermark, mark.proved_at, mark.basis) == (14.0, 10.0, "feed")
    mark = mark.backlog_oldest(15.0).told_until(20.0)
    assert mark.watermark == 15.0
    assert mark.backlog_oldest(None).watermark == 20.0


def test_left_overs_hold_it_until_they_are_applied() -> None:
    mark = Watermark().scan_started(10.0).scan_closed(10.0, complete=True, left_over=4.0)
    assert (mark.watermark, mark.proved_at) == (4.0, 4.0)
    assert mark.backlog_oldest(None).watermark == 10.0


def test_after_a_loss_heartbeats_prove_nothing_until_a_scan_that_began_later_has_closed() -> None:
    mark = Watermark().scan_started(10.0).scan_closed(10.0, complete=True, left_over=None)
    mark = mark.scan_started(20.0).feed_lost()
    mark = mark.told_until(25.0)
    assert mark.watermark == 10.0
    mark = mark.scan_closed(20.0, complete=True, left_over=None).told_until(30.0)
    assert mark.watermark == 20.0
    mark = mark.scan_started(40.0).scan_closed(40.0, complete=True, left_over=None)
    assert mark.told_until(50.0).watermark == 50.0


@pytest.mark.parametrize(("complete", "started"), [(False, 20.0), (True, 19.0)])
def test_an_incomplete_or_unknown_scan_teaches_nothing(complete: bool, started: float) -> None:
    mark = Watermark.resumed(10.0, 8.0).scan_started(20.0)
    after = mark.scan_closed(started, complete=complete, left_over=None)
    assert (after.watermark, after.proved_at, after.feed_whole) == (10.0, 8.0, False)


def test_a_late_hint_holds_it_and_does_not_lower_it() -> None:
    mark = Watermark.resumed(10.0, 8.0).backlog_oldest(3.0)
    assert mark.watermark == 10.0
    assert mark.understatements == 0
    mark = mark.scan_started(20.0)
    assert mark.found_missing(3.0).watermark == 3.0


def test_an_older_missing_version_lowers_it_and_is_counted() -> None:
    mark = Watermark.resumed(10.0, 8.0).found_missing(3.0)
    assert (mark.watermark, mark.proved_at, mark.understatements) == (3.0, 3.0, 1)
    assert mark.exposure(11.0) == 8.0
    assert mark.backlog_oldest(None).watermark == 10.0


def test_a_listing_s_whole_seconds_count_no_understatement() -> None:
    mark = Watermark.resumed(10.5, None).found_missing(10.0, resolution_s=1.0)
    assert (mark.watermark, mark.understatements) == (10.0, 0)


def test_exposure_is_never_below_zero() -> None:
    assert Watermark.resumed(10.0, 10.0).exposure(9.0) == 0.0
