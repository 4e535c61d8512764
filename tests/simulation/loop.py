"""An event loop whose time is made up: it jumps to the next timer, and a seed repeats it."""

from __future__ import annotations

import asyncio
import random
import selectors
import sqlite3
from collections.abc import Callable, Mapping
from selectors import SelectorKey
from typing import Any

COMMIT_S = 0.02
"""What runs in a thread elsewhere, the journal's COMMIT alone, takes up to this long here."""


class Stalled(Exception):
    """Nothing is ready, and no timer will ever make it so: everybody waits for everybody."""


class _Instant(selectors.BaseSelector):
    """Waits for nothing: the time that should pass has passed."""

    def __init__(self) -> None:
        self._inner = selectors.SelectSelector()
        self.now = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> SelectorKey:
        return self._inner.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            raise Stalled("nobody is ready, and nobody waits for a time")
        self.now += max(timeout, 0.0)
        return []

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[Any, SelectorKey]:
        return self._inner.get_map()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0. The disk is full while `disk_full` is set."""

    def __init__(self, rng: random.Random) -> None:
        self._instant = _Instant()
        self._rng = rng
        self.disk_full = False
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.now

    def run_in_executor(  # type: ignore[override]  # a future here, as in the real one
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """On this very thread, a little later, unless whoever waits for it is gone by then."""
        done: asyncio.Future[Any] = self.create_future()

        def run() -> None:
            if done.cancelled():
                return
            if self.disk_full:
                done.set_exception(sqlite3.OperationalError("database or disk is full"))
                return
            try:
                done.set_result(func(*args))
            except sqlite3.Error as error:
                done.set_exception(error)

        self.call_later(self._rng.random() * COMMIT_S, run)
        return done
