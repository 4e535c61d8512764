"""The switch driver for HAProxy: one key of a map, in every proxy and in every map file.

    read all ─> write the files ─> `set map` everywhere ─> read all again ─> ask the doors

The map is the one that `farshore export haproxy` writes a configuration for. It compares
before it writes; against others who flip at the same time the control record's lock stands
guard, for HAProxy has no conditional change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from farshore.config.switches import HaproxySwitch
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchError,
    SwitchUnknown,
    Traits,
)
from farshore.switch.haproxy_door import Door
from farshore.switch.haproxy_freeze import HaproxyFreezer, still_ending
from farshore.switch.haproxy_map import ACTIVE
from farshore.switch.haproxy_places import Places, Seen
from farshore.switch.haproxy_runtime import StatRow
from farshore.switch.place import require_answer, stands_already
from farshore.switch.traffic import Traffic

PLAN_DOOR_SECONDS_MAX = 1.0
"""What a plan waits for a door's answer. HAProxy tries a site that has just died for three
seconds before it says so, and whoever plans a failover has no time for that."""


class HaproxyDriver(HaproxyFreezer):
    """Any number of proxies that must all show the same site. `sites`: the pair's names."""

    def __init__(self, source: HaproxySwitch, sites: Sequence[str]) -> None:
        places = Places(source.proxies)
        super().__init__(places)
        self._name = source.name
        self._sites = tuple(sites)
        self._places = places
        self._doors = tuple(Door(p.door, p.ca_file) for p in source.proxies if p.door)

    def __repr__(self) -> str:
        return f"HaproxyDriver({self._name!r}, {', '.join(m.vantage for m in self._places.maps)})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def traits(self) -> Traits:
        return Traits(cas=False, moves_live_clients=True, freezes=True, counts=True, watches=True)

    async def current(self) -> Position:
        """Every proxy's running map, then every map file: what a reload would make of it."""
        return Position(tuple(map(self._reading, await self._places.see(ACTIVE))))

    def _reading(self, seen: Seen) -> Reading:
        site = seen.raw if seen.raw in self._sites else ""
        return Reading(seen.vantage, site, seen.raw, seen.error)

    async def plan(self, to: str) -> DriverPlan:
        self._require_site(to)
        position = await self.current()
        for reading in position.readings:
            require_answer(reading, self._name)
        return DriverPlan(
            driver=self._name,
            to=to,
            expect=tuple((reading.vantage, reading.raw) for reading in position.readings),
            lines=tuple(
                f"{reading.vantage}: {reading.raw or 'nothing'} becomes {to}"
                for reading in position.readings
                if reading.site != to
            ),
            findings=(
                *self._file_findings(position),
                *await self.shut_to(to),
                *await self._reload_findings(),
                *await self._door_findings(position),
            ),
        )

    def _require_site(self, to: str) -> None:
        if to not in self._sites:
            raise SwitchError(
                f'The driver {self._name} knows no site "{to}".',
                hint=f"Known: {', '.join(self._sites)}.",
            )

    def _file_findings(self, position: Position) -> Iterator[str]:
        written = {f"map file {file.path}": file for file in self._places.files}
        for reading in position.readings:
            if reading.vantage in written and not reading.raw:
                yield f"{reading.vantage} is gone, or has no `{ACTIVE}`: it is written anew"
        running = {r.raw for r in position.readings if r.vantage not in written}
        for reading in position.readings:
            if reading.vantage in written and reading.raw and {reading.raw} != running:
                yield (
                    f"{reading.vantage} says {reading.raw}, and the proxies do not: a reload "
                    "would move clients"
                )
        for remote in (m for m in self._places.maps if m.is_remote):
            yield (
                f"{remote.vantage}: its map file is on another machine and is not written; a "
                f"reload there returns clients to what {remote.path} says"
            )

    async def shut_to(self, site: str) -> tuple[str, ...]:
        """A backend of that site that is missing, or that a proxy's checks find down."""
        rows = await asyncio.gather(*(m.runtime.stat() for m in self._places.maps))
        found = []
        for running, stat in zip(self._places.maps, rows, strict=True):
            found += [f"{running.vantage}: {text}" for text in _backends_wrong(stat, site)]
        return tuple(found)

    async def _reload_findings(self) -> list[str]:
        found = await asyncio.gather(*map(still_ending, self._places.maps))
        return [f"{text}; its writes are not counted" for text in found if text]

    async def _door_findings(self, position: Position) -> list[str]:
        """A door that cannot be asked now could not confirm the flip; one that shows another
        site than the maps is no door of theirs."""
        asked = (door.ask(PLAN_DOOR_SECONDS_MAX) for door in self._doors)
        seen = await asyncio.gather(*asked)
        found = [f"{door.error}: a flip could not be confirmed" for door in seen if door.error]
        return found + [
            f"{door.vantage} shows {door.raw}, and the maps do not: it has another configuration"
            for door in seen
            if position.site and not door.error and door.raw != position.site
        ]

    async def apply(self, plan: DriverPlan) -> None:
        self._require_site(plan.to)
        position = await self.current()
        for reading in position.readings:
            require_answer(reading, plan.driver)
        there = [stands_already(plan, reading) for reading in position.readings]
        if not all(there):
            await self._places.put([{ACTIVE: plan.to}] * len(self._places.maps))
        wrong = _others((await self.verify(plan.to)).readings, plan.to)
        if wrong and all(there):
            raise SwitchError(
                f"{plan.to} stands in every map, and is not what clients see: {wrong}"
            )
        if wrong:
            raise SwitchUnknown(f"{plan.to} was written, and is not what stands: {wrong}")

    async def verify(self, to: str) -> Position:
        """`current`, and where a request through each door really goes."""
        position, doors = await asyncio.gather(
            self.current(), asyncio.gather(*(door.ask() for door in self._doors))
        )
        through = (self._reading(Seen(*seen)) for seen in doors)
        return Position((*position.readings, *through))

    async def traffic(self) -> tuple[Traffic, ...]:
        """Of both sites, over all proxies, since each was started. `SwitchError`."""
        stats = await asyncio.gather(*(m.runtime.stat() for m in self._places.maps))
        return tuple(
            _counted(site, [row for rows in stats for row in rows]) for site in self._sites
        )

    async def aclose(self) -> None:
        """Every command has a connection of its own: nothing is open."""


def _counted(site: str, rows: Sequence[StatRow]) -> Traffic:
    """Of a site's backends as wholes: what a proxy answers in its place counts, too."""
    names = (f"{site}-r", f"{site}-w")
    mine = [row for row in rows if row.backend in names and row.server == "BACKEND"]
    return Traffic(site, sum(row.requests for row in mine), sum(row.failed for row in mine))


def _others(readings: Sequence[Reading], to: str) -> str:
    """What shows anything else than that site, in words; "" when nothing does."""
    wrong = [reading for reading in readings if reading.site != to]
    return "; ".join(f"{r.vantage}: {r.error or r.raw or 'nothing'}" for r in wrong)


def _backends_wrong(rows: Sequence[StatRow], to: str) -> Iterator[str]:
    """What a person should know about that site's backends before clients are sent there."""
    for name in (f"{to}-r", f"{to}-w"):
        mine = [row for row in rows if row.backend == name and row.server == "BACKEND"]
        if not mine:
            yield f"it has no backend {name}; `farshore export haproxy` writes one that has"
        elif mine[0].status.startswith("DOWN"):
            yield f"it finds {name} down: clients would be answered 503"
