"""A feed made worse on purpose: hints are lost, doubled, late and out of order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from farshore.feed.hint import Delivery, Feed, Hint, Listener, Settles

SHARE = 0.1
"""Of the hints that pass, for each kind of disturbance."""

LATE_DELIVERIES = 7
"""A late hint comes with one of so many later deliveries."""


class Disturbed:
    """A `Feed` around another one. The same `rng` and hints give the same disturbances.

    `done` counts what was done to hints, `passed` those that came from within. What is late
    when the inner feed ends is lost.
    """

    def __init__(self, inner: Feed, rng: random.Random, share: float = SHARE) -> None:
        self._inner = inner
        self._rng = rng
        self._share = share
        self._late: list[tuple[int, Hint]] = []
        self._next: list[Hint] = []
        self.done: Counter[str] = Counter()
        self.passed = 0

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def settles(self) -> Settles:
        return self._inner.settles

    @property
    def late_s(self) -> float:
        return self._inner.late_s

    def listen(self, listener: Listener) -> None:
        self._inner.listen(listener)

    async def deliveries(self) -> AsyncGenerator[Delivery, None]:
        """Every inner delivery once, its hints disturbed; settling it settles the inner one."""
        async with aclosing(self._inner.deliveries()) as deliveries:
            async for delivery in deliveries:
                self.passed += len(delivery.hints)
                yield _Changed(self._disturbed(delivery.hints), delivery)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _disturbed(self, hints: Sequence[Hint]) -> tuple[Hint, ...]:
        due = [hint for turns, hint in self._late if turns <= 0]
        self._late = [(turns - 1, hint) for turns, hint in self._late if turns > 0]
        before, self._next = self._next, []
        told = [one for hint in hints for one in self._fate(hint)]
        return (*told, *before, *due)

    def _fate(self, hint: Hint) -> Sequence[Hint]:
        """What is told of it now: nothing, the hint, or the hint twice."""
        fate = int(self._rng.random() / self._share)
        if fate == 0:
            self.done["lost"] += 1
            return ()
        if fate == 1:
            self.done["doubled"] += 1
            return (hint, hint)
        if fate == 2:
            self.done["late"] += 1
            self._late.append((self._rng.randrange(LATE_DELIVERIES), hint))
            return ()
        if fate == 3:
            self.done["reordered"] += 1
            self._next.append(hint)  # behind those of the next delivery
            return ()
        return (hint,)


class _Changed:
    """A `Delivery` with other hints."""

    def __init__(self, hints: tuple[Hint, ...], inner: Delivery) -> None:
        self.hints = hints
        self._inner = inner

    async def settle(self) -> None:
        await self._inner.settle()
