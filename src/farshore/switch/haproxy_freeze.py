"""Freezing writes at HAProxy, counting those in flight, and cutting them.

A freeze is a time in the map, by the proxy's own clock: it ends there by itself, whatever
becomes of us, and a proxy whose clock is wrong freezes for just as long. It stands in the map
file, too: a reload in the middle of a flip lets no write through.
"""

from __future__ import annotations

import asyncio
import time

from farshore.switch.driver import Frozen, SwitchError, SwitchUnknown
from farshore.switch.haproxy_map import FROZEN_UNTIL, RETRY_AFTER_MS
from farshore.switch.haproxy_places import Places, RunningMap, refuse_failures
from farshore.switch.haproxy_runtime import StatRow

THAWED = "0"

_OLDER = "Wait until it has ended, or end it; then run the same command again."


class HaproxyFreezer:
    """`farshore.switch.driver.Freezer` over the running maps."""

    def __init__(self, places: Places) -> None:
        self._freezable = places

    async def freeze(self, until: float, retry_after_ms: int) -> None:
        maps = self._freezable.maps
        here = time.time()
        clocks = await asyncio.gather(*(running.runtime.clock() for running in maps))
        limits = [str(max(0, round((until - here + clock) * 1000))) for clock in clocks]
        entries = [{FROZEN_UNTIL: at, RETRY_AFTER_MS: str(retry_after_ms)} for at in limits]
        await self._freezable.put(entries)
        for running, limit in zip(maps, limits, strict=True):
            if await running.value(FROZEN_UNTIL) != limit:
                raise SwitchUnknown(f"{running.vantage} was told to freeze and does not show it")

    async def thaw(self) -> None:
        """Every proxy is tried, also when another does not answer: `SwitchUnknown`, then."""
        await self._freezable.put([{FROZEN_UNTIL: THAWED}] * len(self._freezable.maps))

    async def frozen(self) -> tuple[Frozen, ...]:
        return tuple(await asyncio.gather(*map(_frozen, self._freezable.maps)))

    async def writes_in_flight(self, site: str) -> int:
        """`SwitchError`, too, while a process that a reload has not ended may carry some."""
        maps = self._freezable.maps
        for found in await asyncio.gather(*map(still_ending, maps)):
            if found:
                raise SwitchError(f"{found}: writes in flight cannot be counted", hint=_OLDER)
        return await self._counted(site)

    async def _counted(self, site: str) -> int:
        rows = await asyncio.gather(*(_write_rows(m, site) for m in self._freezable.maps))
        return sum(row.sessions for found in rows for row in found if row.server == "BACKEND")

    async def cut_writes(self, site: str) -> int:
        count = await self._counted(site)
        cuts = (_cut(running, site) for running in self._freezable.maps)
        refuse_failures(await asyncio.gather(*cuts, return_exceptions=True))
        return count


async def still_ending(running: RunningMap) -> str:
    """Which process of a proxy works beside the one that answers, in words; "" for none."""
    older = ", ".join(map(str, await running.runtime.other_workers()))
    if not older:
        return ""
    return f"{running.vantage}: a reload is not over, process {older} is still at work, too"


async def _frozen(running: RunningMap) -> Frozen:
    try:
        limit, clock = await asyncio.gather(running.value(FROZEN_UNTIL), running.runtime.clock())
    except SwitchError as error:
        return Frozen(running.vantage, False, error.message)
    return Frozen(running.vantage, limit.isdecimal() and int(limit) > clock * 1000)


async def _write_rows(running: RunningMap, site: str) -> list[StatRow]:
    """The rows of the backend that carries a site's writes. `SwitchError`."""
    backend = f"{site}-w"
    rows = [row for row in await running.runtime.stat() if row.backend == backend]
    if not rows:
        raise SwitchError(
            f"{running.vantage} has no backend {backend}: writes in flight cannot be counted",
            hint="Write its configuration with `farshore export haproxy`, and reload it.",
        )
    return rows


async def _cut(running: RunningMap, site: str) -> None:
    for row in await _write_rows(running, site):
        if row.server != "BACKEND":
            await running.runtime.end_sessions(row.backend, row.server)
