"""Limits that follow the file and the week: rates are read again when farshore.toml changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from farshore.clock import Clock
from farshore.config import Config
from farshore.config.load import load
from farshore.control.pacing import Held, Pacing
from farshore.errors import ConfigError

CHECK_EVERY_S = 1.0


class _Mark(NamedTuple):
    """What shows that a file was written again. Zeros: it is not there."""

    modified_ns: int = 0
    size: int = 0
    inode: int = 0


class LiveLimits:
    """The rates of one running daemon. A file that is wrong is said, and changes nothing."""

    def __init__(self, config: Config, say: Callable[[str], None], clock: Clock) -> None:
        self._path = config.path
        self._limits = config.limits
        self._say = say
        self._clock = clock
        self._mark: _Mark | None = None
        self._pacing = Pacing((config.source, config.target), clock.now())
        self.throttle = self._pacing.throttle

    @property
    def held(self) -> list[Held]:
        """What holds now, of every site."""
        return self._pacing.held

    async def follow(self) -> None:
        """Look at the file and at the clock for ever."""
        while True:
            self.look()
            await asyncio.sleep(CHECK_EVERY_S)

    def reread(self) -> None:
        """Read the file now, and say so, whether it was changed or not."""
        self._mark = None
        self._say("farshore.toml is read again: rates hold at once, the rest from the next start")
        self.look()

    def look(self) -> None:
        """Take over what the file says, if it was written since the last look, and what the
        schedule says at this hour."""
        mark = self._stat()
        if mark != self._mark:
            self._mark = mark
            self._read()
        changed = self._pacing.move(self._clock.now())
        for sentence in _sentences(changed, len(self.held)):
            self._say(sentence)

    def _read(self) -> None:
        try:
            config = load(self._path)
        except ConfigError as error:
            problems = "; ".join((error.message, *error.problems))
            self._say(f"the limits stay as they are: {problems}")
            return
        self._pacing.plan(config.sites.values())
        if config.limits != self._limits:
            self._limits = config.limits
            self._say("concurrency_max and memory hold from the next start on")

    def _stat(self) -> _Mark:
        try:
            found = self._path.stat()
        except OSError:
            return _Mark()
        return _Mark(found.st_mtime_ns, found.st_size, found.st_ino)


def _sentences(changed: Sequence[Held], sites: int) -> list[str]:
    """One for all sites where they agree, else one for each."""
    texts = [_text(held) for held in changed]
    if len(changed) == sites and len(set(texts)) == 1:
        return [f"limits for each site are now {texts[0]}"]
    return [
        f"limits of {held.site} are now {text}" for held, text in zip(changed, texts, strict=True)
    ]


def _text(held: Held) -> str:
    requests, size = held.rates
    when = f" ({held.window})" if held.window else ""
    return f"{_rate(requests)} requests/s and {_rate(size)} bytes/s{when}"


def _rate(number: float) -> str:
    return f"{number:,.12g}" if number else "unlimited"
