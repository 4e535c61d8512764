"""Writes whose answer was lost, and that arrive late: found, taken back, counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from farshore.core import stamp
from farshore.core.align import Alignment
from farshore.core.late import (
    LATE_MAX_S,
    LOOK_FIRST_S,
    Doubt,
    is_stray,
    next_look_in,
    stray_markers,
)
from farshore.core.model import NO_ATTRIBUTES, Attributes, Lock
from farshore.core.plan import LATE_WRITE, holds_back
from farshore.core.stamp import Stamp
from farshore.engine.dispatch import Dispatcher
from farshore.engine.reconcile import Scan, scan
from farshore.errors import Precondition
from farshore.feed.hint import Hint
from farshore.journal.doubts import OF_A_KEY_MAX, Doubts
from farshore.journal.ledger import Ledgers
from farshore.s3.store import Written
from farshore.s3.wrap import Operation
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import Fault, Faulty, Script, lost_answer, on
from farshore.testing.store.memory import Held
from tests.unit.pairs import BUCKET, Pair, quiet
from tests.unit.test_core_histories import version
from tests.unit.test_dispatch import Live

T = TypeVar("T")


def test_looks_come_further_and_further_apart_and_end() -> None:
    age, looks, last = 0.0, 0, 0.0
    while age < LATE_MAX_S:
        wait_s = next_look_in([age])
        assert wait_s >= last or age + wait_s == LATE_MAX_S
        age, looks, last = age + wait_s, looks + 1, wait_s
    assert age == LATE_MAX_S
    assert 5 < looks < 12
    assert next_look_in([0.0]) == LOOK_FIRST_S


def test_the_earliest_of_several_counts() -> None:
    assert next_look_in([500.0, 0.0]) == LOOK_FIRST_S
    assert next_look_in([LATE_MAX_S + 1.0, 0.0]) == 0.0


def test_a_replica_that_stands_where_it_was_sent_is_no_stray() -> None:
    below, above = version(1, 1), version(2, 2)
    mark = Stamp("east", above.version_id, "", above.etag)
    history = (above, below)
    placed = Doubt(above.version_id, False, below.version_id)
    assert not is_stray(above, mark, history, [placed])
    assert is_stray(above, mark, history, [placed._replace(above="")])
    assert not is_stray(above, mark, history, [placed._replace(above="nobody knows")])
    assert not is_stray(above, mark, history, [placed._replace(version_id="another")])


def test_no_more_markers_are_taken_back_than_were_sent_in_doubt() -> None:
    foreign = (version(1, None), version(2, None), version(3, 3))
    found = Alignment(foreign=foreign)
    sent = Doubt("m", True, "")
    assert stray_markers(found, []) == []
    assert stray_markers(found, [Doubt("v", False, "")]) == []
    assert stray_markers(found, [sent]) == [foreign[1]]
    assert stray_markers(found, [sent] * 9) == [foreign[1], foreign[0]]


def test_a_key_that_is_only_looked_at_again_holds_nothing_back() -> None:
    assert not holds_back("PENDING", LATE_WRITE)
    assert holds_back("FAILED", LATE_WRITE)


def test_doubts_outlive_a_kill_and_end_in_time(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "journal.sqlite"
    doubts = Doubts(clock, path)
    doubts.note("files", "k\udc80", "v1", "", is_marker=False)
    clock.advance(LATE_MAX_S)
    again = Doubts(clock, path)  # the first was never closed
    assert again.doubtful() == [("files", "k\udc80")]
    began = clock.monotonic()
    clock.advance(10.0)
    again.note("files", "k\udc80", "m", "w1", is_marker=True)
    first, second = again.of("files", "k\udc80")
    assert (first.version_id, second.above, second.is_marker) == ("v1", "w1", True)
    assert again.looked("files", "k\udc80", began + LATE_MAX_S - 0.1) == LOOK_FIRST_S
    assert again.of("files", "k\udc80") == [first, second], "they are counted from the new start"
    again.looked("files", "k\udc80", began + LATE_MAX_S)
    assert again.of("files", "k\udc80") == [second]
    assert again.looked("files", "k\udc80", began + LATE_MAX_S + 10.0) is None
    assert Doubts(clock, path).doubtful() == []


def test_a_clock_that_is_set_forward_ends_no_doubt() -> None:
    clock = ManualClock()
    doubts = Doubts(clock)
    doubts.note("files", "k", "v", "", is_marker=False)
    clock.jump(2 * LATE_MAX_S)
    assert doubts.looked("files", "k", clock.monotonic()) == LOOK_FIRST_S


def test_doubts_about_one_key_are_bounded(tmp_path: Path) -> None:
    doubts = Doubts(ManualClock(), tmp_path / "journal.sqlite")
    for number in range(OF_A_KEY_MAX + 5):
        doubts.note("files", "k", f"v{number}", "", is_marker=False)
    assert len(doubts.of("files", "k")) == OF_A_KEY_MAX


def test_keys_with_doubts_are_bounded_and_one_that_is_over_makes_room() -> None:
    clock = ManualClock()
    doubts = Doubts(clock, keys_max=2)
    for key in "abca":
        doubts.note("files", key, "v", "", is_marker=False)
    assert doubts.doubtful() == [("files", "a"), ("files", "b")]
    assert len(doubts.of("files", "a")) == 2, "one that is known is noted again"
    doubts.looked("files", "b", clock.monotonic() + LATE_MAX_S)
    doubts.note("files", "c", "v", "", is_marker=False)
    assert doubts.doubtful() == [("files", "a"), ("files", "c")]


class Doubtful(Live):
    """A live pair that notes what was not answered, and can send it again itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledgers = Ledgers.at()
        self.doubts = Doubts(self.pair.clock)
        self.crew.target = replace(self.crew.target, doubts=self.doubts)
        self.begin()

    def begin(self) -> None:
        """As after a restart."""
        self.dispatcher = Dispatcher(
            {BUCKET: self.crew},
            self.backlog,
            self.guard,
            self.pair.clock,
            lambda work, _: self.done.append(work),
            self.ledgers,
        )

    async def quiet_but_for_doubts(self) -> None:
        def quiet() -> bool:
            summary = self.summary()
            waits = all(row.cause == LATE_WRITE for row in self.backlog.rows())
            return waits and not summary.due and not summary.in_flight

        await self.until(quiet)

    async def arrives_late(self, held: Held) -> None:
        """The same request once more: the condition of a first PUT holds above a marker."""
        await self.pair.west.put(BUCKET, held.version.key, held.body, held.attributes)

    async def looks_until_the_end(self) -> None:
        for _ in range(20):
            self.pair.clock.advance(LATE_MAX_S / 4)
            await self.quiet_but_for_doubts()
        assert self.count() == 0


