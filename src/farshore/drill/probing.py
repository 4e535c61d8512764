"""A client that writes all the while, and measures what a switch is like for it.

It writes one small object through the URL that applications use, outside replication, and
tries nothing again by itself: what it counts is what the servers and proxies answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.sites import open_store
from farshore.core.drill import Client
from farshore.drill.scratch import own_prefix
from farshore.drill.sheet import Sheet
from farshore.errors import StoreError, Throttled
from farshore.s3.store import Store

EVERY_S = 0.1
ANSWER_S_MAX = 5.0
BODY = b"farshore drill: the probing client\n"


class Prober:
    """Counts in `seen` and keeps the sheet's measures up to date."""

    def __init__(self, store: Store, bucket: str, key: str, sheet: Sheet, clock: Clock) -> None:
        self.seen = Client()
        self._store = store
        self._where = (bucket, key)
        self._sheet = sheet
        self._clock = clock
        self._good = clock.monotonic()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """One write, counted."""
        bucket, key = self._where
        began, seen = self._clock.monotonic(), self.seen
        waited = failed = 0
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await self._store.put(bucket, key, BODY)
        except Throttled:
            waited = 1
        except (StoreError, TimeoutError):
            failed = 1
        now = self._clock.monotonic()
        outage = max(seen.outage_s, now - self._good)
        if not waited and not failed:
            self._good = now
        self.seen = Client(
            seen.requests + 1,
            seen.waited + waited,
            seen.failed + failed,
            round(outage, 3),
            round(max(seen.slowest_s, now - began), 3),
        )
        self._sheet.seen["failed_probes"] = self.seen.failed
        self._sheet.seen["outage_s"] = self.seen.outage_s


@asynccontextmanager
async def probing(
    config: Config, bucket: str, sheet: Sheet, clock: Clock
) -> AsyncIterator[Prober | None]:
    """A prober at work while the body runs; None where there is no URL that stays the same, or
    the app has no keys."""
    site = config.source
    if not config.switch.endpoint or "app" not in site.credentials:
        yield None
        return
    front = replace(site, endpoint=config.switch.endpoint, ca_file=config.switch.ca_file)
    at_front = replace(config, sites={**config.sites, site.name: front})
    key = f"{own_prefix(sheet.drill.id)}probe"
    async with aclosing(open_store(at_front, site.name, "app")) as store:
        prober = Prober(store, bucket, key, sheet, clock)
        task = asyncio.create_task(prober.run())
        try:
            yield prober
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
