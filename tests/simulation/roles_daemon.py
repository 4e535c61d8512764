"""One machine's `farshore run` in the simulation: the real service, turned as the record says."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from farshore.cli.direction import faced
from farshore.cli.live import _turned
from farshore.clock import Clock
from farshore.config import Config
from farshore.core.watermark import Watermark
from farshore.daemon.fences import FenceKeeper
from farshore.daemon.reports import Reporter
from farshore.daemon.service import Service
from farshore.engine.lane import Crew
from farshore.feed.hint import Feed
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.journal.deletes import WaitingDeletes
from tests.simulation.entrance import here
from tests.simulation.process import KeptNowhere

Said = Callable[[str, float | None], None]
"""(source, watermark): a daemon believes that."""


class ToldReporter(Reporter):
    """Tells of every state of the watermark."""

    said: Said = staticmethod(lambda _source, _mark: None)
    mark: Watermark

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "mark":
            self.said(self._config.pair.source, self.mark.watermark)


class Directed(Service):
    """The real service; its jitter is the simulation's."""

    chance: random.Random

    async def _work_with(self, crews: list[Crew], waiting: WaitingDeletes) -> None:
        for crew in crews:
            crew.jitter = self.chance
        await super()._work_with(crews, waiting)


async def live(
    config: Config,
    clock: Clock,
    rng: random.Random,
    feed_of: Callable[[str], Feed],
    say: Callable[[str], None],
    said: Said,
) -> None:
    """As `farshore run`: one service for each direction, until the process ends."""
    while True:
        facing = await faced(config)
        async with _service(facing, clock, rng, feed_of, say, said) as service:
            work = asyncio.create_task(service.run())
            turning = asyncio.create_task(_turned(config, facing))
            try:
                await asyncio.wait({work, turning}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                turning.cancel()
                service.stop()
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            say(f"it turns round, away from {facing.pair.source}")


@asynccontextmanager
async def _service(
    config: Config,
    clock: Clock,
    rng: random.Random,
    feed_of: Callable[[str], Feed],
    say: Callable[[str], None],
    said: Said,
) -> AsyncIterator[Directed]:
    """As `daemon.assembly`, without the API, the alarm and what follows the file."""
    path = config.state_dir / "journal.sqlite"
    backlog = SqliteBacklog(path)

    def killed() -> None:
        """What was not committed is gone."""
        group = backlog._group
        group._closed = True
        group._committer.shutdown()
        group._db.close()
        backlog._reader.close()

    host = here()
    host.at_end.append(killed)
    reporter = ToldReporter(config, backlog, clock)
    reporter.said = said
    keeper = FenceKeeper(config, clock, say)
    feed = feed_of(config.pair.source)
    service = Directed(
        config,
        backlog,
        [feed],
        clock,
        say,
        KeptNowhere(config, reporter),
        beside=(keeper.keep_for_ever,),
        before_work=keeper.before_work,
    )
    service.chance = rng
    try:
        yield service
    finally:
        host.at_end.remove(killed)
        if not host.dead:
            await backlog.aclose()


def on_machine(config: Config, machine: str) -> Config:
    """The same file on a machine with a state folder of its own."""
    folder = config.state_dir / machine
    folder.mkdir(parents=True, exist_ok=True)
    return replace(config, state_dir=folder)
