"""From noted keys to equal histories: lanes, retries, the guard, and what is put back."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from farshore.core import stamp
from farshore.core.model import Attributes
from farshore.core.rules import Rule
from farshore.engine.dispatch import FLYING_MAX, Dispatcher
from farshore.engine.guard import DeleteGuard, GuardLimits
from farshore.engine.reconcile import Scan, scan
from farshore.errors import Denied, StateError
from farshore.feed.hint import Hint
from farshore.journal.backlog import BacklogSummary, Work
from farshore.journal.deletes import Verdict
from farshore.journal.pause import Pause, pause, resume
from farshore.testing.backlog import MemoryBacklog
from farshore.testing.store.faults import Fail, Hang, Script, on, unreachable
from tests.unit.pairs import BUCKET, Pair, quiet

TRIES = 2000
"""Turns of the event loop that a condition may take."""


@dataclass
class Live:
    """A pair with a dispatcher on it."""

    pair: Pair
    limits: GuardLimits = field(default_factory=GuardLimits)
    target_script: Script = quiet
    backlog: MemoryBacklog = field(default_factory=MemoryBacklog)
    done: list[Work] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.crew = self.pair.crew(quiet, self.target_script)
        self.guard = DeleteGuard(self.limits)
        self.crew.waiting = self.guard.waiting
        self.dispatcher = Dispatcher(
            {BUCKET: self.crew},
            self.backlog,
            self.guard,
            self.pair.clock,
            lambda work, _: self.done.append(work),
            on_failed=self.failed.append,
        )

    async def note(self, *keys: str) -> None:
        hints = [Hint(BUCKET, key, self.pair.clock.now()) for key in keys]
        await self.backlog.note(hints, now=self.pair.clock.now())
        self.dispatcher.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, true: Callable[[], bool]) -> None:
        for _ in range(TRIES):
            if true():
                return
            self.dispatcher.wake()
            await asyncio.sleep(0)
        raise AssertionError("it did not come about")

    def summary(self) -> BacklogSummary:
        return self.backlog.summary(self.pair.clock.now())

    def count(self) -> int:
        return self.summary().count


async def test_a_noted_key_reaches_the_target_and_leaves_the_backlog() -> None:
    live = Live(await Pair().ready())
    await live.pair.east.put(BUCKET, "k", b"one")
    await live.pair.east.put(BUCKET, "k", b"two")
    async with live.running():
        await live.note("k")
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()
    assert [work.key for work in live.done] == ["k"]


async def test_hints_that_are_doubled_late_or_about_nothing_change_nothing() -> None:
    live = Live(await Pair().ready())
    await live.pair.east.put(BUCKET, "k", b"one")
    async with live.running():
        for keys in (("k", "k"), ("never-there",), ("k",)):
            await live.note(*keys)
            await live.until(lambda: live.count() == 0)
    assert live.pair.equal()


async def test_a_denied_key_waits_longer_each_time_and_blocks_nobody() -> None:
    def refusal(action: str) -> Denied:
        return Denied(f"{action}: AccessDenied", status=403, code="AccessDenied")

    live = Live(await Pair().ready(), target_script=on("put", Fail(refusal), times=2, key="bad"))
    for key in ("bad", "good"):
        await live.pair.east.put(BUCKET, key, b"one")
    async with live.running():
        await live.note("bad", "good")
        await live.until(lambda: len(live.done) == 1 and live.summary().in_flight == 0)
        row = live.backlog.rows(failed=True)[0]
        assert (row.reason, row.cause, row.attempts) == ("FAILED", "AccessDenied", 1)
        live.pair.clock.advance(1.1)
        await live.until(lambda: live.backlog.rows(failed=True)[0].attempts == 2)
        live.pair.clock.advance(1.1)
        for _ in range(50):
            await asyncio.sleep(0)
        assert live.count() == 1, "the second pause is two seconds"
        live.pair.clock.advance(1.0)
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()
    assert live.failed == ["AccessDenied", "AccessDenied"], "each attempt is told of"


async def test_a_target_that_is_away_is_tried_again_soon_however_often() -> None:
    live = Live(await Pair().ready(), target_script=on("put", unreachable(), times=12))
    await live.pair.east.put(BUCKET, "k", b"one")
    live.pair.clock.advance(3600)
    async with live.running():
        await live.note("k")
        for _ in range(TRIES):
            await asyncio.sleep(0)
            live.dispatcher.wake()
            assert all(row.attempts == 0 for row in live.backlog.rows())
            live.pair.clock.advance(0.1)
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()
    assert live.dispatcher.away is None


async def test_the_guard_holds_a_flood_of_deletes_until_a_person_releases_it() -> None:
    live = Live(await Pair().ready(), limits=GuardLimits(count=3, share=0.0))
    keys = [f"k{n}" for n in range(6)]
    for key in keys:
        await live.pair.east.put(BUCKET, key, b"one")
    async with live.running():
        await live.note(*keys)
        await live.until(lambda: live.count() == 0)
        for key in keys:
            await live.pair.east.delete(BUCKET, key)
        await live.note(*keys)
        await live.until(lambda: live.summary().causes.get("DeleteGuard") == 3)
        assert sum(h.version.is_marker for h in live.pair.west.dump(BUCKET)) == 3
        released = Verdict("released", "anna", "host1", live.pair.clock.now())
        assert len(live.guard.waiting.decide(live.guard.waiting.rows(), released)) == 3
        await live.note(*keys)
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()


async def test_a_delayed_marker_waits_in_the_backlog_and_then_goes_through() -> None:
    pair = await Pair(rules=(Rule(delete_markers="after", delay_s=60.0),)).ready()
    live = Live(pair)
    await pair.east.put(BUCKET, "k", b"one")
    await pair.east.delete(BUCKET, "k")
    async with live.running():
        await live.note("k")
        await live.until(lambda: live.summary().causes.get("DelayedMarker") == 1)
        assert [h.version.is_marker for h in pair.west.dump(BUCKET)] == [False]
        assert live.summary().oldest_since is None, "it waits on purpose: nothing is at risk"
        pair.clock.advance(61)
        await live.until(lambda: live.count() == 0)
    assert pair.equal()


async def test_a_key_of_a_bucket_that_left_the_configuration_is_dropped() -> None:
    live = Live(await Pair().ready())
    async with live.running():
        await live.backlog.note([Hint("gone", "k")], now=live.pair.clock.now())
        await live.until(lambda: live.count() == 0)


async def test_a_scan_finds_what_no_hint_told_of() -> None:
    live = Live(await Pair().ready())
    for number in range(30):
        await live.pair.east.put(BUCKET, f"k{number}", b"one")
    crew, clock = live.crew, live.pair.clock
    tally = Scan(clock.now())
    await scan(crew.source, crew.target, crew.rules, live.backlog, clock, tally)
    assert (tally.keys, tally.found) == (30, 30)
    async with live.running():
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()
    again = Scan(clock.now())
    await scan(crew.source, crew.target, crew.rules, live.backlog, clock, again)
    assert again.found == 0


async def test_tags_that_change_later_follow_the_hint() -> None:
    live = Live(await Pair().ready())
    written = await live.pair.east.put(BUCKET, "k", b"one")
    async with live.running():
        await live.note("k")
        await live.until(lambda: live.count() == 0)
        await live.pair.east.put_tags(BUCKET, "k", written.version_id, (("a", "1"),))
        await live.note("k")
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()


async def test_more_is_noted_than_there_are_lanes_for() -> None:
    live = Live(await Pair().ready())
    keys = [f"k{n:04}" for n in range(3 * FLYING_MAX)]
    for key in keys:
        await live.pair.east.put(BUCKET, key, b"one")
    seen: set[int] = set()

    def tracked() -> bool:
        seen.add(live.dispatcher.flying)
        return True

    async with live.running():
        await asyncio.sleep(0)
        for begin in range(0, len(keys), 200):
            await live.note(*keys[begin : begin + 200])
            tracked()
        await live.until(lambda: tracked() and live.count() == 0)
    assert max(seen) == FLYING_MAX
    assert live.pair.equal()


async def test_a_key_that_is_noted_while_its_lane_runs_is_looked_at_again() -> None:
    held = asyncio.Event()
    live = Live(await Pair().ready(), target_script=on("put", Hang(held), times=1))
    await live.pair.east.put(BUCKET, "k", b"one")
    async with live.running():
        await live.note("k")
        await live.until(lambda: live.summary().in_flight == 1)
        await live.pair.east.put(BUCKET, "k", b"two")
        await live.note("k")
        held.set()
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()


async def test_while_paused_nothing_is_taken_that_is_noted() -> None:
    live = Live(await Pair().ready())
    await live.pair.east.put(BUCKET, "k", b"one")
    await pause(live.backlog, Pause("anna", "host1", live.pair.clock.now()))
    async with live.running():
        await asyncio.sleep(0)
        await live.note("k")
        for _ in range(50):
            await asyncio.sleep(0)
        assert (live.dispatcher.flying, live.count()) == (0, 1)
        await resume(live.backlog)
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()


async def test_nothing_is_begun_once_a_pause_has_been_written() -> None:
    live = Live(await Pair().ready())
    await live.pair.east.put(BUCKET, "k", b"one")
    async with live.running():
        await asyncio.sleep(0)  # it has looked, and naps
        await pause(live.backlog, Pause("anna", "host1", live.pair.clock.now()))
        hints = [Hint(BUCKET, "k", live.pair.clock.now())]
        await live.backlog.note(hints, now=live.pair.clock.now())  # nobody wakes it
        assert (live.dispatcher.flying, live.count()) == (0, 1)


async def test_a_version_with_the_bytes_of_a_purged_one_is_copied_with_its_own_metadata() -> None:
    live = Live(await Pair().ready())
    east, west = live.pair.east, live.pair.west
    first = await east.put(BUCKET, "k", b"same", Attributes(metadata=(("n", "1"),)))
    async with live.running():
        await live.note("k")
        await live.until(lambda: live.count() == 0)
        await east.delete(BUCKET, "k", first.version_id)
        second = await east.put(BUCKET, "k", b"same", Attributes(metadata=(("n", "2"),)))
        hint = Hint(BUCKET, "k", live.pair.clock.now(), versions=(second.version_id,))
        for _ in range(3):  # told once more, it is not written once more
            await live.backlog.note([hint], now=live.pair.clock.now())
            await live.until(lambda: live.count() == 0)
    kept = [stamp.without(held.attributes).metadata for held in west.dump(BUCKET)]
    assert kept == [(("n", "2"),), (("n", "1"),)]
    tally = Scan(0.0)
    crew, clock = live.crew, live.pair.clock
    await scan(crew.source, crew.target, crew.rules, live.backlog, clock, tally)
    assert tally.found == 0, "what was purged is kept history"


class Full(MemoryBacklog):
    """Nothing can be marked as done: the disk is full."""

    async def done(self, work: Work) -> bool:
        raise StateError("the disk is full")


async def test_lanes_that_fail_together_end_the_dispatcher_and_are_all_heard() -> None:
    live = Live(await Pair().ready(), backlog=Full())
    unheard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(str(context["message"])))
    for number in range(8):
        await live.pair.east.put(BUCKET, f"k{number}", b"one")
    await live.note(*(f"k{number}" for number in range(8)))
    with pytest.raises(StateError, match="the disk is full"):
        await live.dispatcher.run()
    del live
    gc.collect()
    loop.set_exception_handler(None)
    assert unheard == []


async def test_what_is_missing_beneath_newer_replicas_is_found_by_a_scan_and_counted() -> None:
    """Nobody slips it in: it stays FAILED until somebody rebuilds the tail."""
    live = Live(await Pair().ready())
    below = await live.pair.east.put(BUCKET, "k", b"one")
    await live.pair.east.put(BUCKET, "k", b"two")
    async with live.running():
        await live.note("k")
        await live.until(lambda: live.count() == 0)
        (_, replica) = (held.version for held in live.pair.west.dump(BUCKET))
        await live.pair.west.delete(BUCKET, "k", replica.version_id)
        crew, tally = live.pair.crew(), Scan(live.pair.clock.now())
        await scan(crew.source, crew.target, crew.rules, live.backlog, live.pair.clock, tally)
        await live.until(lambda: live.summary().failed == {"FAILED": 1})
    (row,) = live.backlog.rows(failed=True)
    assert (row.cause, "repair --rebuild-tail" in row.explanation) == ("Gap", True)
    assert below.version_id in {h.version.version_id for h in live.pair.east.dump(BUCKET)}
    assert tally.found == 1
    assert tally.oldest is not None
