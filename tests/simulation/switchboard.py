"""The simulated switch: proxies that clients go through, and one process's way to them.

Each proxy is changed by itself, and whoever changes them may die between two: a switch that
shows two sites is a state that the simulation reaches. Writes in flight are counted as proxies
count them, from the moment that a request is let through.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from farshore.clock import Clock
from farshore.switch.driver import (
    DriverPlan,
    Frozen,
    Position,
    Reading,
    SwitchError,
    SwitchMoved,
    SwitchUnknown,
    Traits,
)
from farshore.testing.switch import MemoryProxies

T = TypeVar("T")

PATIENCE_S = 3.0
"""A proxy that does not answer is given up after so long."""


class Switchboard(MemoryProxies):
    """The proxies themselves. `clock` is theirs."""

    def __init__(self, sites: tuple[str, ...], proxies: tuple[str, ...], clock: Clock) -> None:
        values = {site: f"to-{site}" for site in sites}
        super().__init__("proxies", values, dict.fromkeys(proxies, values[sites[0]]), clock)
        self._sites = {value: site for site, value in values.items()}
        self.in_flight: Counter[str] = Counter()

    @property
    def proxies(self) -> tuple[str, ...]:
        return tuple(self._places)

    def site_at(self, proxy: str) -> str:
        """Where that proxy sends clients; "" for what is no site."""
        return self._sites.get(self._places[proxy], "")

    def shown(self) -> set[str]:
        """Every site that some proxy sends clients to."""
        return {self.site_at(proxy) for proxy in self._places}

    def is_frozen(self, proxy: str) -> bool:
        """Whether it lets no writes through now."""
        return self._until.get(proxy, 0.0) > self._clock.now()

    def set_freeze(self, proxy: str, until: float) -> None:
        self._until[proxy] = until

    def require(self, plan: DriverPlan) -> str:
        """The value that is wanted; `SwitchMoved` where something else stands than expected."""
        wanted = self._values[plan.to]
        for place, expected in plan.expect:
            if self._places[place] not in (expected, wanted):
                raise SwitchMoved(f"{place} shows {self._places[place]}, not {expected}.")
        return wanted

    async def writes_in_flight(self, site: str) -> int:
        return self.in_flight[site]

    async def cut_writes(self, site: str) -> int:
        return 0


class Operated:
    """One process's way to the proxies. Nothing passes once it is `dead`, nor while `away`.

    `lost`: the share of changes whose answer is lost. `mute`: requests are swallowed.
    """

    def __init__(
        self,
        board: Switchboard,
        rng: random.Random,
        latency_s: float = 0.0,
        lost: Callable[[], float] = lambda: 0.0,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._board, self._rng = board, rng
        self._latency_s, self._lost, self._log = latency_s, lost, log
        self.dead = False
        self.freezes = True
        self.patience_s = PATIENCE_S
        self.away: Callable[[], bool] = lambda: False
        self.mute: Callable[[], bool] = lambda: False

    @property
    def name(self) -> str:
        return self._board.name

    @property
    def traits(self) -> Traits:
        return self._board.traits if self.freezes else Traits(cas=False, moves_live_clients=True)

    async def current(self) -> Position:
        return Position(tuple([await self._read(proxy) for proxy in self._board.proxies]))

    async def _read(self, proxy: str) -> Reading:
        try:
            await self._arrive(proxy)
        except SwitchError as error:
            return Reading(proxy, "", "", error.message)
        return self._board._read(proxy)

    async def verify(self, to: str) -> Position:
        return await self.current()

    async def plan(self, to: str) -> DriverPlan:
        for proxy in self._board.proxies:
            await self._arrive(proxy)
        return await self._board.plan(to)

    async def apply(self, plan: DriverPlan) -> None:
        for proxy, _ in plan.expect:
            await self._arrive(proxy)
        wanted = self._board.require(plan)
        for number, (proxy, _) in enumerate(plan.expect):
            await self._change(proxy, partial(self._board.put, proxy, wanted), number)
            self._log(f"{proxy} shows {wanted}")

    async def freeze(self, until: float, retry_after_ms: int) -> None:
        for number, proxy in enumerate(self._board.proxies):
            await self._change(proxy, partial(self._board.set_freeze, proxy, until), number)
            self._log(f"{proxy} is frozen")

    async def thaw(self) -> None:
        for number, proxy in enumerate(self._board.proxies):
            await self._change(proxy, partial(self._board.set_freeze, proxy, 0.0), number)
            self._log(f"{proxy} is thawed")

    async def frozen(self) -> tuple[Frozen, ...]:
        return tuple([await self._look(proxy) for proxy in self._board.proxies])

    async def _look(self, proxy: str) -> Frozen:
        try:
            await self._arrive(proxy)
        except SwitchError as error:
            return Frozen(proxy, False, error.message)
        return self._board._frozen(proxy)

    async def writes_in_flight(self, site: str) -> int:
        return await self._asked(lambda: self._board.writes_in_flight(site))

    async def cut_writes(self, site: str) -> int:
        return await self._asked(lambda: self._board.cut_writes(site))

    async def aclose(self) -> None:
        return

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        for proxy in self._board.proxies:
            await self._arrive(proxy)
        return await ask()

    async def _change(self, proxy: str, change: Callable[[], None], number: int) -> None:
        """Send one change. Behind the first one, nobody can say any more that nothing happened."""
        try:
            await self._arrive(proxy)
        except SwitchError as error:
            if number:
                raise SwitchUnknown(error.message) from error
            raise
        change()
        if self.dead or self._rng.random() < self._lost():
            raise SwitchUnknown(f"{proxy} did not answer after the change was sent.")

    async def _arrive(self, proxy: str) -> None:
        """A request reaches the proxy, or does not."""
        await asyncio.sleep(self._rng.random() * self._latency_s)
        if self.mute():
            await asyncio.sleep(self.patience_s)
        if self.dead or self.away() or self.mute() or proxy in self._board.unreachable:
            raise SwitchError(f"{proxy} does not answer.")