async def first_put_lost(script: Script, attributes: Attributes = NO_ATTRIBUTES) -> Doubtful:
    live = Doubtful(await Pair().ready(), target_script=script)
    await live.pair.east.put(BUCKET, "k", b"one", attributes)
    async with live.running():
        await live.note("k")
        await live.quiet_but_for_doubts()
    return live


async def test_a_deleted_object_that_reappears_is_taken_away_again() -> None:
    live = await first_put_lost(on("put", lost_answer()))
    (replica,) = live.pair.west.dump(BUCKET)
    async with live.running():
        await live.pair.east.delete(BUCKET, "k")
        await live.note("k")
        await live.quiet_but_for_doubts()
        await live.arrives_late(replica)
        assert not live.pair.equal()
        await live.looks_until_the_end()
    assert live.pair.equal()
    (row,) = live.ledgers.late.latest(10)
    assert (row.bucket, row.key) == (BUCKET, "k")
    assert live.doubts.doubtful() == []


async def test_one_who_is_started_again_looks_at_once() -> None:
    live = await first_put_lost(on("put", lost_answer()))
    (replica,) = live.pair.west.dump(BUCKET)
    async with live.running():
        await live.pair.east.delete(BUCKET, "k")
        await live.note("k")
        await live.quiet_but_for_doubts()
    await live.arrives_late(replica)
    live.begin()
    async with live.running():
        await live.until(live.pair.equal)


