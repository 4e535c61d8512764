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
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.held import HeldDocuments
from farshore.control.keeper import Keeper
from farshore.core.model import Version
from farshore.daemon.intake import Intake
from farshore.daemon.letters import keep_address
from farshore.daemon.newcomers import NewBuckets, lost
from farshore.daemon.publisher import Publisher
from farshore.daemon.reports import Reporter
from farshore.daemon.scanning import Scanning
from farshore.daemon.sweeping import Sweeping
from farshore.engine.dispatch import Dispatcher
from farshore.engine.guard import DeleteGuard, GuardLimits
from farshore.engine.heartbeat import EVERY_S, Heartbeat
from farshore.engine.lane import Crew
from farshore.engine.revise import revise
from farshore.engine.run import JOURNAL_FILE, held_documents, vanished_buckets, working_crews
from farshore.engine.tally import Tally
from farshore.errors import (
    ConfigError,
    FarshoreError,
    Refused,
    StateError,
    StoreError,
    TargetMissing,
)
from farshore.feed.hint import Feed, Hint, Notice, Settles
from farshore.journal.backlog import ASKED, Backlog
from farshore.journal.deletes import HeldDelete, WaitingDeletes
from farshore.s3.pace import Throttle
from farshore.tasks import together

TRY_AGAIN_S = 5.0
"""Pause before the lease, or a site that does not answer, is tried again."""

PUBLISH_EVERY_S = 5.0

REPLICATING = "replicating"

BEAT_SECONDS_MAX = 5.0
"""A heartbeat that takes longer tells nothing: the next one is written instead."""

Say = Callable[[str], None]


async def _nothing() -> None:
    """Nothing is to be done first."""


