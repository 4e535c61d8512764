"""An event loop whose time is made up: it jumps to the next timer, and a seed repeats it."""

from __future__ import annotations

import asyncio
import itertools
import random
import selectors
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from selectors import SelectorKey
from typing import Any

COMMIT_S = 0.02
"""What runs in a thread elsewhere, the journal's COMMIT alone, takes up to this long here."""


class Stalled(Exception):
    """Nothing is ready, and no timer will ever make it so: everybody waits for everybody."""


class Numbered(asyncio.Task[Any]):
    """A task that sets keep in the order of its number, not of its place in memory: what is
    cancelled together is cancelled in the same order in every process."""

    _numbers = itertools.count(1)

    def __init__(self, coroutine: Coroutine[Any, Any, Any], **more: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(coroutine, **more)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


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
    """`time()` begins at 0. The disk is full while `disk_full` is set. `begun` is told of every
    task, in the context of who began it. `commits_first`: a COMMIT is done at once and told of
    later, so that others can write to the same file meanwhile; else it is done then."""

    def __init__(self, rng: random.Random, *, commits_first: bool = False) -> None:
        self._commits_first = commits_first
        self._instant = _Instant()
        self._rng = rng
        self.disk_full = False
        super().__init__(self._instant)
        self.begun: Callable[[asyncio.Task[Any]], None] = lambda _: None
        Numbered._numbers = itertools.count(1)
        self.set_task_factory(self._task)  # type: ignore[arg-type]  # more than it promises

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        task = Numbered(coroutine, loop=loop, **more)
        self.begun(task)
        return task

    def time(self) -> float:
        return self._instant.now

    def run_in_executor(  # type: ignore[override]  # a future here, as in the real one
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """On this very thread; the answer comes a little later. See `commits_first`."""
        done: asyncio.Future[Any] = self.create_future()
        work = partial(func, *args)
        if self._commits_first:
            full = sqlite3.OperationalError("database or disk is full")
            answer = full if self.disk_full else _outcome(work)
            self.call_later(self._rng.random() * COMMIT_S, _tell, done, answer)
            return done

        def run() -> None:
            if done.cancelled():
                return
            full = sqlite3.OperationalError("database or disk is full")
            _tell(done, full if self.disk_full else _outcome(work))

        self.call_later(self._rng.random() * COMMIT_S, run)
        return done


def _outcome(work: Callable[[], Any]) -> Any:
    """Its answer, or the error of the database."""
    try:
        return work()
    except sqlite3.Error as error:
        return error


def _tell(done: asyncio.Future[Any], answer: Any) -> None:
    if done.cancelled():
        return
    if isinstance(answer, sqlite3.Error):
        done.set_exception(answer)
    else:
        done.set_result(answer)
