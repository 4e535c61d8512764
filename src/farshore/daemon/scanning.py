"""The scan in the daemon: when the buckets are walked, and what that proves or takes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from farshore.clock import Clock
from farshore.config import Config
from farshore.daemon.newcomers import unserved
from farshore.daemon.reports import Reporter
from farshore.engine.buckets import note_sizes, unversioned
from farshore.engine.dispatch import Dispatcher
from farshore.engine.heartbeat import IN_FLIGHT_S
from farshore.engine.lane import Crew
from farshore.engine.reconcile import Scan, scan
from farshore.errors import BucketMissing, StoreError
from farshore.journal.backlog import Backlog
from farshore.s3.wrap import Retrying

AGAIN_S = 5.0
"""Pause after a scan that broke off."""

APART_S = 2.0
"""Pause between scans, whoever asks for them: a flood of unreadable messages asks all the time."""


@dataclass(slots=True)
class Scanning:
    """Scans for ever. `asked`: set by whoever wants the next one now. `dispatcher` looks at what a
    scan has found."""

    config: Config
    backlog: Backlog
    clock: Clock
    crews: Sequence[Crew]
    dispatcher: Dispatcher
    reporter: Reporter
    asked: asyncio.Event

    async def run(self) -> None:
        """Scan at once, and then again and again. Raises `NewBuckets`."""
        while True:
            self.asked.clear()
            every_s = self.config.daemon.scan_every_s
            pause = every_s if await self.scan_all() else min(every_s, AGAIN_S)
            await asyncio.sleep(min(pause, APART_S))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.asked.wait()

    async def scan_all(self) -> bool:
        """One scan of all buckets: whether it came to its end."""
        tally = Scan(self._vouched_at())
        self.reporter.scan_started(tally)
        try:
            await self._walk(tally)
        except StoreError as error:
            if isinstance(error, BucketMissing):
                await self._miss_targets()
            self.reporter.scan_failed(tally, error)
            return False
        self.dispatcher.target_keys = tally.target_keys
        self.reporter.scan_closed(tally)
        return True

    async def _walk(self, tally: Scan) -> None:
        await self.look_for_buckets()
        for crew in self.crews:
            await scan(
                crew.source,
                crew.target,
                crew.rules,
                self.backlog,
                self.clock,
                tally,
                deletes=crew.waiting,
            )
            self.dispatcher.wake()
        shrunk = await note_sizes(self.backlog, tally.buckets, self.clock.now())
        here, there = [c.source for c in self.crews], [c.target for c in self.crews]
        self.reporter.buckets_looked_at(shrunk, await unversioned(here), await unversioned(there))

    async def look_for_buckets(self) -> None:
        """See whether a pattern matches buckets that are not replicated. See `unserved`."""
        if self.config.pair.has_patterns:
            at = self._vouched_at()
            self.reporter.buckets_listed(at, await unserved(self.config, self.crews))

    async def _miss_targets(self) -> None:
        """A bucket is missing: if it is one of the target's, its versions are gone with it."""
        for target in [crew.target for crew in self.crews]:
            try:
                await Retrying(target.store).get_versioning(target.bucket)
            except BucketMissing:
                self.reporter.target_lost()
                return
            except StoreError:
                continue  # whether it is there is not known: the next scan asks again

    def _vouched_at(self) -> float:
        """What was written before this moment, by the source's clock, is shown by whatever is
        asked from now on. The clock is known from Date headers, whose seconds are cut: it is
        up to one second ahead of what we think."""
        return self.clock.now() + self.reporter.offset() - IN_FLIGHT_S
