"""Intake: what feeds deliver goes into the journal; what they must repeat is settled late."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from farshore.clock import Clock
from farshore.control.status import FeedReport
from farshore.core.rules import OWN_PREFIX
from farshore.engine.heartbeat import HEARTBEAT_KEY
from farshore.errors import StoreError
from farshore.feed.hint import Delivery, Feed, Hint, Listener, Notice
from farshore.journal.backlog import Backlog
from farshore.tasks import together

RESTART_FIRST_S = 0.5
RESTART_MAX_S = 30.0
"""A feed that failed is opened again after 0.5, 1, 2 … seconds."""

UNSETTLED_HINTS_MAX = 100_000
"""Hints of one feed whose keys wait to be applied, some 50 MiB; the feed waits beyond that."""

Beat = Callable[[Hint, str, float], None]
"""Told of each heartbeat that came through, of the feed that brought it, and by how many
seconds that feed may be late."""


@dataclass(slots=True)
class FeedState:
    """How one feed is doing. `requests`: of a webhook, by how they ended."""

    name: str
    up: bool = False
    late_s: float = 0.0
    hints: int = 0
    foreign: int = 0
    unreadable: int = 0
    missed: int = 0
    restarts: int = 0
    last_error: str = ""
    notice: Notice | None = None
    notices: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    def report(self) -> FeedReport:
        """For the status."""
        return FeedReport(
            up=self.up,
            late_s=self.late_s,
            hints=self.hints,
            foreign=self.foreign,
            unreadable=self.unreadable,
            missed=self.missed,
            requests=dict(self.requests),
            notices=dict(self.notices),
            notice=self.notice.text if self.notice else "",
            last_error=self.last_error,
        )


def _words(error: StoreError) -> str:
    """What happened, and what to do where that is this error's own: the usual hints are for
    commands, which a person runs again."""
    return error.message if error.hint == error.usual_hint else f"{error.message} {error.hint}"


class Watch(Protocol):
    """Hears how the feeds fare.

    `lost` when one breaks, `regained` when it answers (again): what happened between
    the two, it may never tell (SeaweedFS forgets young events when it is killed). `unread` when
    a message came that may have told of a change. `noticed`: something for a person.
    """

    def lost(self, feed: str) -> None: ...
    def regained(self, feed: str) -> None: ...
    def unread(self, feed: str, why: str) -> None: ...
    def noticed(self, feed: str, notice: Notice) -> None: ...


@dataclass(frozen=True, slots=True)
class Ear:
    """A `Listener` for one feed. `up`: it works."""

    state: FeedState
    watch: Watch

    def answered(self) -> None:
        if not self.state.up:
            self.watch.regained(self.state.name)
        self.state.up, self.state.last_error = True, ""

    def unreadable(self, why: str) -> None:
        self.state.unreadable += 1
        self.watch.unread(self.state.name, why)

    def noticed(self, notice: Notice) -> None:
        self.state.notice = notice
        self.state.notices[notice.kind] += 1
        self.watch.noticed(self.state.name, notice)


class Unsettled:
    """How many hints of one feed wait to be applied, and who waits for there to be fewer."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._fewer = asyncio.Event()

    async def add(self, count: int) -> None:
        """They wait, too. Returns once there is room for more."""
        self._count += count
        while self._count >= self._most:
            self._fewer.clear()
            await self._fewer.wait()

    def drop(self, count: int) -> None:
        """They wait no more."""
        self._count -= count
        self._fewer.set()


@dataclass(slots=True)
class Intake:
    """Feeds into one backlog. `wanted` knows the source's buckets that are replicated."""

    wanted: Callable[[str], bool]
    backlog: Backlog
    clock: Clock
    beat: Beat
    watch: Watch
    states: dict[str, FeedState] = field(default_factory=dict)
    unsettled_max: int = UNSETTLED_HINTS_MAX

    def state_of(self, feed: str) -> FeedState:
        """Made when it is first asked for."""
        return self.states.setdefault(feed, FeedState(feed))

    def listener(self, feed: str) -> Listener:
        """Who hears what one feed cannot read."""
        return Ear(self.state_of(feed), self.watch)

    def reports(self) -> Mapping[str, FeedReport]:
        """Every feed, for the status."""
        return {name: state.report() for name, state in self.states.items()}

    async def receive(
        self, hints: Sequence[Hint], feed: str, *, durable: bool = True
    ) -> list[tuple[str, str, int]]:
        """Note hints; heartbeats only after all that came before them. `durable`: the sender
        cannot repeat them, so a power cut must not take them either."""
        state = self.state_of(feed)
        ours = [hint for hint in hints if self.wanted(hint.bucket)]
        state.hints += len(ours)
        state.foreign += len(hints) - len(ours)
        if state.notice is not None and state.notice.kind == "confirm":
            state.notice = None  # events come: it has been confirmed
        work = [hint for hint in ours if not hint.key.startswith(OWN_PREFIX)]
        now = self.clock.now()
        noted = await self.backlog.note(work, now=now, durable=durable) if work else []
        for hint in ours:
            if hint.key == HEARTBEAT_KEY:
                self.beat(hint, feed, state.late_s)
        return noted

    async def run(self, feed: Feed) -> None:
        """Take from one feed for ever; open it again when it breaks. Raises `StateError`."""
        state = self.state_of(feed.name)
        listener = self.listener(feed.name)
        feed.listen(listener)
        pause = RESTART_FIRST_S
        while True:
            unsettled = Unsettled(self.unsettled_max)
            try:
                async with (
                    together() as settling,
                    contextlib.aclosing(feed.deliveries()) as deliveries,
                ):
                    async for delivery in deliveries:
                        listener.answered()
                        state.late_s, pause = feed.late_s, RESTART_FIRST_S
                        await self._take(feed, delivery, settling, unsettled)
            except StoreError as error:
                state.last_error = _words(error)
            finally:  # cancelled, too: the lease is gone, and with it the feed
                if state.up:
                    self.watch.lost(feed.name)
                state.up = False
            state.restarts += 1
            await asyncio.sleep(pause)
            pause = min(RESTART_MAX_S, pause * 2)

    async def _take(
        self, feed: Feed, delivery: Delivery, settling: asyncio.TaskGroup, unsettled: Unsettled
    ) -> None:
        durable = feed.settles == "durable"
        noted = await self.receive(delivery.hints, feed.name, durable=durable)
        if durable or not noted:
            await delivery.settle()
        else:
            settling.create_task(self._settle_when_applied(delivery, noted, unsettled))
            await unsettled.add(len(noted))

    async def _settle_when_applied(
        self, delivery: Delivery, noted: Sequence[tuple[str, str, int]], unsettled: Unsettled
    ) -> None:
        for bucket, key, generation in noted:
            await self.backlog.applied(bucket, key, generation)
        unsettled.drop(len(noted))
        await delivery.settle()
