"""The clocks of both sites, held against ours."""

from __future__ import annotations

import asyncio

from farshore.clock import Clock
from farshore.engine.clocks import ahead_of
from farshore.errors import StoreError
from farshore.s3.store import Store

ANSWER_SECONDS_MAX = 5.0
"""A site that needs longer to tell its time counts as silent, whatever its connections say."""


class SiteClocks:
    """`source_offset_s`, `target_offset_s`: a site's clock minus ours, when it was last asked;
    None: it never answered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._source_ahead_s = 0.0  # its clock minus our monotonic one
        self.source_offset_s: float | None = None
        self.target_offset_s: float | None = None

    def offset(self) -> float:
        """The source's clock minus ours. Our clock may be set at any time: what was measured
        before that is carried on by the one that nobody sets."""
        if self.source_offset_s is None:
            return 0.0
        return self._source_ahead_s + self._clock.monotonic() - self._clock.now()

    async def measure(self, source: Store, target: Store) -> tuple[bool, bool]:
        """Ask both servers for their time; of a silent one, the last measure stays good. Which of
        them has answered."""
        ours, theirs = await self._ahead(source), await self._ahead(target)
        behind = self._clock.monotonic() - self._clock.now()
        if ours is not None:
            self._source_ahead_s, self.source_offset_s = ours, ours + behind
        if theirs is not None:
            self.target_offset_s = theirs + behind
        return ours is not None, theirs is not None

    async def _ahead(self, store: Store) -> float | None:
        """As `ahead_of`; None when it does not answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await ahead_of(store, self._clock)
        except (StoreError, TimeoutError):
            return None
