"""The heartbeat on a store in memory: one object, and what its hints show."""

from __future__ import annotations

from farshore.engine.heartbeat import HEARTBEAT_KEY, IN_FLIGHT_S, Heartbeat, Vouched
from farshore.feed.hint import Hint
from farshore.testing.clock import ManualClock
from tests.unit.pairs import BUCKET, Pair, quiet

AHEAD_S = 5.0
"""The source's clock before ours."""


class Heart:
    """A heartbeat, its bucket, and hints as its server would give them."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.clock: ManualClock = pair.clock
        side = pair.side(pair.east, pair.source_can, quiet)
        self.beats = Heartbeat(side, pair.clock, lambda: AHEAD_S)

    @classmethod
    async def ready(cls) -> Heart:
        return cls(await Pair().ready())

    async def beat(self) -> Hint:
        """One more, two seconds later; answers its hint."""
        self.clock.advance(2.0)
        await self.beats.beat()
        newest = self.pair.east.dump(BUCKET)[0].version.version_id
        return self.hint(newest)

    def hint(self, *versions: str) -> Hint:
        return Hint(BUCKET, HEARTBEAT_KEY, self.clock.now() + AHEAD_S + 0.01, versions=versions)


async def test_one_object_stays_however_often_it_beats() -> None:
    heart = await Heart.ready()
    for _ in range(3):
        await heart.beat()
    assert [held.version.key for held in heart.pair.east.dump(BUCKET)] == [HEARTBEAT_KEY]


async def test_it_vouches_for_what_was_written_before_it_less_what_may_be_late() -> None:
    heart = await Heart.ready()
    hint = await heart.beat()
    at = heart.clock.now() + AHEAD_S
    assert heart.beats.heard(hint, "f", 0.0) == Vouched(at, at - IN_FLIGHT_S, 0)
    assert heart.beats.heard(hint, "g", 90.0) == Vouched(at, at - IN_FLIGHT_S - 90.0, 0)


async def test_what_tells_nothing() -> None:
    heart = await Heart.ready()
    early = heart.hint()
    assert heart.beats.heard(early, "f", 0.0) is None, "of a daemon before us"
    hint = await heart.beat()
    assert heart.beats.heard(hint._replace(bucket="another"), "f", 0.0) is None
    assert heart.beats.heard(hint._replace(at=0.0), "f", 0.0) is None
    assert heart.beats.heard(hint, "f", 0.0)
    assert heart.beats.heard(heart.hint(), "f", 0.0) is None, "a purge, of a feed that names"


async def test_a_feed_that_names_no_versions_vouches_by_time_alone() -> None:
    heart = await Heart.ready()
    await heart.beat()
    at = heart.clock.now() + AHEAD_S
    assert heart.beats.heard(heart.hint(), "f", 60.0) == Vouched(at, at - IN_FLIGHT_S - 60.0, 0)


async def test_heartbeats_that_never_came_are_missed_until_the_feed_begins_anew() -> None:
    heart = await Heart.ready()
    first = await heart.beat()
    assert heart.beats.heard(first, "f", 0.0)
    for _ in range(3):
        await heart.beat()
    last = await heart.beat()
    found = heart.beats.heard(last, "f", 0.0)
    assert found is not None
    assert (found.until, found.missing) == (first.at - 0.01, 2), "one of the three may be under way"
    heart.beats.lost("f")
    found = heart.beats.heard(last, "f", 0.0)
    assert found is not None
    assert found.missing == 0
