"""Tasks that work together: the first error ends them all, and is the one that is raised."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class Group(asyncio.TaskGroup):
    """A group that knows its tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._running: set[asyncio.Task[Any]] = set()

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """As `TaskGroup.create_task`."""
        task = super().create_task(coro, name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def all_done(self) -> None:
        """Return when none of them runs."""
        while self._running:
            await asyncio.wait(self._running)


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[Group]:
    """A `TaskGroup` that raises its first error by itself, not in a group of exceptions.

    A task that is cancelled while its group fails is cancelled, whatever else happened:
    `TaskGroup` itself forgets that before Python 3.13 (cpython issue 116720), and who waits for
    the task to end would wait for ever. Its count of cancellations can be trusted as long as
    its tasks fail inside of it: so they are waited for there.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        async with Group() as group:
            yield group
            await group.all_done()
    except BaseExceptionGroup as raised:
        error = _first(raised)
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise error from error.__cause__


def _first(raised: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = raised
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
