"""The simulated feed: a log of events at the source, and what may become of them on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from typing import Literal

from farshore.errors import Unreachable
from farshore.feed.hint import Delivery, Hint, Listener, Nobody, Settles
from tests.simulation.plan import Hints

LATE_S = 20.0
"""A late feed says that it may be so late, and keeps to it."""

SHARE = 0.15
"""Of the events, for each thing that may happen to them."""

DELIVERY_MAX = 4


class Events:
    """What the source has told, and nobody has settled yet. It outlives farshore."""

    def __init__(self, rng: random.Random, hints: Hints, settles: Settles) -> None:
        self._rng = rng
        self._hints = hints
        self.settles: Settles = settles
        self._told = 0
        self.open: dict[int, Hint] = {}
        self.news = asyncio.Event()
        self.broken = 0  # rises with every break of the line

    @property
    def late_s(self) -> float:
        return LATE_S if self._hints == "late" else 0.0

    def tell(self, hint: Hint) -> None:
        """One event. In order it is told at once, perhaps twice."""
        fate = int(self._rng.random() / SHARE)
        if self._hints == "lossy" and fate == 0:
            return
        for _ in range(2 if fate == 1 else 1):
            if self._hints == "in order":
                self._add(hint)
            else:
                wait = self._rng.random() * 0.9 * LATE_S if fate in (2, 3) else 0.0
                asyncio.get_running_loop().call_later(wait, self._add, hint)

    def _add(self, hint: Hint) -> None:
        self._told += 1
        self.open[self._told] = hint
        self.news.set()

    def cut(self) -> None:
        """The line breaks."""
        self.broken += 1
        self.news.set()


class _Delivery:
    """Events that came together."""

    def __init__(self, events: Events, rows: dict[int, Hint]) -> None:
        self._events = events
        self._rows = rows
        self.hints = tuple(rows.values())

    async def settle(self) -> None:
        for number in self._rows:
            self._events.open.pop(number, None)


class SimulatedFeed:
    """One process's line to the events: all that is not settled, and what comes."""

    def __init__(self, events: Events, rng: random.Random, may_talk: Callable[[], bool]) -> None:
        self._events = events
        self._rng = rng
        self._may_talk = may_talk
        self._listener: Listener = Nobody()
        self.settles: Literal["durable", "applied"] = events.settles

    @property
    def name(self) -> str:
        return "events"

    @property
    def late_s(self) -> float:
        return self._events.late_s

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def deliveries(self) -> AsyncGenerator[Delivery, None]:
        events = self._events
        line, last = events.broken, 0
        while True:
            events.news.clear()
            if events.broken != line or not self._may_talk():
                raise Unreachable("the line is cut")
            rows = {n: hint for n, hint in sorted(events.open.items()) if n > last}
            while rows:
                count = self._rng.randrange(1, DELIVERY_MAX)
                some = dict(list(rows.items())[:count])
                rows = dict(list(rows.items())[count:])
                last = max(some)
                yield _Delivery(events, some)
            if not any(n > last for n in events.open):
                await events.news.wait()

    async def aclose(self) -> None:
        """Nothing is open."""
