"""How much is in flight at once: bounded by count and bytes, adapted to what the sites answer.

The count follows the latency of small copies, as TCP Vegas does with a window: while
copies take hardly longer than the fastest of late, more may fly; when they queue up, none
are added. A throttled answer halves it. So a far site (80 ms) gets hundreds in flight
and a near one a few dozen.

What the fastest is, is measured anew every few seconds with the smallest window, as BBR
does: copies that wait in our own queue would say that the way is long, and the window
would climb for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from farshore.clock import Clock

COUNT_MIN = 16
"""Copies that fly at once in any case, unless the configuration allows fewer."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Bounds: copies in flight (count_min..count_max), and bytes of their bodies."""

    count_min: int = COUNT_MIN
    count_max: int = 256
    bytes_max: int = 256 * 1024 * 1024


QUEUE_LOW = 6.0
QUEUE_HIGH = 24.0
"""Copies that may wait in queues along the way, by the latency's estimate."""

FASTEST_HOLDS_S = 10.0
"""How long the fastest latency counts before it is measured again."""


@dataclass(slots=True)
class _Dip:
    """A short return to the smallest window, which shows how long the way is without a queue.

    `window` holds again once `left` pieces of work have ended; `fastest_s` is of these.
    """

    window: float
    left: int
    fastest_s: float = float("inf")


class Gate:
    """Let work in while there is room; learn from how it went."""

    def __init__(self, limits: GateLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._window = float(limits.count_min)
        self._fastest_s = float("inf")
        self._measured_at = clock.monotonic()
        self._dip: _Dip | None = None
        self._flying = 0
        self._bytes = 0
        self._deaf = 0  # ends of work to pass before another throttling counts
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def window(self) -> int:
        """How many may fly now."""
        return int(self._window)

    @property
    def flying(self) -> int:
        """How many fly now."""
        return self._flying

    async def enter(self, size: int) -> None:
        """Wait for room for one piece of work that holds `size` bytes. First come, first in."""
        if not self._waiting and self._fits(size):
            self._take(size)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)
            raise

    def leave(self, size: int) -> None:
        """The work is over, however it ended."""
        self._flying -= 1
        self._bytes -= size
        self._deaf = max(0, self._deaf - 1)
        if self._dip is not None:
            self._dip.left -= 1
            if self._dip.left <= 0:
                self._end_dip(self._dip)
        self._admit()

    def observe(self, seconds: float) -> None:
        """A small copy succeeded and took this long."""
        self._fastest_s = min(self._fastest_s, seconds)
        if self._dip is not None:
            self._dip.fastest_s = min(self._dip.fastest_s, seconds)
            return
        if self._clock.monotonic() - self._measured_at >= FASTEST_HOLDS_S:
            self._begin_dip()
            return
        queued = self._window * (1 - self._fastest_s / seconds) if seconds > 0 else 0.0
        if queued < QUEUE_LOW and self._flying >= self._window - 1:
            self._window += 1
        elif queued > QUEUE_HIGH:
            self._window -= 1 / self._window
        self._clamp()
        self._admit()

    def throttled(self) -> None:
        """A site asked for less. All that flies now may say so: they count once."""
        if self._deaf:
            return
        self._deaf = self._flying
        if self._dip is not None:
            self._end_dip(self._dip)
        self._window = max(1.0, self._window / 2)

    def _begin_dip(self) -> None:
        """What flies now drains first; then twice the smallest window is measured."""
        smallest = self._limits.count_min
        self._dip = _Dip(self._window, self._flying + 2 * smallest)
        self._window = min(self._window, float(smallest))

    def _end_dip(self, dip: _Dip) -> None:
        self._dip = None
        self._window = dip.window
        if dip.fastest_s < float("inf"):
            self._fastest_s = dip.fastest_s
        self._measured_at = self._clock.monotonic()

    def _clamp(self) -> None:
        self._window = min(self._window, float(self._limits.count_max))
        if self._window < self._limits.count_min:
            self._window = min(self._window + 0.1, float(self._limits.count_min))

    def _fits(self, size: int) -> bool:
        if self._flying == 0:
            return True
        return self._flying < self._window and self._bytes + size <= self._limits.bytes_max

    def _take(self, size: int) -> None:
        self._flying += 1
        self._bytes += size

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._take(size)
                turn.set_result(None)
