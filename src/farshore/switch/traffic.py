"""Requests that went to each site, and those that failed, as the proxies have counted them.

A proxy counts from its start: a reload begins anew. What the flip's own step has noted down is
held against what is counted later; so rates before and after a flip can be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from farshore.switch.driver import SwitchDriver


class Traffic(NamedTuple):
    """Of one site. `failed`: answered with 5xx, by the site or by the proxy in its place."""

    site: str
    requests: int
    failed: int

    @property
    def text(self) -> str:
        """For people: "west: 3 of 1,204 requests failed (0.25 %)"."""
        if not self.requests:
            return f"{self.site}: no request"
        if not self.failed:
            return f"{self.site}: none of {self.requests:,} requests failed"
        share = max(self.failed / self.requests * 100, 0.01)
        return f"{self.site}: {self.failed:,} of {self.requests:,} requests failed ({share:.2g} %)"


class Counter(Protocol):
    """A driver that counts requests (`Traits.counts`)."""

    async def traffic(self) -> tuple[Traffic, ...]:
        """Of every site, over all its proxies. `SwitchError` when one cannot say."""
        ...


async def traffic(drivers: Sequence[SwitchDriver]) -> dict[str, Traffic]:
    """By site; empty where no driver counts. `SwitchError` when a proxy cannot say."""
    counters = [cast(Counter, driver) for driver in drivers if driver.traits.counts]
    found: dict[str, Traffic] = {}
    for answer in await asyncio.gather(*(counter.traffic() for counter in counters)):
        for one in answer:
            was = found.get(one.site, Traffic(one.site, 0, 0))
            found[one.site] = Traffic(
                one.site, was.requests + one.requests, was.failed + one.failed
            )
    return found


def noted(found: Mapping[str, Traffic]) -> dict[str, dict[str, int]]:
    """As a run's record keeps it."""
    return {one.site: {"requests": one.requests, "failed": one.failed} for one in found.values()}


def read_back(evidence: Mapping[str, Any]) -> dict[str, Traffic]:
    """What `noted` wrote; empty where it is not there, or is something else."""
    found: dict[str, Traffic] = {}
    noted_ = evidence.get("traffic")
    for site, row in noted_.items() if isinstance(noted_, dict) else ():
        counts = [row.get(name) if isinstance(row, dict) else None for name in _COUNTS]
        if all(isinstance(count, int) for count in counts):
            found[site] = Traffic(site, *cast(list[int], counts))
    return found


_COUNTS = ("requests", "failed")


def since(then: Traffic | None, now: Traffic) -> Traffic:
    """What was counted in between; after a reload, what was counted since that."""
    if then is None or now.requests < then.requests or now.failed < then.failed:
        return now
    return Traffic(now.site, now.requests - then.requests, now.failed - then.failed)
