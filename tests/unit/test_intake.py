"""What a feed delivers, breaks and cannot read: what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from farshore.daemon.intake import Intake
from farshore.engine.heartbeat import HEARTBEAT_KEY
from farshore.errors import StoreError, Unreachable
from farshore.feed.hint import Delivery, Hint, Listener, Nobody, Notice, Settles
from farshore.feed.in_hand import MessageDelivery
from farshore.testing.backlog import MemoryBacklog
from farshore.testing.clock import ManualClock

TURNS = 200


class Scripted:
    """A `Feed` that is told what to bring."""

    name = "scripted"
    settles: Settles = "applied"
    late_s = 7.0

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Delivery | StoreError] = asyncio.Queue()
        self.settled: list[tuple[Hint, ...]] = []
        self.listener: Listener = Nobody()

    def listen(self, listener: Listener) -> None:
        self.listener = listener

    def bring(self, *hints: Hint) -> None:
        async def settle() -> None:
            self.settled.append(hints)

        self.queue.put_nowait(MessageDelivery(hints, settle))

    async def deliveries(self) -> AsyncGenerator[Delivery, None]:
        while True:
            found = await self.queue.get()
            if isinstance(found, StoreError):
                raise found
            yield found

    async def aclose(self) -> None:
        """Nothing is open."""


class Daemon:
    """A `Watch`, and all that an intake asks for."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.beats: list[tuple[str, float]] = []
        self.backlog = MemoryBacklog()
        self.feed = Scripted()
        self.intake = Intake(
            wanted=lambda bucket: bucket == "files",
            backlog=self.backlog,
            clock=ManualClock(),
            beat=lambda hint, feed, late_s: self.beats.append((hint.key, late_s)),
            watch=self,
        )

    def lost(self, feed: str) -> None:
        self.heard.append(f"lost {feed}")

    def regained(self, feed: str) -> None:
        self.heard.append(f"regained {feed}")

    def unread(self, feed: str, why: str) -> None:
        self.heard.append(f"unread {feed}: {why}")

    def noticed(self, feed: str, notice: Notice) -> None:
        self.heard.append(f"noticed {feed}: {notice.text}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.intake.run(self.feed))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def turn(self) -> None:
        """All that can happen by itself has happened."""
        for _ in range(TURNS):
            await asyncio.sleep(0)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


async def test_hints_are_noted_and_settled_when_they_were_applied(daemon: Daemon) -> None:
    async with daemon.running():
        daemon.feed.bring(Hint("files", "k", 1.0), Hint("others", "k", 1.0))
        await daemon.turn()
        assert daemon.feed.settled == []
        (work,) = await daemon.backlog.take(1e12, 10)
        await daemon.backlog.done(work)
        await daemon.turn()
    state = daemon.intake.states["scripted"]
    assert (state.hints, state.foreign, len(daemon.feed.settled)) == (1, 1, 1)
    assert daemon.heard == ["regained scripted", "lost scripted"]


async def test_a_feed_waits_while_too_many_of_its_hints_do(daemon: Daemon) -> None:
    daemon.intake.unsettled_max = 3
    async with daemon.running():
        for number in range(5):
            daemon.feed.bring(Hint("files", f"a{number}", 1.0), Hint("files", f"b{number}", 1.0))
        await daemon.turn()
        assert daemon.intake.states["scripted"].hints == 4, "the second one filled it"
        for work in await daemon.backlog.take(1e12, 10):
            await daemon.backlog.done(work)
        await daemon.turn()
        assert len(daemon.feed.settled) == 2
        assert daemon.intake.states["scripted"].hints == 8


async def test_a_delivery_larger_than_what_may_wait_is_taken(daemon: Daemon) -> None:
    daemon.intake.unsettled_max = 1
    async with daemon.running():
        daemon.feed.bring(*(Hint("files", f"k{number}", 1.0) for number in range(5)))
        daemon.feed.bring(Hint("files", "last", 1.0))
        await daemon.turn()
        for work in await daemon.backlog.take(1e12, 10):
            await daemon.backlog.done(work)
        await daemon.turn()
        assert daemon.intake.states["scripted"].hints == 6


async def test_a_heartbeat_is_told_with_by_how_much_its_feed_may_be_late(daemon: Daemon) -> None:
    async with daemon.running():
        daemon.feed.bring(Hint("files", HEARTBEAT_KEY, 1.0))
        await daemon.turn()
        daemon.feed.late_s = 90.0  # it has learnt its consumer's settings
        daemon.feed.bring(Hint("files", HEARTBEAT_KEY, 3.0))
        await daemon.turn()
    assert daemon.beats == [(HEARTBEAT_KEY, 7.0), (HEARTBEAT_KEY, 90.0)]
    assert daemon.backlog.summary(0.0).count == 0, "a heartbeat is no work"


async def test_a_feed_that_breaks_is_told_before_it_brings_anything_again(daemon: Daemon) -> None:
    async with daemon.running():
        daemon.feed.bring()
        await daemon.turn()
        daemon.feed.queue.put_nowait(Unreachable("the line is cut"))
        await daemon.turn()
        state = daemon.intake.states["scripted"]
        assert (state.up, state.last_error) == (False, "the line is cut")
        assert daemon.heard == ["regained scripted", "lost scripted"]
        assert daemon.intake.reports()["scripted"].last_error == "the line is cut"


async def test_what_to_do_is_told_with_what_happened(daemon: Daemon) -> None:
    async with daemon.running():
        daemon.feed.queue.put_nowait(Unreachable("No TLS.", hint="Switch it on."))
        await daemon.turn()
        assert daemon.intake.reports()["scripted"].last_error == "No TLS. Switch it on."


async def test_what_cannot_be_read_is_counted_and_told(daemon: Daemon) -> None:
    async with daemon.running():
        await daemon.turn()
        daemon.feed.listener.unreadable("it is no JSON")
    assert daemon.heard == ["unread scripted: it is no JSON"]
    assert daemon.intake.reports()["scripted"].unreadable == 1


async def test_a_notice_stays_until_events_come(daemon: Daemon) -> None:
    async with daemon.running():
        await daemon.turn()
        daemon.feed.listener.noticed(Notice("confirm", "confirm it", "https://secret"))
        report = daemon.intake.reports()["scripted"]
        assert (report.notice, report.notices) == ("confirm it", {"confirm": 1})
        daemon.feed.bring(Hint("files", "k", 1.0))
        await daemon.turn()
        assert daemon.intake.reports()["scripted"].notice == ""
        daemon.feed.listener.noticed(Notice("ended", "no more events"))
        daemon.feed.bring(Hint("files", "k", 1.0))
        await daemon.turn()
        assert daemon.intake.reports()["scripted"].notice == "no more events"
    assert "secret" not in "".join(daemon.heard)


async def test_a_feed_that_answers_and_has_nothing_to_tell_is_up(daemon: Daemon) -> None:
    async with daemon.running():
        await daemon.turn()
        state = daemon.intake.states["scripted"]
        assert not state.up
        daemon.feed.listener.answered()
        daemon.feed.listener.answered()
        assert (state.up, daemon.heard) == (True, ["regained scripted"])
        daemon.feed.queue.put_nowait(Unreachable("gone"))
        await daemon.turn()
        assert (state.up, state.last_error) == (False, "gone")
    assert daemon.heard == ["regained scripted", "lost scripted"]
