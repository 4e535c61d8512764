"""One direction of one connection: bytes wait, travel, and arrive.

    source socket -> waiting (for the rate) -> travelling (until due) -> sink socket

Delays are timers, not sleeps in the copy loop, so that latency never limits how much
is on its way. All memory is bounded: the source is paused while the flow holds
`FLOW_BYTES_MAX`, which like a TCP window also bounds the rate over a long line.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from enum import Enum
from typing import Protocol

from farshore.lab.settings import PERFECT

FLOW_BYTES_MAX = 4 * 1024 * 1024
"""Bytes that one direction of one connection may hold."""

SLICE_BYTES = 16 * 1024
"""What one flow may send before the next one's turn, when a rate is set."""

BURST_SECONDS = 0.02
"""Unused rate that is kept for later."""

BYTES_PER_MBIT = 125_000


class End(Enum):
    """How a direction ends: the peer is done (FIN), or the connection broke (RST)."""

    FIN = "fin"
    RST = "rst"


Item = memoryview | End


class Owner(Protocol):
    """The connection that a flow belongs to."""

    def room(self, size: int) -> int:
        """How many of `size` bytes may still pass before the connection is to be reset."""
        ...

    def finished(self) -> None:
        """A FIN has been passed on."""
        ...

    def reset(self) -> None:
        """Break both sides now, with RST."""
        ...


class Line:
    """What all flows of a site share: the settings, the rate and the clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int) -> None:
        self.loop = loop
        self.settings = PERFECT
        self._random = random.Random(seed)
        self._turns: deque[Flow] = deque()
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def clear(self) -> bool:
        """Bytes may pass straight through."""
        settings = self.settings
        return not (settings.cut or settings.shaped or settings.reset_after is not None)

    @property
    def frozen(self) -> bool:
        return self.settings.cut

    def delay(self) -> float:
        """Seconds that the next chunk travels."""
        settings = self.settings
        swing = self._random.uniform(-settings.jitter_ms, settings.jitter_ms)
        return max(0.0, settings.latency_ms + swing) / 1000

    def submit(self, flow: Flow) -> None:
        """Give a flow its turns until nothing of it waits."""
        self._turns.append(flow)
        self.pump()

    def pump(self) -> None:
        """Let flows send in turn, as fast as the rate allows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._turns:
            now = self.loop.time()
            if self.settings.rate_mbit and self._free_at > now:
                self._timer = self.loop.call_at(self._free_at, self.pump)
                return
            self._turn(now)

    def _turn(self, now: float) -> None:
        flow = self._turns.popleft()
        if not flow.is_waiting:  # it was stopped since
            return
        rate = self.settings.rate_mbit * BYTES_PER_MBIT
        sent = flow.depart(SLICE_BYTES if rate else FLOW_BYTES_MAX)
        if rate:
            self._free_at = max(self._free_at, now - BURST_SECONDS) + sent / rate
        if flow.is_waiting:
            self._turns.append(flow)


class Flow:
    """Bytes from one socket to another, over a line."""

    def __init__(self, line: Line, owner: Owner) -> None:
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None
        self._line = line
        self._owner = owner
        self._waiting: deque[Item] = deque()
        self._travelling: deque[tuple[float, Item]] = deque()
        self._held = 0
        self._last_due = 0.0
        self._sink_full = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def take(self, data: bytes) -> None:
        """Bytes came in at the source."""
        idle = not (self._waiting or self._travelling)
        if idle and self._line.clear and not self._sink_full and self.sink is not None:
            self.sink.write(data)
        else:
            self._held += len(data)
            self._queue(memoryview(data))
            self.regulate()

    def end(self, how: End) -> None:
        """The source ended; the sink learns of it after all bytes before it."""
        self._queue(how)

    def _queue(self, item: Item) -> None:
        self._waiting.append(item)
        if len(self._waiting) == 1:  # else it has a turn already
            self._line.submit(self)

    def depart(self, slice_bytes: int) -> int:
        """Send off the next waiting item, at most `slice_bytes` of it; answers its size."""
        item = self._waiting.popleft()
        size = 0
        if not isinstance(item, End):
            if len(item) > slice_bytes:
                self._waiting.appendleft(item[slice_bytes:])
                item = item[:slice_bytes]
            size = len(item)
        self._last_due = max(self._last_due, self._line.loop.time() + self._line.delay())
        self._travelling.append((self._last_due, item))
        self.wake()
        return size

    def wake(self) -> None:
        """The settings changed, or the sink is there: go on where it is possible."""
        self._arrive()
        self.regulate()

    def set_sink_full(self, full: bool) -> None:
        """The sink's buffer passed its high, or fell to its low, mark."""
        self._sink_full = full
        self.wake()

    def stop(self) -> None:
        """Forget everything that is on its way."""
        self._waiting.clear()
        self._travelling.clear()
        self._cancel_timer()

    def regulate(self) -> None:
        """Pause the source while its bytes have nowhere to go."""
        if self.source is None:
            return
        if (
            self.sink is None
            or self._sink_full
            or self._line.frozen
            or self._held >= FLOW_BYTES_MAX
        ):
            self.source.pause_reading()
        else:
            self.source.resume_reading()

    @property
    def _may_arrive(self) -> bool:
        blocked = self.sink is None or self._sink_full or self._line.frozen
        return bool(self._travelling) and not blocked

    def _arrive(self) -> None:
        """Deliver what is due; set the timer for the rest."""
        self._cancel_timer()
        now = self._line.loop.time()
        while self._may_arrive and self._travelling[0][0] <= now:
            self._deliver(self._travelling.popleft()[1])
        if self._may_arrive:
            self._timer = self._line.loop.call_at(self._travelling[0][0], self._due)

    def _due(self) -> None:
        self._timer = None
        self.wake()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver(self, item: Item) -> None:
        assert self.sink is not None
        if item is End.RST:
            self._owner.reset()
        elif item is End.FIN:
            self.sink.write_eof()
            self._owner.finished()
        else:
            self._held -= len(item)
            room = self._owner.room(len(item))
            self.sink.write(item[:room])
            if room < len(item):
                self._owner.reset()
