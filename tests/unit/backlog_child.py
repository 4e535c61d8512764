"""A process that keeps a backlog, and is killed or starved by a test.

    python -m tests.unit.backlog_child endless FILE     notes and finishes keys until it is killed
    python -m tests.unit.backlog_child starved FILE     notes keys until the disk is "full"

Each line that it writes says what has returned.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
from pathlib import Path

from farshore.errors import StateError
from farshore.feed.hint import Hint
from farshore.journal.backlog_sqlite import SqliteBacklog

ROOM_BYTES = 600_000


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201  its lines are its answer


async def endless(backlog: SqliteBacklog) -> None:
    """Groups of five; of each, two are done."""
    for group in itertools.count():
        keys = [f"{group}-{number}" for number in range(5)]
        hints = [Hint("files", key) for key in keys]
        await backlog.note(hints, now=1.0, durable=group % 2 == 0)  # a kill takes neither
        say("noted", *keys)
        works = await backlog.take(1.0, 2)
        say("finishing", *(work.key for work in works))
        await asyncio.gather(*(backlog.done(work) for work in works))
        say("done", *(work.key for work in works))


async def starved(backlog: SqliteBacklog) -> None:
    """No file may grow beyond the limit, until the limit is lifted."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    for group in itertools.count():
        keys = [f"{group:04}-{number:04}-{'x' * 100}" for number in range(100)]
        hints = [Hint("files", key) for key in keys]
        try:
            await backlog.note(hints, now=1.0)
        except StateError as error:
            say("refused", f"{error} | {error.hint}")
            break
        say("noted", *keys)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await backlog.note(hints, now=1.0)
    say("noted", *keys)


async def main(mode: str, file: str) -> None:
    backlog = SqliteBacklog(Path(file))
    await (endless(backlog) if mode == "endless" else starved(backlog))
    await backlog.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
