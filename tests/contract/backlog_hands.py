"""What the suites of the backlog put into it and take out again."""

from __future__ import annotations

import asyncio
from typing import Any

from farshore.core.plan import DELAYED_MARKER, LATE_WRITE
from farshore.feed.hint import Hint
from farshore.journal.backlog import (
    LIVE,
    Backlog,
    Taker,
    Work,
)

NOW = 1_767_225_600.0
EXCUSED: dict[str, Any] = {"reason": "UNSUPPORTED", "cause": "SSE-C", "explanation": "no key"}
DELAYED: dict[str, Any] = {"reason": "PENDING", "cause": DELAYED_MARKER, "explanation": "later"}
WATCHED: dict[str, Any] = {"reason": "PENDING", "cause": LATE_WRITE, "explanation": "all there"}
FAILED: dict[str, Any] = {"reason": "FAILED", "cause": "Denied", "explanation": "no right to it"}


def hint(key: str, at: float = 0.0, size: int = 0) -> Hint:
    return Hint("files", key, at, "", size)


def naming(key: str, *versions: str) -> Hint:
    return Hint("files", key, NOW, versions=versions)


async def noted(backlog: Backlog, *keys: str, now: float = NOW, priority: int = LIVE) -> None:
    await backlog.note([hint(key) for key in keys], now=now, priority=priority)


async def taken(backlog: Backlog, now: float = NOW, limit: int = 100) -> list[str]:
    return [work.key for work in await backlog.take(now, limit)]


async def one(backlog: Backlog, now: float = NOW) -> Work:
    (work,) = await backlog.take(now, 10)
    return work


def taking(into: list[Work]) -> Taker:
    """Takes everything that it is offered."""

    def take(work: Work) -> bool:
        into.append(work)
        return True

    return take


async def soon(waiting: asyncio.Future[None]) -> bool:
    """Whether it is over after everything that can happen now has happened."""
    for _ in range(20):
        await asyncio.sleep(0)
    return waiting.done()