@dataclass(slots=True)
class Service:
    """One daemon for one pair. `run` lasts until it is cancelled.

    `tell` hears of every version and marker that was written. `beside`: work that goes on
    whether or not replication does. `throttle`: the rates of the sites, None for the file's.
    `before_work`: what must be done before anything is opened for the pair. `reread`: reads
    the file again, and takes over what can be changed at run time.
    """

    config: Config
    backlog: Backlog
    feeds: list[Feed]
    clock: Clock
    say: Say
    publisher: Publisher
    tell: Callable[[Version], None] = lambda _: None
    beside: Sequence[Callable[[], Coroutine[None, None, None]]] = ()
    throttle: Throttle | None = None
    before_work: Callable[[], Awaitable[None]] = _nothing
    reread: Callable[[], None] = lambda: None
    dispatcher: Dispatcher | None = None
    hearts: list[Heartbeat] = field(default_factory=list)
    scan_now: asyncio.Event = field(default_factory=asyncio.Event)
    intake: Intake = field(init=False)
    reporter: Reporter = field(init=False)
    _state: str = field(init=False, default="")
    _hidden: deque[float] = field(init=False, default_factory=deque)
    _stopping: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self._wanted, self.backlog, self.clock, self._beat, watch=self)
        self.reporter = self.publisher.reporter
        self.reporter.tell_feeds(self.intake.reports)

    # -- how the feeds fare (`intake.Watch`) ---------------------------------------

    def lost(self, feed: str) -> None:
        self.reporter.feed_lost(feed)
        for heart in self.hearts:
            heart.lost(feed)

    def regained(self, feed: str) -> None:
        """Heartbeats prove nothing until a scan that begins now has closed."""
        self.lost(feed)
        self.scan_now.set()

    def unread(self, feed: str, why: str) -> None:
        """What it told of is found by a scan. Said once until then."""
        if self.reporter.mark.feed_whole:
            self.say(f"{feed}: {why} A scan will find what it may have told of.")
        self.regained(feed)

    def noticed(self, feed: str, notice: Notice) -> None:
        self.say(f"{feed}: {notice.text}")
        if notice.url:
            path = keep_address(self.config.state_dir, notice.url)
            self.say(f"{feed}: its SubscribeURL is in {path}, for its owner's eyes alone")
        if notice.kind == "ended":
            self.regained(feed)

    def _wanted(self, bucket: str) -> bool:
        return any(entry.target_of(bucket) for entry in self.config.pair.buckets)

    def _wake(self) -> None:
        if self.dispatcher is not None:
            self.dispatcher.wake()

    def _beat(self, hint: Hint, feed: str, late_s: float) -> None:
        """A heartbeat came through: all that its feed told earlier has been noted."""
        for heart in self.hearts:
            vouched = heart.heard(hint, feed, late_s)
            if vouched is None:
                continue
            if vouched.missing:
                self._beats_missed(feed, heart.bucket, vouched.missing)
            else:
                self.reporter.heartbeat_heard(heart.bucket, feed, vouched.at, vouched.until)

    def _beats_missed(self, feed: str, bucket: str, count: int) -> None:
        """Its sender has dropped them, and may have dropped other events with them."""
        self.intake.state_of(feed).missed += count
        self.unread(feed, f"{count} heartbeats of {bucket} never came.")

    def stop(self) -> None:
        """`run` is about to be cancelled, and is to say that it has stopped."""
        self._stopping = True

    async def run(self) -> None:
        """Everything at once, for ever. Raises `StateError` when the journal fails for good."""
        try:
            async with together() as group:
                for feed in self._feeds("durable"):
                    group.create_task(self.intake.run(feed))
                for job in self.beside:
                    group.create_task(job())
                group.create_task(self.publisher.keep_for_ever(PUBLISH_EVERY_S))
                group.create_task(self._replicate())
        finally:
            if self._stopping:
                self.publisher.keep_last()

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
            except NewBuckets as error:
                self.reporter.buckets_changed()
                self.say(error.message)
                continue
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
        if isinstance(error, TargetMissing):
            self.reporter.target_lost()
        self.reporter.stopped(error)
        self._say_once("replication stands still", error)

    def _say_once(self, state: str, error: FarshoreError) -> None:
        """Say a state when it begins, not every few seconds while it lasts."""
        if state != self._state:
            self.say(f"{state}: {error.message}")
        self._state = state

    async def _work(self) -> None:
        """Replicate while the lease is held and both sides answer."""
        await self.before_work()
        stop = asyncio.Event()
        with contextlib.closing(WaitingDeletes(self.config.state_dir / JOURNAL_FILE)) as waiting:
            async with working_crews(
                self.config,
                Tally(examples_max=0),
                stop,
                self.clock,
                self.throttle,
                waiting,
                leaving_out=True,
            ) as crews:
                await self._work_with(crews, waiting)

    async def _work_with(self, crews: list[Crew], waiting: WaitingDeletes) -> None:
        for crew in crews:
            crew.tell = self.tell
        await self.reporter.measure_clocks(crews)
        await self._revise()
        keeper = Keeper(self._held_documents(crews), waiting, self._look_again)
        await keeper.exchange()
        self._state = REPLICATING
        self.say(f"replicating {self.config.pair.name}")
        for gone in await vanished_buckets(self.config, crews[0]):
            self.say(f"{gone.text(self.config)}.")
        if buckets := await lost(self.config, crews):
            self.say(f"{self.config.pair.target} has lost what it had of {', '.join(buckets)}.")
            self.reporter.target_lost()
        self.hearts = [Heartbeat(c.source, self.clock, self.reporter.offset) for c in crews]
        async with (
            self.publisher.publishing() as document,
            self._dispatching(crews) as dispatcher,
        ):
            scanning = self._scanning(crews, dispatcher)
            try:
                async with together() as group:
                    for feed in self._feeds("applied"):
                        group.create_task(self.intake.run(feed))
                    group.create_task(keeper.keep_for_ever())
                    group.create_task(dispatcher.run())
                    group.create_task(scanning.run())
                    group.create_task(self._sweep(crews))
                    group.create_task(self._beat_hearts(scanning))
                    group.create_task(self.publisher.publish_for_ever(document, PUBLISH_EVERY_S))
            finally:
                if self._stopping:
                    await self.publisher.publish_last(document)

    def _held_documents(self, crews: list[Crew]) -> HeldDocuments:
        target = crews[0].target
        return held_documents(self.config, target.store, target.capabilities)

    async def _look_again(self, deletes: Sequence[HeldDelete]) -> None:
        """They wait from now on: until now they were not owed, and a time before it would
        take back what the watermark has said."""
        if deletes:
            now = self.clock.now()
            hints = [Hint(delete.bucket, delete.key, now) for delete in deletes]
            await self.backlog.note(hints, now=now, priority=ASKED)
            self._wake()

    async def _revise(self) -> None:
        """Deletes that wait are judged by the rules of today."""
        count = await revise(self.backlog, self.config.pair, self.clock)
        if count:
            self.say(f"the rules have changed: {count} waiting deletes are looked at again")

    @contextlib.asynccontextmanager
    async def _dispatching(self, crews: list[Crew]) -> AsyncIterator[Dispatcher]:
        daemon = self.config.daemon
        guard = DeleteGuard(
            GuardLimits(daemon.deletes_count, daemon.deletes_share),
            crews[0].waiting if crews else None,
            self._hidden,
        )
        dispatcher = self.dispatcher = Dispatcher(
            {crew.source.bucket: crew for crew in crews},
            self.backlog,
            guard,
            self.clock,
            self.reporter.replicated,
            self.reporter.ledgers,
            self.reporter.failed,
        )
        self.reporter.working(dispatcher, crews)
        async with AsyncExitStack() as stack:
            stack.callback(self._forget)
            yield dispatcher

    def _forget(self) -> None:
        self.dispatcher = None
        self.hearts = []
        self.reporter.working(None, [])

    def _scanning(self, crews: list[Crew], dispatcher: Dispatcher) -> Scanning:
        return Scanning(
            self.config, self.backlog, self.clock, crews, dispatcher, self.reporter, self.scan_now
        )

    async def _beat_hearts(self, scanning: Scanning) -> None:
        """Beat for ever; a source that does not answer is seen by its silence."""
        while True:
            await self._at_source(scanning.look_for_buckets())
            for heart in self.hearts:
                await self._at_source(heart.beat())
            await asyncio.sleep(EVERY_S)

    async def _at_source(self, request: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(BEAT_SECONDS_MAX):
                await request
        except StoreError as error:
            self.reporter.source_failed(error.message)
        except TimeoutError:
            self.reporter.source_failed("it does not answer")
        else:
            self.reporter.source_answered()

    async def _sweep(self, crews: list[Crew]) -> None:
        """Compare what no listing shows, slowly, again and again."""
        tell = self.reporter.swept
        await Sweeping(self.config.daemon, crews, self.backlog, self.clock, tell).run()
