"""One farshore process in the simulation: the real service on a simulated network."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.held import HeldDocuments
from farshore.control.kept import KeptVersions
from farshore.control.lease import obeys_conditions
from farshore.control.replicated import Replicated
from farshore.control.status import StatusDocument
from farshore.daemon.publisher import Publisher
from farshore.daemon.reports import Reporter
from farshore.daemon.service import Service
from farshore.engine.dispatch import Dispatcher
from farshore.engine.gate import Gate, GateLimits
from farshore.engine.lane import Crew
from farshore.engine.placed import Placed
from farshore.engine.reconcile import Scan
from farshore.engine.session import End, Sides, sides_between
from farshore.engine.side import Side
from farshore.engine.tally import Tally
from farshore.errors import BucketMissing, FarshoreError, Refused, StoreError, TargetMissing
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.journal.deletes import WaitingDeletes
from farshore.journal.doubts import Doubts
from farshore.journal.sqlite import SqliteJournal
from farshore.s3.capabilities import Capabilities
from farshore.s3.listing import lister_for
from farshore.s3.listing.directories import FilerLister
from farshore.s3.listing.split import SplitLister
from farshore.s3.wrap import Retrying
from farshore.testing.store.lossy import LossyListingStore
from tests.simulation.ground import LEVEL, Ground
from tests.simulation.network import LATE_S, FilerLine, Network
from tests.simulation.power import PowerCut, Synced
from tests.simulation.truth import BUCKET

LATE_MAX_S = LATE_S + 1.0
"""What farshore takes for the longest that a request may be late."""

ROUNDS_MAX = 100
"""Times that what is left of a killed process is told to end."""


class SimulatedClock:
    """The daemon's own clock. `skew` jumps."""

    def __init__(self, began: float, skew: float) -> None:
        self._began = began
        self.skew = skew

    def now(self) -> float:
        return self._began + self.monotonic() + self.skew

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class WatchedReporter(Reporter):
    """Tells of every state of the watermark; when a scan has begun that closes (`scanned`), or
    that misses a bucket (`missed`); which buckets are not replicated (`left_out`)."""

    said: Callable[[float | None], None] = staticmethod(lambda _: None)
    scanned: Callable[[float], None] = staticmethod(lambda _: None)
    missed: Callable[[float], None] = staticmethod(lambda _: None)
    left_out: Callable[[Sequence[str]], None] = staticmethod(lambda _: None)
    began = 0.0

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "mark":
            self.said(self.mark.watermark)

    def scan_started(self, tally: Scan) -> None:
        self.began = asyncio.get_running_loop().time()
        super().scan_started(tally)

    def scan_closed(self, tally: Scan) -> None:
        self.scanned(self.began)
        super().scan_closed(tally)

    def scan_failed(self, tally: Scan, error: StoreError | Refused) -> None:
        if isinstance(error, BucketMissing):
            self.missed(self.began)
        super().scan_failed(tally, error)

    def stopped(self, error: FarshoreError) -> None:
        if isinstance(error, TargetMissing):
            self.missed(asyncio.get_running_loop().time())
        super().stopped(error)

    def buckets_listed(self, at: float, unserved: Sequence[str]) -> None:
        self.left_out(unserved)
        super().buckets_listed(at, unserved)


class KeptNowhere(Publisher):
    """The copy on this machine is of no use to the simulation: the target's is read."""

    def _keep(self) -> None:
        """Not here."""


class Networked(KeptNowhere):
    """Its status document goes through the network."""

    way: Network
    chance: random.Random

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[StatusDocument]:
        config = self._config
        store = Retrying(self.way, rng=self.chance)
        document = StatusDocument(store, config.target.control_bucket, config.pair.name)
        self.reporter.go_on_from(await document.read())
        yield document


class Daemon(Service):
    """The real service, for which somebody else opens the sites."""

    crews: Callable[[], Awaitable[list[Crew]]]
    chance: random.Random
    remembered_max: int
    waiting: WaitingDeletes

    async def _work(self) -> None:
        await self._work_with(await self.crews(), self.waiting)

    def _held_documents(self, crews: list[Crew]) -> HeldDocuments:
        store = Retrying(crews[0].target.store, rng=self.chance)
        config = self.config
        strong = obeys_conditions(crews[0].target.capabilities)
        return HeldDocuments(store, config.target.control_bucket, config.pair.name, strong=strong)

    @asynccontextmanager
    async def _dispatching(self, crews: list[Crew]) -> AsyncIterator[Dispatcher]:
        async with super()._dispatching(crews) as dispatcher:
            dispatcher._placed = {
                crew.source.bucket: Placed(crew.target.capabilities, keys_max=self.remembered_max)
                for crew in crews
            }
            yield dispatcher


