"""Group commit: many small changes, one transaction, one wait for the disk.

Whoever wants something done hands over an operation and waits. A single task gathers what
waits into a transaction. The statements run inline, on the event loop, in one go: nothing
else in this process can stand between BEGIN and the last statement, and the results need
no lock. Only COMMIT, which may wait for the disk, runs in a thread. While it does, the
next operations gather: the slower the disk, the larger the groups.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from farshore.errors import StateError
from farshore.journal.statefile import BUSY_TIMEOUT_S, is_busy, state_error

QUEUE_MAX = 1_024
"""Operations that wait for a transaction; the next one waits before it may wait."""

GROUP_ROWS_MAX = 500
"""Rows changed in one transaction: a few milliseconds of the event loop."""

BUSY_PAUSE_S = 0.01

Result = TypeVar("Result")
Operation = Callable[[sqlite3.Connection], Result]
After = Callable[[bool], None]


def nothing_after(_committed: bool) -> None:
    """For operations that keep nothing in memory."""


@dataclass(slots=True)
class Asked:
    """One operation that waits for its transaction."""

    operation: Operation[Any]
    durable: bool
    rows: int
    after: After
    future: asyncio.Future[Any]


class GroupCommit:
    """Owns a connection that nobody else uses, and closes it."""

    def __init__(
        self, db: sqlite3.Connection, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self._busy_tries_max = round(busy_timeout_s / BUSY_PAUSE_S)
        self._db = db
        self._path = path
        self._changes = 0
        self._db.execute("PRAGMA busy_timeout=0")  # we wait by ourselves, without blocking
        self._waiting: asyncio.Queue[Asked] = asyncio.Queue(QUEUE_MAX)
        self._group: list[Asked] = []
        self._task: asyncio.Task[None] | None = None
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._closed = False

    async def perform(
        self,
        operation: Operation[Result],
        *,
        rows: int = 1,
        durable: bool = False,
        after: After = nothing_after,
    ) -> Result:
        """Run the operation in a transaction; its result once that is committed.

        Operations run in the order in which they were asked for. `durable`: the disk has
        it, else a power cut (not a kill) may undo it. `after` is called with whether it was
        committed, in the same order, also when the caller was cancelled meanwhile.
        `StateError`: nothing of the whole group was done.
        """
        if self._closed:
            raise StateError(f"the state file {self._path} is closed")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        await self._waiting.put(Asked(operation, durable, rows, after, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off())
            self._task.add_done_callback(self._ended)
        return await future

    async def aclose(self) -> None:
        """Commit what waits, then close the connection."""
        self._closed = True
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        self._committer.shutdown()
        self._db.close()

    async def _work_off(self) -> None:
        """Until nothing waits; `perform` begins it anew."""
        while not self._waiting.empty():
            self._gather()
            try:
                await self._begin()
                results = [asked.operation(self._db) for asked in self._group]
                await self._commit()
            except (sqlite3.Error, OSError) as error:
                self._undo()
                self._refuse(state_error(self._path, "written", error))
            else:
                self._answer(results)

    def _gather(self) -> None:
        rows = 0
        while rows < GROUP_ROWS_MAX and not self._waiting.empty():
            asked = self._waiting.get_nowait()
            self._group.append(asked)
            rows += asked.rows

    async def _begin(self) -> None:
        """Take the write lock, which another process may hold for a while."""
        level = "FULL" if any(asked.durable for asked in self._group) else "NORMAL"
        self._db.execute(f"PRAGMA synchronous={level}")
        for _ in range(self._busy_tries_max):
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                await asyncio.sleep(BUSY_PAUSE_S)
            else:
                self._changes = self._db.total_changes
                return
        self._db.execute("BEGIN IMMEDIATE")

    async def _commit(self) -> None:
        """A transaction that only read has nothing to wait for."""
        if self._db.total_changes == self._changes:
            self._db.execute("COMMIT")
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._committer, self._db.execute, "COMMIT")

    def _undo(self) -> None:
        """Back to before the group; on some errors SQLite has done so by itself.

        A disk that fails may fail this, too: everybody must be told of the first error all the
        same, and a transaction that stays open refuses the next BEGIN.
        """
        if self._db.in_transaction:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def _answer(self, results: list[Any]) -> None:
        group, self._group = self._group, []
        for asked, result in zip(group, results, strict=True):
            asked.after(True)
            if not asked.future.done():
                asked.future.set_result(result)

    def _refuse(self, error: BaseException) -> None:
        group, self._group = self._group, []
        for asked in group:
            asked.after(False)
            if not asked.future.done():
                asked.future.set_exception(error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for ever: a defect, or a loop that ends, reaches every caller."""
        if task.cancelled():
            self._closed = True
            self._refuse(StateError(f"the state file {self._path} was left in a hurry"))
        elif (error := task.exception()) is not None:
            self._undo()
            self._refuse(error)
