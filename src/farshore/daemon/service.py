"""`farshore run`: webhooks into the journal always; the rest while the pair's lease is ours.

    feeds ──hints──> journal ──due keys──> lanes ──> target
    scan  ──keys that differ──^              │
    heartbeat ──> source ──feed──> watermark <┘──> status document on the target

Either side may be down at the start or later: webhooks and the API go on, and replication
is taken up again when both answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.config import Config
from farshore.core.model import Version
from farshore.daemon.intake import Intake
from farshore.daemon.reports import Reporter
from farshore.engine.dispatch import Dispatcher
from farshore.engine.guard import DeleteGuard, GuardLimits
from farshore.engine.heartbeat import EVERY_S, Heartbeat
from farshore.engine.lane import Crew
from farshore.engine.reconcile import Scan, scan
from farshore.engine.revise import revise
from farshore.engine.run import working_crews
from farshore.engine.tally import Tally
from farshore.errors import ConfigError, FarshoreError, Refused, StateError, StoreError
from farshore.feed.hint import Feed, Hint, Settles
from farshore.journal.backlog import Backlog
from farshore.s3.pace import Throttle

TRY_AGAIN_S = 5.0
"""Pause before the lease, or a site that does not answer, is tried again."""

PUBLISH_EVERY_S = 5.0

REPLICATING = "replicating"

BEAT_SECONDS_MAX = 5.0
"""A heartbeat that takes longer tells nothing: the next one is written instead."""

SCAN_AGAIN_S = 5.0
"""Pause after a scan that broke off."""

CLOCK_RESOLUTION_S = 1.0
"""The source's clock is known from Date headers, in whole seconds: a scan counts from this
much earlier, so that it never vouches for a change that it may not have seen."""

ORDERED_FEEDS = ("filer",)
"""Feeds that tell changes in the order in which they happened."""

REORDERING_S = 60.0
"""How far any other feed may bring an earlier change after a heartbeat."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Service:
    """One daemon for one pair. `run` lasts until it is cancelled.

    `tell` hears of every version and marker that was written. `beside`: work that goes on
    whether or not replication does. `throttle`: the rates of the sites, None for the file's.
    """

    config: Config
    backlog: Backlog
    feeds: list[Feed]
    clock: Clock
    say: Say
    reporter: Reporter
    tell: Callable[[Version], None] = lambda _: None
    beside: Sequence[Callable[[], Coroutine[None, None, None]]] = ()
    throttle: Throttle | None = None
    dispatcher: Dispatcher | None = None
    hearts: list[Heartbeat] = field(default_factory=list)
    scan_now: asyncio.Event = field(default_factory=asyncio.Event)
    intake: Intake = field(init=False)
    _state: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.intake = Intake(
            self._wanted,
            self.backlog,
            self.clock,
            wake=self._wake,
            beat=self._beat,
            lost=self.reporter.feed_lost,
            regained=self._feed_regained,
        )

    def _feed_regained(self) -> None:
        """Heartbeats prove nothing until a scan that begins now has closed."""
        self.reporter.feed_lost()
        self.scan_now.set()

    def _wanted(self, bucket: str) -> bool:
        return any(entry.target_of(bucket) for entry in self.config.pair.buckets)

    def _wake(self) -> None:
        if self.dispatcher is not None:
            self.dispatcher.wake()

    def _beat(self, hint: Hint, feed: str) -> None:
        """A heartbeat came through: all that its feed told earlier has been noted."""
        grace = 0.0 if feed.startswith(ORDERED_FEEDS) else REORDERING_S
        for heart in self.hearts:
            known = heart.accept(hint, grace_s=grace)
            if known is not None:
                self.reporter.heartbeat_seen(known)

    async def run(self) -> None:
        """Everything at once, for ever. Raises `StateError` when the journal fails for good."""
        try:
            async with asyncio.TaskGroup() as group:
                for feed in self._feeds("durable"):
                    group.create_task(self.intake.run(feed))
                for job in self.beside:
                    group.create_task(job())
                group.create_task(self.reporter.keep_for_ever(PUBLISH_EVERY_S))
                group.create_task(self._replicate())
        except* FarshoreError as errors:
            raise errors.exceptions[0] from errors

    def _feeds(self, settles: Settles) -> list[Feed]:
        """Feeds of one kind. Those that are settled when applied are read under the lease
        alone: their senders repeat what they told, and a daemon that stands by would take
        messages from the one that works."""
        return [feed for feed in self.feeds if feed.settles == settles]

    async def _replicate(self) -> None:
        """Take the lease, work until something breaks, say it, try again."""
        while True:
            try:
                await self._work()
            except StateError:
                raise
            except Refused as error:
                if self._state == REPLICATING:  # the lease was ours: nobody else is known to work
                    self._stand_still(error)
                else:
                    self.reporter.standing_by(error.message)
                    self._say_once("standing by", error)
            except (StoreError, ConfigError) as error:  # ConfigError: keys cannot be had now
                self._stand_still(error)
            await asyncio.sleep(TRY_AGAIN_S)

    def _stand_still(self, error: FarshoreError) -> None:
        self.reporter.stopped(error)
        self._say_once("replication stands still", error)

    def _say_once(self, state: str, error: FarshoreError) -> None:
        """Say a state when it begins, not every few seconds while it lasts."""
        if state != self._state:
            self.say(f"{state}: {error.message}")
        self._state = state

    async def _work(self) -> None:
        """Replicate while the lease is held and both sides answer."""
        stop = asyncio.Event()
        async with working_crews(self.config, Tally(), stop, self.clock, self.throttle) as crews:
            for crew in crews:
                crew.tell = self.tell
            await self.reporter.measure_clocks(crews)
            await self._revise()
            self._state = REPLICATING
            self.say(f"replicating {self.config.pair.name}")
            self.hearts = [Heartbeat(c.source, self.clock, self.reporter.offset) for c in crews]
            async with self.reporter.publishing() as document, self._dispatching(crews):
                try:
                    async with asyncio.TaskGroup() as group:
                        for feed in self._feeds("applied"):
                            group.create_task(self.intake.run(feed))
                        group.create_task(self._run_dispatcher())
                        group.create_task(self._reconcile(crews))
                        group.create_task(self._beat_hearts())
                        group.create_task(self.reporter.publish_for_ever(document, PUBLISH_EVERY_S))
                except* FarshoreError as errors:
                    raise _first(errors) from errors

    async def _revise(self) -> None:
        """Deletes that wait are judged by the rules of today."""
        count = await revise(self.backlog, self.config.pair, self.clock)
        if count:
            self.say(f"the rules have changed: {count} waiting deletes are looked at again")

    @contextlib.asynccontextmanager
    async def _dispatching(self, crews: list[Crew]) -> AsyncIterator[None]:
        daemon = self.config.daemon
        guard = DeleteGuard(
            GuardLimits(daemon.deletes_count, daemon.deletes_share),
            crews[0].waiting if crews else None,
        )
        self.dispatcher = Dispatcher(
            {crew.source.bucket: crew for crew in crews},
            self.backlog,
            guard,
            self.clock,
            self.reporter.replicated,
            self.reporter.ledgers,
        )
        self.reporter.working(self.dispatcher, crews)
        async with AsyncExitStack() as stack:
            stack.callback(self._forget)
            yield

    def _forget(self) -> None:
        self.dispatcher = None
        self.hearts = []
        self.reporter.working(None, [])

    async def _run_dispatcher(self) -> None:
        if self.dispatcher is not None:
            await self.dispatcher.run()

    async def _beat_hearts(self) -> None:
        """Beat for ever; a source that does not answer is seen by its silence."""
        while True:
            for heart in self.hearts:
                try:
                    async with asyncio.timeout(BEAT_SECONDS_MAX):
                        await heart.beat()
                except StoreError as error:
                    self.reporter.source_failed(error.message)
                except TimeoutError:
                    self.reporter.source_failed("it does not answer")
                else:
                    self.reporter.source_answered()
            await asyncio.sleep(EVERY_S)

    async def _reconcile(self, crews: list[Crew]) -> None:
        """Scan at once, and then again and again."""
        while True:
            self.scan_now.clear()
            every_s = self.config.daemon.scan_every_s
            pause = every_s if await self._scan_all(crews) else min(every_s, SCAN_AGAIN_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.scan_now.wait()

    async def _scan_all(self, crews: list[Crew]) -> bool:
        """Whether the scan came to its end."""
        tally = Scan(self.clock.now() + self.reporter.offset() - CLOCK_RESOLUTION_S)
        self.reporter.scan_started(tally)
        try:
            for crew in crews:
                await scan(
                    crew.source,
                    crew.target,
                    crew.rules,
                    self.backlog,
                    self.clock,
                    tally,
                    discarded=crew.discarded,
                )
                self._wake()
        except StoreError as error:
            self.reporter.scan_failed(tally, error)
            return False
        if self.dispatcher is not None:
            self.dispatcher.target_keys = tally.target_keys
        self.reporter.scan_closed(tally)
        return True


def _first(group: BaseExceptionGroup[FarshoreError]) -> FarshoreError:
    error = group.exceptions[0]
    return error if isinstance(error, FarshoreError) else _first(error)
