"""The rates of the sites as their schedules say, from one window of the week to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from farshore.clock import Clock
from farshore.config import Site
from farshore.config.pace import Pace, Rates
from farshore.s3.pace import Throttle

LOOK_EVERY_S = 1.0


class Held(NamedTuple):
    """What holds for one site: the rates, and the window that they are of, "" for none."""

    site: str
    rates: Rates
    window: str = ""


class Pacing:
    """`throttle` has at every time the rates of the moment that was last given."""

    def __init__(self, sites: Iterable[Site], now: float) -> None:
        self._paces: Mapping[str, Pace] = {site.name: site.pace for site in sites}
        self._held = {name: _held(name, pace, now) for name, pace in self._paces.items()}
        self.throttle = Throttle(lambda site: self._held[site].rates)

    @property
    def held(self) -> list[Held]:
        """Of every site, by name."""
        return sorted(self._held.values())

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to limit, now and at any other time."""
        return not any(pace.schedule or any(pace.rates) for pace in self._paces.values())

    def plan(self, sites: Iterable[Site]) -> None:
        """Other paces; they hold from the next `move` on."""
        self._paces = {site.name: site.pace for site in sites if site.name in self._held}

    def move(self, now: float) -> list[Held]:
        """It is later: answers what has changed by that."""
        changed = []
        for name, pace in sorted(self._paces.items()):
            held = _held(name, pace, now)
            if held != self._held[name]:
                self._held[name] = held
                self.throttle.change(name, *held.rates)
                changed.append(held)
        return changed

    async def follow(
        self, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Move on for ever."""
        while True:
            await sleep(LOOK_EVERY_S)
            self.move(clock.now())


def _held(site: str, pace: Pace, now: float) -> Held:
    window = pace.window(now)
    return Held(site, pace.at(now), window.label() if window else "")