class Process:
    """From its start to its end, however it ends."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        clock: Clock,
        ways: tuple[Network, Network],
        can: tuple[Capabilities, Capabilities],
        rng: random.Random,
        said: Callable[[float | None], None],
        remembered_max: int,
        ground: Ground = LEVEL,
    ) -> None:
        self.ways, self.folder, self.chance = ways, folder, rng
        self._before_close: Callable[[], None] = lambda: None
        self.backlog = SqliteBacklog(folder / "journal.db")
        self._synced = Synced(self.backlog._group, folder / "journal.db-wal")
        self.uploads = SqliteJournal(folder / "uploads.db")
        self.waiting = WaitingDeletes(folder / "deletes.db")
        self.reporter = WatchedReporter(config, self.backlog, clock)
        self.reporter.said = said
        publisher = Networked(config, self.reporter)
        publisher.way, publisher.chance = ways[1], rng
        self.doubts = Doubts(clock, folder / "doubts.db", late_max_s=LATE_MAX_S)
        self.service = Daemon(config, self.backlog, [], clock, lambda _: None, publisher)
        self.service.chance, self.service.remembered_max = rng, remembered_max
        self.service.waiting, self.service.crews = self.waiting, self._crews
        self._config, self._clock, self._can, self._ground = config, clock, can, ground
        self.task: asyncio.Task[None] | None = None

    async def _crews(self) -> list[Crew]:
        """As `engine.run.working_crews`, without mandate and lease. Where the pair has one bucket
        alone, its sides are ready whatever the sites answer."""
        config, chance, ground = self._config, self.chance, self._ground
        here, there = self.ways
        source = _end(config, here, self._can[0], chance, ground)
        target = _end(config, there, self._can[1], chance, ground)
        if ground.is_wide:
            found = await sides_between(config, source, target, retrying=False, leaving_out=True)
            control = Replicated(target.patient, config, strong=obeys_conditions(self._can[1]))
            await control.remember((one.source.bucket, one.target.bucket) for one in found)
        else:
            ends = (end.side(BUCKET, retrying=False) for end in (source, target))
            found = [Sides(*(replace(side, kept=None) for side in ends))]
        return [self._crew(*sides) for sides in found]

    def _crew(self, source: Side, target: Side) -> Crew:
        return Crew(
            source=source,
            target=replace(target, doubts=self.doubts),
            rules=self._config.pair.rules,
            clock=self._clock,
            journal=self.uploads,
            gate=Gate(GateLimits(), self._clock),
            tally=Tally(),
            jitter=self.chance,
            waiting=self.waiting,
        )

    def start(self) -> None:
        self.task = asyncio.create_task(self.service.run())

    @property
    def ended(self) -> BaseException | None:
        """What it ended with; None while it runs."""
        if self.task is None or not self.task.done() or self.task.cancelled():
            return None
        return self.task.exception()

    async def stop(self, others: set[asyncio.Task[None]]) -> None:
        """As on SIGTERM: it says that it stops, and ends."""
        self.service.stop()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task], timeout=30.0)
        await self.kill(others)

    async def lose_power(self, others: set[asyncio.Task[None]]) -> bool:
        """As when the machine's power is cut: of the notes, what was not forced to the disk is
        gone, or some of it. Whether anything was."""
        cut = PowerCut(self.folder)
        self._before_close = lambda: cut.remember(self._synced, self.chance)
        await self.kill(others)
        return cut.restore() > 0

    async def kill(self, others: set[asyncio.Task[None]]) -> None:
        """As on SIGKILL: nothing that it does from now on has an effect. `others` live on."""
        _ = self.ended  # it may have died by itself a moment ago, and nobody has asked yet
        for way in self.ways:
            way.die()
        self.backlog._group._closed = True
        for _ in range(ROUNDS_MAX):
            left = [task for task in asyncio.all_tasks() if task not in others]
            if not left:
                break
            for task in left:
                task.cancel()
            done, _ = await asyncio.wait(left, timeout=1.0)
            for task in done:
                _ = task.cancelled() or task.exception()  # nobody else asks any more
        self._close()

    def _close(self) -> None:
        """What was not committed is gone."""
        self._before_close()
        group = self.backlog._group
        group._committer.shutdown()
        group._db.close()
        self.backlog._reader.close()
        self.uploads.close()
        self.doubts.close()
        with contextlib.suppress(StoreError):
            self.waiting.close()


def _end(
    config: Config, way: Network, can: Capabilities, rng: random.Random, ground: Ground
) -> End:
    """As `engine.session` opens one: the lister is the one that the capabilities ask for."""
    patient, site = Retrying(way, rng=rng), config.site(way.site)
    filer = FilerLine(way, way.store) if isinstance(way.store, LossyListingStore) else None
    lister = lister_for(patient, can, filer=filer)
    if isinstance(lister, SplitLister | FilerLister):
        lister._limit = ground.page  # what S3's thousand is to a real server
    strong = obeys_conditions(can)
    kept = KeptVersions(patient, site.control_bucket, config.pair.name, site.name, strong=strong)
    return End(site, way, patient, lister, can, kept)
