"""All checks at once, each bounded in time, none in the way of another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.checkups import write_checkup
from farshore.core.checkup import Checkup, Finding, checkup_of
from farshore.doctor import clients, records, rights, settings
from farshore.doctor.sides import Sides, open_sides
from farshore.errors import FarshoreError, UsageError

Check = Callable[[Sides], Awaitable[list[Finding]]]

CHECKS: Mapping[str, Check] = {
    "sites": records.sites,
    "clocks": records.clocks,
    "control-bucket": rights.control_bucket,
    "versioning": rights.versioning,
    "rules": records.rules,
    "rights": rights.rights,
    "replicas": rights.replicas,
    "presign": rights.presign,
    "front": rights.front,
    "fence": rights.fence,
    "switch": clients.switch,
    "ttl": clients.ttl,
    "lifecycle": settings.lifecycle,
    "object-lock": settings.object_lock,
    "parity": settings.parity,
    "verify": records.verify,
    "drill": records.drill,
    "capacity": records.capacity,
}
"""By the name that --only takes, in the order in which they are shown."""

CHECK_SECONDS_MAX = 10.0
"""A check that needs longer could not tell. A cancelled one cleans up behind itself."""

CLEAN_UP_SECONDS_MAX = 3.0
"""And that takes no longer than this; canaries that are left are swept by the next apply."""


async def examine(
    config: Config, clock: Clock, *, only: Collection[str] = ()
) -> tuple[list[Finding], Checkup | None]:
    """Every finding in the order of the checks, and what was kept of them.

    A whole check-up is kept in the control buckets that answer; one of single checks is not.
    Raises `UsageError` for a name that is none, `ConfigError` for a file or keys that are no use.
    """
    if unknown := sorted(set(only) - set(CHECKS)):
        raise UsageError(
            f"There is no check {', '.join(unknown)}.", hint=f"Known: {', '.join(CHECKS)}."
        )
    names = [name for name in CHECKS if not only or name in only]
    async with open_sides(config, clock) as sides:
        findings = await _run(sides, names)
        if only:
            return findings, None
        checkup = checkup_of(findings, clock.now())
        await _keep(sides, checkup)
        return findings, checkup


async def _run(sides: Sides, names: Sequence[str]) -> list[Finding]:
    tasks = {name: asyncio.create_task(_one(name, sides)) for name in names}
    limit = CHECK_SECONDS_MAX + CLEAN_UP_SECONDS_MAX
    try:
        _, late = await asyncio.wait(tasks.values(), timeout=limit)
    finally:
        for task in tasks.values():
            task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return [
        finding
        for name, task in tasks.items()
        for finding in ([_too_late(name)] if task in late else task.result())
    ]


async def _one(name: str, sides: Sides) -> list[Finding]:
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            return await CHECKS[name](sides)
    except TimeoutError:
        return [_too_late(name)]
    except FarshoreError as error:
        return [Finding(name, "could not tell", error.message, error.hint)]


def _too_late(name: str) -> Finding:
    return Finding(
        name,
        "could not tell",
        f"it did not end within {CHECK_SECONDS_MAX:g} s",
        f"Try it alone: `farshore doctor --only {name}`.",
    )


async def _keep(sides: Sides, checkup: Checkup) -> None:
    """On both sides, as far as they can be written: the findings say it where they cannot."""

    async def at(site: str) -> None:
        access = sides.open[site]
        async with asyncio.timeout(CLEAN_UP_SECONDS_MAX):
            await write_checkup(
                access.replicator, access.site.control_bucket, sides.config.pair, checkup
            )

    kept = await asyncio.gather(*(at(site) for site in sides.open), return_exceptions=True)
    for error in kept:
        if isinstance(error, BaseException) and not isinstance(error, FarshoreError | TimeoutError):
            raise error
