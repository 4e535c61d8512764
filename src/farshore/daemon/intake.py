"""Intake: what feeds deliver goes into the journal; what they must repeat is settled late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.core.rules import OWN_PREFIX
from farshore.engine.heartbeat import HEARTBEAT_KEY
from farshore.errors import StoreError
from farshore.feed.hint import Delivery, Feed, Hint
from farshore.journal.backlog import Backlog

RESTART_FIRST_S = 0.5
RESTART_MAX_S = 30.0
"""A feed that failed is opened again after 0.5, 1, 2 … seconds."""

UNSETTLED_MAX = 1000
"""Deliveries that wait for their keys to be applied; the feed waits beyond that."""

Beat = Callable[[Hint, str], None]
"""Told of each heartbeat that came through, and of the feed that brought it."""


@dataclass(slots=True)
class FeedState:
    """How one feed is doing."""

    name: str
    up: bool = False
    hints: int = 0
    foreign: int = 0
    restarts: int = 0
    last_error: str = ""


@dataclass(slots=True)
class Intake:
    """Feeds into one backlog.

    `wanted` knows the source's buckets that are replicated; `wake` is called after every note.
    `lost` when a feed breaks, `regained` when it brings something (again): what happened
    between the two, it may never tell (SeaweedFS forgets young events when it is killed).
    """

    wanted: Callable[[str], bool]
    backlog: Backlog
    clock: Clock
    wake: Callable[[], None]
    beat: Beat
    lost: Callable[[], None]
    regained: Callable[[], None]
    states: dict[str, FeedState] = field(default_factory=dict)

    async def receive(self, hints: Sequence[Hint], feed: str) -> list[tuple[str, str, int]]:
        """Note hints durably; heartbeats only after all that came before them."""
        state = self.states.setdefault(feed, FeedState(feed))
        ours = [hint for hint in hints if self.wanted(hint.bucket)]
        state.hints += len(ours)
        state.foreign += len(hints) - len(ours)
        work = [hint for hint in ours if not hint.key.startswith(OWN_PREFIX)]
        noted = await self.backlog.note(work, now=self.clock.now()) if work else []
        if noted:
            self.wake()
        for hint in ours:
            if hint.key == HEARTBEAT_KEY:
                self.beat(hint, feed)
        return noted

    async def run(self, feed: Feed) -> None:
        """Take from one feed for ever; open it again when it breaks. Raises `StateError`."""
        state = self.states.setdefault(feed.name, FeedState(feed.name))
        pause = RESTART_FIRST_S
        while True:
            try:
                async with (
                    asyncio.TaskGroup() as settling,
                    contextlib.aclosing(feed.deliveries()) as deliveries,
                ):
                    async for delivery in deliveries:
                        if not state.up:
                            self.regained()
                        state.up, state.last_error, pause = True, "", RESTART_FIRST_S
                        await self._take(feed, delivery, settling)
            except* StoreError as errors:
                state.last_error = str(errors.exceptions[0])
            finally:  # cancelled, too: the lease is gone, and with it the feed
                if state.up:
                    self.lost()
                state.up = False
            state.restarts += 1
            await asyncio.sleep(pause)
            pause = min(RESTART_MAX_S, pause * 2)

    async def _take(self, feed: Feed, delivery: Delivery, settling: asyncio.TaskGroup) -> None:
        noted = await self.receive(delivery.hints, feed.name)
        if feed.settles == "durable" or not noted:
            await delivery.settle()
        else:
            settling.create_task(self._settle_when_applied(delivery, noted))

    async def _settle_when_applied(
        self, delivery: Delivery, noted: Iterable[tuple[str, str, int]]
    ) -> None:
        for bucket, key, generation in noted:
            await self.backlog.applied(bucket, key, generation)
        await delivery.settle()
