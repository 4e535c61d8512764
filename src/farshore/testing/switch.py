"""A switch driver in memory. It passes the suite that real drivers pass.

Faults are injected by hand: `lose_answer` makes the next apply take effect and then fail as
a broken connection would; `unreachable` places do not answer; `put` is somebody else's change.
"""

from __future__ import annotations

from collections.abc import Mapping

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


class MemoryDriver:
    """Places, each with one value; `values` says what stands for each site."""

    def __init__(
        self, name: str, values: Mapping[str, str], places: Mapping[str, str], *, ttl_s: float = 0.0
    ) -> None:
        self._name = name
        self._values = dict(values)
        self._places = dict(places)
        self._ttl_s = ttl_s
        self.unreachable: set[str] = set()
        self.lose_answer = False
        self.applied = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def traits(self) -> Traits:
        return Traits(cas=True, moves_live_clients=True)

    def put(self, place: str, value: str) -> None:
        """Somebody else writes."""
        self._places[place] = value

    async def current(self) -> Position:
        return Position(tuple(self._read(place) for place in self._places))

    def _read(self, place: str) -> Reading:
        if place in self.unreachable:
            return Reading(place, "", "", "it does not answer")
        raw = self._places[place]
        sites = [site for site, value in self._values.items() if value == raw]
        return Reading(place, sites[0] if sites else "", raw)

    async def plan(self, to: str) -> DriverPlan:
        if to not in self._values:
            raise SwitchError(f"{self._name} has no value for {to}.")
        wanted = self._values[to]
        self._require_reachable()
        places = tuple(self._places.items())
        lines = tuple(f"{p}: {raw} -> {wanted}" for p, raw in places if raw != wanted)
        return DriverPlan(self._name, to, places, lines, self._ttl_s)

    def _require_reachable(self) -> None:
        if self.unreachable:
            raise SwitchError(f"{self._name}: {', '.join(sorted(self.unreachable))}: no answer.")

    async def apply(self, plan: DriverPlan) -> None:
        wanted = self._values[plan.to]
        self._require_reachable()
        for place, expected in plan.expect:
            if self._places[place] not in (expected, wanted):
                raise SwitchMoved(f"{place} shows {self._places[place]}, not {expected}.")
        for place, _ in plan.expect:
            self._places[place] = wanted
        self.applied += 1
        if self.lose_answer:
            self.lose_answer = False
            raise SwitchUnknown(f"{self._name} did not answer after the change was sent.")

    async def verify(self, to: str) -> Position:
        return await self.current()

    async def aclose(self) -> None:
        return


class MemoryProxies(MemoryDriver):
    """A driver that freezes, too. `flights`: writes in flight, one number for each count."""

    def __init__(
        self, name: str, values: Mapping[str, str], places: Mapping[str, str], clock: Clock
    ) -> None:
        super().__init__(name, values, places)
        self._clock = clock
        self._until: dict[str, float] = {}
        self.flights: list[int] = []

    @property
    def traits(self) -> Traits:
        return Traits(cas=False, moves_live_clients=True, freezes=True)

    async def freeze(self, until: float, retry_after_ms: int) -> None:
        self._require_reachable()
        self._until = dict.fromkeys(self._places, until)

    async def thaw(self) -> None:
        self._require_reachable()
        self._until = {}

    async def frozen(self) -> tuple[Frozen, ...]:
        return tuple(self._frozen(place) for place in self._places)

    def _frozen(self, place: str) -> Frozen:
        if place in self.unreachable:
            return Frozen(place, False, "it does not answer")
        return Frozen(place, self._until.get(place, 0.0) > self._clock.now())

    async def writes_in_flight(self, site: str) -> int:
        self._require_reachable()
        return self.flights.pop(0) if self.flights else 0

    async def cut_writes(self, site: str) -> int:
        cut = sum(self.flights[:1])
        self.flights = []
        return cut
