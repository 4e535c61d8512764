"""Any feed, disturbed, in front of two sites in memory: what its hints bring about."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from farshore.daemon.intake import Intake
from farshore.engine.dispatch import Dispatcher
from farshore.engine.guard import DeleteGuard, GuardLimits
from farshore.engine.reconcile import Scan, scan
from farshore.feed.hint import Delivery, Feed, Listener, Notice, Settles
from farshore.testing.backlog import MemoryBacklog
from farshore.testing.feed import Disturbed
from tests.unit.pairs import BUCKET, Pair

KEYS = 25
STEP_S = 0.02
MANY = 1_000_000


class Renamed:
    """A feed whose bucket is called as the one in memory."""

    def __init__(self, inner: Feed, bucket: str) -> None:
        self._inner = inner
        self._bucket = bucket
        self.name = inner.name
        self.settles: Settles = inner.settles

    @property
    def late_s(self) -> float:
        return self._inner.late_s

    def listen(self, listener: Listener) -> None:
        self._inner.listen(listener)

    async def deliveries(self) -> AsyncGenerator[Delivery, None]:
        async with aclosing(self._inner.deliveries()) as deliveries:
            async for delivery in deliveries:
                yield _OfBucket(delivery, self._bucket)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _OfBucket:
    def __init__(self, inner: Delivery, bucket: str) -> None:
        self._inner = inner
        self.hints = tuple(h._replace(bucket=BUCKET) for h in inner.hints if h.bucket == bucket)

    async def settle(self) -> None:
        await self._inner.settle()


class Unwatched:
    """An `intake.Watch` for whom nothing needs to be done."""

    def lost(self, feed: str) -> None: ...
    def regained(self, feed: str) -> None: ...
    def unread(self, feed: str, why: str) -> None: ...
    def noticed(self, feed: str, notice: Notice) -> None: ...


class Line:
    """East in memory, a disturbed feed, lanes, and west in memory."""

    def __init__(self, pair: Pair, feed: Feed, bucket: str, seed: int) -> None:
        self.pair = pair
        self.feed = Disturbed(Renamed(feed, bucket), random.Random(seed))
        self.backlog = MemoryBacklog()
        self.crew = pair.crew()
        guard = DeleteGuard(GuardLimits(count=MANY))
        self.crew.waiting = guard.waiting
        self.dispatcher = Dispatcher(
            {BUCKET: self.crew}, self.backlog, guard, pair.clock, lambda work, now: None
        )
        self.intake = Intake(
            wanted=lambda name: name == BUCKET,
            backlog=self.backlog,
            clock=pair.clock,
            beat=lambda hint, name, late_s: None,
            watch=Unwatched(),
        )

    async def change(self, rng: random.Random, number: int) -> str:
        """Write or delete a key on east; answers its name."""
        key = f"k{rng.randrange(KEYS):02}"
        if rng.random() < 0.2:
            await self.pair.east.delete(BUCKET, key)
        else:
            await self.pair.east.put(BUCKET, key, b"%d" % number)
        return key

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self.dispatcher.run()),
            asyncio.create_task(self.intake.run(self.feed)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.feed.aclose()

    async def until(self, true: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                self.dispatcher.wake()
                await asyncio.sleep(STEP_S)  # servers and their clients are waited for

    async def reconcile(self) -> int:
        """One scan; answers how many keys it found that no hint had brought into step."""
        crew, clock = self.crew, self.pair.clock
        tally = Scan(clock.now())
        await scan(crew.source, crew.target, crew.rules, self.backlog, clock, tally)
        return tally.found

    def is_idle(self) -> bool:
        return self.backlog.summary(self.pair.clock.now()).count == 0


def told(feed: Disturbed) -> str:
    """For a failing test."""
    return f"{feed.passed} hints passed, of which {dict(feed.done)}"
