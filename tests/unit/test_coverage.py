"""What several feeds have told of several buckets, against a world that knows the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from farshore.core.coverage import Coverage
from farshore.core.watermark import Watermark
from farshore.daemon.heard import Heard

BUCKETS = ("a", "b", "c")
SERVED: dict[str, tuple[str, ...]] = {"queue": ("a", "b"), "hook": ("b", "c"), "log": ("a",)}
"""Which feed tells of which buckets: nobody tells the coverage."""
LATE = {"queue": 3, "hook": 2, "log": 0}


class Told(NamedTuple):
    """A change, or a heartbeat, on its way through a feed."""

    at: int
    bucket: str
    is_beat: bool


@dataclass
class World:
    """Buckets that are written, and feeds that tell of them, late and out of order."""

    now: int = 0
    unknown: dict[str, set[int]] = field(default_factory=lambda: {b: set() for b in BUCKETS})
    ways: dict[str, list[Told]] = field(default_factory=lambda: {f: [] for f in SERVED})
    coverage: Coverage = field(default_factory=lambda: Coverage.of(BUCKETS))
    mark: Watermark = field(
        default_factory=lambda: (
            Watermark().scan_started(0).scan_closed(0, complete=True, left_over=None)
        )
    )
    opened: int | None = None

    def write(self, bucket: str, *, is_beat: bool) -> None:
        self.now += 1
        if not is_beat:
            self.unknown[bucket].add(self.now)
        for feed, served in SERVED.items():
            if bucket in served:
                self.ways[feed].append(Told(self.now, bucket, is_beat))

    def deliver(self, feed: str, pick: int) -> None:
        way = self.ways[feed]
        ready = [told for told in way if told.at - way[0].at <= LATE[feed]]
        if not ready:
            return
        told = ready[pick % len(ready)]
        way.remove(told)
        if told.is_beat:
            self.coverage = self.coverage.heard(told.bucket, feed, told.at, told.at - LATE[feed])
            if (until := self.coverage.complete_until) is not None:
                self.mark = self.mark.told_until(until)
        else:
            self.unknown[told.bucket].discard(told.at)

    def cut(self, feed: str) -> None:
        self.ways[feed].clear()
        self.coverage = self.coverage.lost(feed)
        self.mark = self.mark.feed_lost()

    def scan(self) -> None:
        """One operation begins it, the next one ends it."""
        self.now += 1
        if self.opened is None:
            self.opened = self.now
            self.mark = self.mark.scan_started(self.now)
            return
        for bucket in BUCKETS:
            self.unknown[bucket] = set()  # the scan has listed all that is there by now
        self.mark = self.mark.scan_closed(self.opened, complete=True, left_over=None)
        self.opened = None

    def oldest_unknown(self) -> float:
        return min((min(ats) for ats in self.unknown.values() if ats), default=self.now + 1)


Op = tuple[Literal["write", "beat", "deliver", "cut", "scan"], str, str, int]
OPS = st.tuples(
    st.sampled_from(("write", "beat", "deliver", "deliver", "deliver", "cut", "scan")),
    st.sampled_from(BUCKETS),
    st.sampled_from(sorted(SERVED)),
    st.integers(0, 5),
)


@given(st.lists(OPS, max_size=120))
def test_nothing_is_vouched_for_that_no_feed_has_told(day: list[Op]) -> None:
    """The truth: no change before `known_until` is unknown to us."""
    world = World()
    for op, bucket, feed, pick in day:
        if op in ("write", "beat"):
            world.write(bucket, is_beat=op == "beat")
        elif op == "deliver":
            world.deliver(feed, pick)
        elif op == "cut":
            world.cut(feed)
        else:
            world.scan()
        assert world.mark.known_until is not None
        assert world.mark.known_until <= world.oldest_unknown(), (op, world)


def test_the_pair_is_as_far_as_its_slowest_bucket() -> None:
    heard = Coverage.of(["a", "b"]).heard("a", "log", 100.0, 100.0)
    assert heard.complete_until is None
    assert heard.heard_at is None
    assert heard.unheard == ("b",)
    both = heard.heard("b", "queue", 90.0, 30.0)
    assert (both.complete_until, both.heard_at, both.unheard) == (30.0, 90.0, ())


def test_a_bucket_is_as_far_as_the_best_of_its_feeds() -> None:
    heard = Coverage.of(["a"]).heard("a", "queue", 100.0, 40.0)
    heard = heard.heard("a", "log", 99.0, 99.0)
    assert (heard.complete_until, heard.heard_at) == (99.0, 100.0)


def test_an_older_beat_and_a_foreign_one_say_nothing_new() -> None:
    heard = Coverage.of(["a"]).heard("a", "log", 100.0, 100.0)
    assert heard.heard("a", "log", 99.0, 99.0) == heard
    assert heard.heard("z", "log", 101.0, 101.0) == heard


def test_what_a_feed_brought_before_it_broke_vouches_for_nothing() -> None:
    heard = Coverage.of(["a"]).heard("a", "log", 100.0, 100.0)
    assert heard.lost("queue") == heard
    assert heard.lost("log").complete_until is None


def test_without_buckets_nothing_is_known() -> None:
    assert Coverage().complete_until is None
    assert Heard().complete_until is None


class TestHeard:
    """Buckets that appear while the daemon runs."""

    def heard(self) -> Heard:
        heard = Heard()
        heard.begin(["a"])
        heard.beat("a", "log", 100.0, 98.0)
        return heard

    def test_nothing_counts_beyond_the_last_listing_of_buckets(self) -> None:
        heard = self.heard()
        assert (heard.complete_until, heard.heard_at, heard.late_s) == (98.0, 100.0, 2.0)
        heard.buckets_listed(97.0, [])
        assert heard.complete_until == 97.0
        heard.buckets_listed(99.0, [])
        assert heard.complete_until == 98.0

    def test_a_bucket_that_is_not_replicated_holds_everything(self) -> None:
        heard = self.heard()
        heard.buckets_listed(99.0, ["new"])
        assert heard.complete_until is None
        assert heard.unserved_text() == "bucket new is"

    def test_a_new_bucket_counts_from_its_first_heartbeat(self) -> None:
        heard = self.heard()
        heard.begin(["a", "new"])
        heard.beat("a", "log", 110.0, 108.0)
        assert heard.complete_until is None
        assert heard.unheard == ("new",)
        assert heard.heard_at == 100.0, "silence of one bucket is seen"

    def test_all_buckets_heard(self) -> None:
        heard = self.heard()
        heard.begin(["a", "new"])
        heard.beat("a", "log", 110.0, 108.0)
        heard.beat("new", "log", 111.0, 109.0)
        assert (heard.complete_until, heard.heard_at) == (108.0, 110.0)

    def test_where_no_feed_tells_of_any_bucket_none_is_named(self) -> None:
        heard = Heard()
        heard.begin(["a", "b"])
        assert heard.unheard == ()
