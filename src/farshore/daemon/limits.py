"""Limits that follow the file: `[limits]` is read again when farshore.toml changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from farshore.config import Config, Limits
from farshore.config.load import load
from farshore.errors import ConfigError
from farshore.s3.pace import Throttle

CHECK_EVERY_S = 1.0


class _Mark(NamedTuple):
    """What shows that a file was written again. Zeros: it is not there."""

    modified_ns: int = 0
    size: int = 0
    inode: int = 0


class LiveLimits:
    """The rates of one running daemon. A file that is wrong is said, and changes nothing."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._path = config.path
        self._limits = config.limits
        self._say = say
        self._mark: _Mark | None = None
        self.throttle = Throttle(config.limits.requests_per_s, config.limits.bytes_per_s)

    async def follow(self) -> None:
        """Look at the file for ever."""
        while True:
            self.look()
            await asyncio.sleep(CHECK_EVERY_S)

    def look(self) -> None:
        """Take over what the file says, if it was written since the last look."""
        mark = self._stat()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            limits = load(self._path).limits
        except ConfigError as error:
            problems = "; ".join((error.message, *error.problems))
            self._say(f"the limits stay as they are: {problems}")
            return
        if limits != self._limits:
            self._take_over(limits)

    def _take_over(self, limits: Limits) -> None:
        before, self._limits = self._limits, limits
        self.throttle.change(limits.requests_per_s, limits.bytes_per_s)
        self._say(
            f"limits for each site are now {_rate(limits.requests_per_s)} requests/s and "
            f"{_rate(limits.bytes_per_s)} bytes/s"
        )
        if _at_start(before) != _at_start(limits):
            self._say("concurrency_max and memory hold from the next start on")

    def _stat(self) -> _Mark:
        try:
            found = self._path.stat()
        except OSError:
            return _Mark()
        return _Mark(found.st_mtime_ns, found.st_size, found.st_ino)


def _at_start(limits: Limits) -> tuple[int, int]:
    return limits.concurrency_max, limits.memory_bytes


def _rate(number: float) -> str:
    return f"{number:,.12g}" if number else "unlimited"
