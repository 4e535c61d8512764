"""What tests of farshore, ours and other people's, are built with: a clock that a test moves."""

from __future__ import annotations

import asyncio


class ManualClock:
    """A `Clock` that stands still until it is moved. `sleep` moves it instead of waiting.

    Its times have digits that no document keeps (those have milliseconds), as real ones have.
    """

    def __init__(self, now: float = 1_767_225_600.000_456_7) -> None:
        self._now = now
        self._began = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - self._began

    def advance(self, seconds: float) -> None:
        """Let this much time pass at once."""
        self._now += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock: no time has passed."""
        self._now += seconds
        self._began += seconds

    async def sleep(self, seconds: float) -> None:
        """For code that takes its sleep as an argument: time passes, nobody waits."""
        self.advance(seconds)
        await asyncio.sleep(0)
