"""The status, published on the target and kept on this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from farshore.config import Config
from farshore.control.sites import open_store
from farshore.control.status import StatusDocument, StatusLost, write_local
from farshore.daemon.reports import Reporter
from farshore.daemon.site_clocks import ANSWER_SECONDS_MAX
from farshore.errors import StoreError
from farshore.s3.wrap import Retrying

LAST_SECONDS_MAX = 1.5
"""How long the end of the daemon may wait for its last report to be written."""


class Publisher:
    """Writes what the reporter says: at times, and whenever it has news."""

    def __init__(self, config: Config, reporter: Reporter) -> None:
        self._config = config
        self.reporter = reporter
        self._news = asyncio.Event()
        reporter.tell_news(self._hear)

    def _hear(self) -> None:
        self._news.set()
        self._keep()

    # -- on the target -----------------------------------------------------------

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[StatusDocument]:
        """The status document, opened; goes on from what was published before this daemon. A
        target that has none of ours may have lost its disks: what was promised for it is void."""
        config = self._config
        store = open_store(config, config.pair.target, "replicator")
        try:
            document = StatusDocument(
                Retrying(store), config.target.control_bucket, config.pair.name
            )
            self.reporter.go_on_from(await document.read())
            yield document
        finally:
            await store.aclose()

    async def publish_for_ever(self, document: StatusDocument, every_s: float) -> None:
        """Write the status on the target, again and again, and whenever a scan has closed.
        `StoreError` from a target that has lost what was written there before."""
        while True:
            self._news.clear()
            await self.reporter.measure_again()
            if self.reporter.target_answers:
                await self._publish(document)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._news.wait()

    async def _publish(self, document: StatusDocument) -> None:
        """A write that hangs is given up; at worst one old version of the document stays."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await self._write(document)
        except StatusLost:
            self.reporter.forget_target()
            raise
        except StoreError as error:
            self.reporter.target_failed(f": {error.message}")
        except TimeoutError:
            self.reporter.target_failed(" does not answer")
        else:
            self.reporter.target_answered()

    async def publish_last(self, document: StatusDocument) -> None:
        """Say on the target that this daemon has stopped, if it can be said in a moment."""
        self.keep_last()
        if self.reporter.target_answers is False:
            return
        with contextlib.suppress(StoreError, TimeoutError):  # then its silence says it
            async with asyncio.timeout(LAST_SECONDS_MAX):
                await self._write(document)

    async def _write(self, document: StatusDocument) -> None:
        await document.require_kept()
        await document.write(self.reporter.report())

    # -- on this machine ---------------------------------------------------------

    async def keep_for_ever(self, every_s: float) -> None:
        """Write the status on this machine, whatever the sites do. Raises `StateError`."""
        while True:
            self._keep()
            await asyncio.sleep(every_s)

    def keep_last(self) -> None:
        """Say on this machine that this daemon has stopped."""
        self.reporter.stop()
        self._keep()

    def _keep(self) -> None:
        if self.reporter.knows_best:
            write_local(self._config.state_dir, self.reporter.report())
