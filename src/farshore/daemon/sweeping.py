"""The sweep in the daemon: when a pass begins, how fast it goes, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.config.values import Daemon
from farshore.control.status import SweepState
from farshore.engine.lane import Crew
from farshore.engine.sweep import KEEP_EVERY_S, Book, Sweep
from farshore.errors import StoreError
from farshore.journal.backlog import Backlog
from farshore.journal.pause import paused
from farshore.s3.pace import TokenBucket

LOOK_EVERY_S = 5.0
"""How often it is asked whether a pass is due, or a pause over."""

AGAIN_S = 60.0
"""Pause after a pass that broke off: it goes on from where it was."""

HEADROOM = 1.2
"""A pass goes this much faster than it must, so that it ends in time."""


def versions_per_s(daemon: Daemon, versions: int, compared: int = 0) -> float:
    """How fast a pass goes: as slowly as its time allows, at most at the configured rate.

    `versions`: how many the last pass had, 0: not known, then as fast as is allowed; so is what
    this pass finds beyond them, once it has `compared` as many.
    """
    most = daemon.sweep_versions_per_s
    needed = versions * HEADROOM / daemon.sweep_every_s
    return most if compared >= versions else min(most, max(needed, 1.0))


@dataclass(slots=True)
class Sweeping:
    """Passes for ever. `tell` hears how things stand, often."""

    daemon: Daemon
    crews: Sequence[Crew]
    backlog: Backlog
    clock: Clock
    tell: Callable[[SweepState], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _book: Book = field(init=False)
    _pace: TokenBucket = field(init=False)
    _kept_at: float = field(init=False, default=0.0)

    async def run(self) -> None:
        """Until it is cancelled. Raises `StateError`."""
        self._book = Book.read(self.backlog)
        while True:
            self._told("")
            await self._until_due()
            try:
                await self._pass()
            except StoreError as error:
                await self._book.keep(self.backlog)
                self._told(f"the sweep broke off: {error.message}")
                await self.sleep(AGAIN_S)

    async def _until_due(self) -> None:
        last = self._book.last
        ended = last.finished_at if last else None
        while self._book.now is None and ended is not None:
            if self.clock.now() >= ended + self.daemon.sweep_every_s:
                return
            await self.sleep(LOOK_EVERY_S)

    async def _pass(self) -> None:
        self._pace = TokenBucket(self._rate(), clock=self.clock, sleep=self.sleep)
        one = Sweep(self.crews, self._book, self._pace, self.clock, self._between, self.sleep)
        await one.run()
        await self._book.keep(self.backlog)

    def _rate(self) -> float:
        last, now = self._book.last, self._book.now
        expected = last.versions if last else 0
        return versions_per_s(self.daemon, expected, now.versions if now else 0)

    async def _between(self) -> None:
        """Go as fast as is right by now; keep the place now and then; wait while a person has
        paused replication."""
        if (rate := self._rate()) != self._pace.rate:
            self._pace.change(rate)
        now = self.clock.monotonic()
        if now - self._kept_at >= KEEP_EVERY_S:
            self._kept_at = now
            await self._book.keep(self.backlog)
        self._told("")
        while paused(self.backlog) is not None:
            await self.sleep(LOOK_EVERY_S)

    def _told(self, trouble: str) -> None:
        last, now = self._book.last, self._book.now
        self.tell(
            SweepState(
                finished_at=last.finished_at if last else None,
                versions=last.versions if last else 0,
                mended=last.mended if last else 0,
                left=last.left if last else 0,
                mended_total=self._book.mended_total,
                accounts=last.accounts if last else 0,
                began_at=now.began_at if now else None,
                compared=now.versions if now else 0,
                trouble=trouble or (now.trouble if now else "") or (last.trouble if last else ""),
            )
        )