async def test_the_latency_of_a_change_is_told_once() -> None:
    live = Doubtful(await Pair().ready(), target_script=on("put", lost_answer()))
    await live.pair.east.put(BUCKET, "k", b"one")
    async with live.running():
        await live.note("k")
        await live.looks_until_the_end()
    assert [work.key for work in live.done] == ["k"]


async def test_a_marker_that_arrives_late_is_taken_away_again() -> None:
    live = Doubtful(await Pair().ready(), target_script=on("delete", lost_answer()))
    await live.pair.east.put(BUCKET, "k", b"one")
    await live.pair.east.delete(BUCKET, "k")
    async with live.running():
        await live.note("k")
        await live.quiet_but_for_doubts()
        await live.pair.west.delete(BUCKET, "k")
        await live.looks_until_the_end()
    assert live.pair.equal()
    assert live.ledgers.late.total() == 1


async def test_a_source_that_has_lost_its_disks_takes_nothing_back() -> None:
    live = Doubtful(await Pair().ready(), target_script=on("delete", lost_answer()))
    await live.pair.east.delete(BUCKET, "k")
    lost = await live.pair.east.put(BUCKET, "k", b"one")
    async with live.running():
        await live.note("k")
        await live.quiet_but_for_doubts()
        before = live.pair.west.dump(BUCKET)
        for held in live.pair.east.dump(BUCKET):
            await live.pair.east.delete(BUCKET, "k", held.version.version_id)
        await live.looks_until_the_end()
    assert lost.version_id
    assert live.pair.west.dump(BUCKET) == before
    assert live.ledgers.late.total() == 0


async def test_a_marker_of_somebody_else_stays_where_nothing_was_in_doubt() -> None:
    live = Doubtful(await Pair().ready())
    await live.pair.east.put(BUCKET, "k", b"one")
    async with live.running():
        await live.note("k")
        await live.until(lambda: live.count() == 0)
        await live.pair.west.delete(BUCKET, "k")
        await live.note("k")
        await live.until(lambda: live.count() == 0)
    assert [held.version.is_marker for held in live.pair.west.dump(BUCKET)] == [True, False]
    assert live.ledgers.late.total() == 0


async def test_of_a_version_that_was_purged_meanwhile_nothing_reappears() -> None:
    live = Doubtful(await Pair().ready())
    first = await live.pair.east.put(BUCKET, "k", b"one")
    (original,) = live.pair.east.dump(BUCKET)
    marked, _ = stamp.attach(original.attributes, stamp.of(original.version, "east"))
    live.doubts.note(BUCKET, "k", first.version_id, "", is_marker=False)
    await live.pair.east.delete(BUCKET, "k", first.version_id)
    await live.pair.east.put(BUCKET, "k", b"two")
    async with live.running():
        await live.note("k")
        await live.quiet_but_for_doubts()
        await live.pair.west.put(BUCKET, "k", b"one", marked)
        await live.looks_until_the_end()
    assert [held.body for held in live.pair.west.dump(BUCKET)] == [b"two"]


@pytest.mark.parametrize("in_doubt", [True, False])
async def test_a_late_write_that_is_locked_fails_with_its_reason(in_doubt: bool) -> None:
    locked = Attributes(lock=Lock("COMPLIANCE", "2030-01-01T00:00:00Z"))
    live = await first_put_lost(on("put", lost_answer()) if in_doubt else quiet, locked)
    (replica,) = live.pair.west.dump(BUCKET)
    async with live.running():
        await live.pair.east.delete(BUCKET, "k")
        await live.note("k")
        await live.quiet_but_for_doubts()
        await live.arrives_late(replica)
        live.pair.clock.advance(60.0)
        await live.note("k")
        await live.until(lambda: bool(live.backlog.rows(failed=True)))
    (row,) = live.backlog.rows(failed=True)
    assert (row.reason, row.cause) == ("FAILED", LATE_WRITE)
    assert "stands above what is newer" in row.explanation


