"""Checks of the switch: its drivers answer, agree with the record, and are quick enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from farshore.config import Config
from farshore.config.switches import DnsSwitch, OctodnsSwitch, Route53Switch
from farshore.core.checkup import Finding, Sighting, summed
from farshore.doctor.sides import Sides
from farshore.errors import ConfigError, FarshoreError
from farshore.switch.driver import SwitchDriver
from farshore.switch.flip import survey
from farshore.switch.open import open_drivers

_NONE = "no switch is configured, so a failover cannot move clients"
_NONE_REMEDY = "Write [[switch.drivers]], see docs/switch.md."


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Sequence[SwitchDriver]]:
    """The drivers; closed at the end. `ConfigError` as `open_drivers`."""
    drivers = open_drivers(config)
    try:
        yield drivers
    finally:
        await asyncio.gather(*(driver.aclose() for driver in drivers))


async def switch(sides: Sides) -> list[Finding]:
    """All drivers show the site that the control record calls primary."""
    if not sides.config.switch.drivers:
        return [Finding("switch", "could not tell", _NONE, _NONE_REMEDY)]
    try:
        async with opened(sides.config) as drivers:
            view = await survey(drivers)
    except ConfigError as error:
        return [Finding("switch", "not ok", error.message, error.hint)]
    primary = sides.view.record.primary
    if view.site == primary:
        named = ", ".join(driver.name for driver in view.drivers)
        return [Finding("switch", "ok", f"{view.sentence()} by {named}")]
    told = view.sentence()
    if view.state == "settled":
        told = f"{told}, and the control record says that {primary} is primary"
    return [
        Finding("switch", "not ok", told, "See `farshore switch show`, and mend what it names.")
    ]


async def ttl(sides: Sides) -> list[Finding]:
    """How long a client may be sent to the old site after a flip."""
    if not sides.config.switch.drivers:
        return []
    limit = sides.config.switch.propagation_max_s
    target = sides.config.pair.target
    try:
        async with opened(sides.config) as drivers:
            found = await asyncio.gather(*(_late(driver, target, limit) for driver in drivers))
    except ConfigError as error:
        return [Finding("ttl", "could not tell", error.message, error.hint)]
    return [
        summed(
            "ttl",
            [*found, *_written(sides.config)],
            well=f"no client is sent to the old site for longer than {limit:g} s",
            remedy="Lower the record's TTL (ttl in [[switch.drivers]], and at the authority), or "
            "raise [switch] propagation_max if that is how long you want to wait.",
        )
    ]


async def _late(driver: SwitchDriver, target: str, limit: float) -> Sighting:
    try:
        plan = await driver.plan(target)
    except FarshoreError as error:
        return Sighting("could not tell", f"{driver.name}: {error.message.rstrip('.')}")
    if plan.propagation_s > limit:
        return Sighting(
            "not ok",
            f"{driver.name}: clients keep the old answer for up to {plan.propagation_s:g} s, more "
            f"than {limit:g} s",
        )
    return Sighting("ok")


def _written(config: Config) -> list[Sighting]:
    """The TTLs that a flip would write."""
    limit = config.switch.propagation_max_s
    records = [
        (source.name, source.record)
        for source in config.switch.drivers
        if isinstance(source, DnsSwitch | OctodnsSwitch | Route53Switch)
    ]
    return [
        Sighting(
            "not ok", f"{name}: a flip would write a TTL of {record.ttl} s, more than {limit:g} s"
        )
        if record.ttl > limit
        else Sighting("ok")
        for name, record in records
    ]