async def test_a_scan_finds_what_stands_twice_and_it_is_taken_away() -> None:
    live = await first_put_lost(quiet)
    (replica,) = live.pair.west.dump(BUCKET)
    async with live.running():
        await live.pair.east.delete(BUCKET, "k")
        await live.note("k")
        await live.until(lambda: live.count() == 0)
        await live.arrives_late(replica)
        tally = Scan(live.pair.clock.now())
        crew = live.crew
        await scan(crew.source, crew.target, crew.rules, live.backlog, live.pair.clock, tally)
        assert (tally.found, tally.oldest) == (1, None)
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()
    assert live.ledgers.late.total() == 1


class Repeating(Faulty):
    """A way on which every PUT arrives twice: its second answer is told."""

    async def under(
        self,
        fault: Fault | None,
        operation: Operation,
        action: str,
        call: Callable[[], Awaitable[T]],
    ) -> T:
        if operation.name == "put":
            with suppress(Precondition):
                await call()
        return await super().under(fault, operation, action, call)


async def test_the_same_bytes_again_stand_once_though_their_put_arrives_twice() -> None:
    live = Doubtful(await Pair().ready())
    store = Repeating(live.pair.west, quiet)
    live.crew.target = replace(live.crew.target, store=store)
    for number in range(3):
        await live.pair.east.put(BUCKET, "k", b"same", Attributes(metadata=(("n", str(number)),)))
        async with live.running():
            await live.note("k")
            await live.until(lambda: live.count() == 0)
        assert live.pair.equal(), "no later hint and no scan is needed"
    assert live.ledgers.late.total() == 2, "the first of all had a condition that stopped it"


async def test_what_stands_twice_is_not_taken_for_what_was_written_meanwhile() -> None:
    """The same bytes once more, and nobody tells of them: by their looks both sides are equal."""
    live = Doubtful(await Pair().ready())
    east = live.pair.east

    async def write(number: int) -> None:
        await east.put(BUCKET, "k", b"same", Attributes(metadata=(("n", str(number)),)))

    class Meanwhile(Repeating):
        async def put(self, *args: Any, **more: Any) -> Written:
            if len(east.dump(BUCKET)) == 2:
                await write(2)
            return await super().put(*args, **more)

    live.crew.target = replace(live.crew.target, store=Meanwhile(live.pair.west, quiet))
    async with live.running():
        for number in range(2):
            await write(number)
            await live.note("k")
            await live.until(lambda: live.count() == 0)
    assert live.pair.equal()
    assert len(east.dump(BUCKET)) == 3


async def test_who_is_started_again_does_not_take_it_for_that_either() -> None:
    """The first process was killed before its second look; what it was told of still waits."""
    pair = await Pair().ready()
    for number in range(2):
        await pair.east.put(BUCKET, "k", b"same", Attributes(metadata=(("n", str(number)),)))
    await pair.run()
    live = Doubtful(pair)
    (told, _), (replica, _) = pair.east.dump(BUCKET), pair.west.dump(BUCKET)
    await live.arrives_late(replica)
    await pair.east.put(BUCKET, "k", b"same", Attributes(metadata=(("n", "2"),)))
    hint = Hint(BUCKET, "k", pair.clock.now(), versions=(told.version.version_id,))
    await live.backlog.note([hint], now=pair.clock.now())
    async with live.running():
        await live.until(lambda: live.count() == 0)
    assert pair.equal()


async def test_a_look_after_the_same_bytes_is_no_retry() -> None:
    pair = await Pair().ready()
    for number in range(3):
        await pair.east.put(BUCKET, "k", b"same", Attributes(metadata=(("n", str(number)),)))
    tally = await pair.run()
    assert pair.equal()
    assert (tally.copied, tally.retries) == (3, 0)


async def test_a_second_replica_of_a_purged_version_is_taken_away() -> None:
    live = await first_put_lost(quiet)
    (replica,) = live.pair.west.dump(BUCKET)
    (original,) = live.pair.east.dump(BUCKET)
    async with live.running():
        await live.pair.east.put(BUCKET, "k", b"two")
        await live.pair.east.delete(BUCKET, "k", original.version.version_id)
        await live.note("k")
        await live.until(lambda: live.count() == 0)
        await live.arrives_late(replica)
        await live.note("k")
        await live.until(lambda: live.count() == 0)
    assert [held.body for held in live.pair.west.dump(BUCKET)] == [b"two", b"one"]
