"""The tabletop: both runbooks walked through as they would be now, and what they rely on tried.

Nothing is changed anywhere: names are resolved, keys shown to their sites, an object read.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from farshore.config import Config
from farshore.control.contact import make_contact
from farshore.control.sites import open_store
from farshore.core.drill import DrillStep
from farshore.core.rules import OWN_PREFIX
from farshore.core.runbook import Shown
from farshore.drill.hall import Ask, Hall
from farshore.drill.sheet import LeftOut, Sheet
from farshore.errors import ConfigError, Refused, Unreachable
from farshore.runbook.ground import Ground
from farshore.runbook.plans import Book, failover, planned, switchover
from farshore.runbook.preflight import Preflight
from farshore.s3.by_url import by_url, context_of
from farshore.switch.flip import plan_flip, survey

CONTACT_S_MAX = 5.0
NAMES_S_MAX = 5.0
READABLE_BYTES_MAX = 1 << 20
URL_S = 60

READING = ("sites", "record", "switch", "backends", "daemon")
"""Rules of the preflight that only read; a fence is tried by `farshore doctor`."""


async def tabletop(hall: Hall, ask: Ask, sheet: Sheet) -> None:
    """Every check is made, whatever the others find. `CalledOff` only by a criterion."""
    table = Table(hall, hall.ground(ask.by, ask.why, sheet.drill.id))
    config, pair = hall.config, hall.config.pair
    await sheet.step("names", "Every endpoint's name has an address.", table.names)
    for site in (pair.source, pair.target):

        async def keys(at: str = site) -> Mapping[str, Any]:
            return await _keys(config, at)

        async def app(at: str = site) -> Mapping[str, Any]:
            return await _app_reads(config, at)

        await sheet.step(f"keys {site}", f"{site} takes the keys of every principal.", keys)
        await sheet.step(f"app {site}", f"The app reads at {site}, by a presigned URL too.", app)
    await sheet.step("control", "Both control buckets show the same record.", table.control)
    await sheet.step("switch", "Every driver of the switch answers and agrees.", table.switch)
    await sheet.step("preflight", "A switchover would not be refused now.", table.preflight)
    for book in (switchover(table.ground), failover(table.ground, hold=False)):

        async def plan(of: Book = book) -> Mapping[str, Any]:
            made = await planned(table.ground, of, Shown(), hold=False)
            return {"plan": made.digest, "steps": len(made.steps)}

        await sheet.step(f"plan {book.verb}", f"Plan the {book.verb} as things are now.", plan)
        now = hall.clock.now()
        sheet.add(
            *(
                DrillStep(
                    step.id, step.what, now, now, "skipped", "walked through, not made", book.verb
                )
                for step in book.steps
            )
        )
    sheet.require_within()


@dataclass(frozen=True, slots=True)
class Table:
    """What lies on the table; each method is one step."""

    hall: Hall
    ground: Ground

    async def names(self) -> Mapping[str, Any]:
        config = self.hall.config
        urls = [config.source.endpoint, config.target.endpoint]
        if config.switch.endpoint:
            urls.append(config.switch.endpoint)
        return {"addresses": {url: await _addresses(url) for url in urls}}

    async def control(self) -> Mapping[str, Any]:
        view = await self.hall.plane.read()
        silent = [site for site in _sites(self.hall.config) if not view.of(site).answers]
        if silent:
            raise Unreachable(f"The control bucket at {', '.join(silent)}: {view.sentence}")
        if view.written and not view.agree:
            raise Refused(f"The control buckets differ: {view.sentence}")
        record = view.record
        return {"primary": record.primary, "phase": record.phase, "epoch": record.epoch}

    async def switch(self) -> Mapping[str, Any]:
        drivers, ground = self.hall.drivers, self.ground
        view = await survey(drivers)
        if view.site != ground.old:
            raise Refused(f"Clients should go to {ground.old}, but: {view.sentence()}.")
        there = await plan_flip(drivers, ground.new)
        return {
            "switch": view.sentence(),
            "flip": [line for plan in there.plans for line in plan.lines],
            "propagation_s": there.propagation_s,
            "findings": list(there.findings),
        }

    async def preflight(self) -> Mapping[str, Any]:
        checks = Preflight(self.ground, READING)
        await checks.act()
        return (await checks.look()).evidence


def _sites(config: Config) -> tuple[str, str]:
    return config.pair.source, config.pair.target


async def _addresses(url: str) -> list[str]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    try:
        async with asyncio.timeout(NAMES_S_MAX):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        raise Unreachable(f"No resolver answered for {host} within {NAMES_S_MAX:g} s.") from None
    except OSError as error:
        raise Unreachable(f"{host} has no address: {error.strerror or error}.") from None
    return sorted({str(entry[4][0]) for entry in found})


async def _keys(config: Config, site: str) -> Mapping[str, Any]:
    """Every principal that the file gives keys, and the app in any case."""
    principals = config.site(site).credentials
    if "app" not in principals:
        raise ConfigError(
            f"There are no keys of the app for {site}: nobody can say that it would work there.",
            hint=f'Write [sites.{site}.credentials] app = {{ env = "…" }}',
        )
    for principal in principals:
        async with aclosing(open_store(config, site, principal)) as store:
            about = config.site(site)
            await make_contact(store, about, principal, seconds_max=CONTACT_S_MAX)
    return {"accepted": sorted(principals)}


async def _app_reads(config: Config, site: str) -> Mapping[str, Any]:
    """One small object of each named bucket, by its own keys and by a presigned URL."""
    if "app" not in config.site(site).credentials:
        raise ConfigError(f"There are no keys of the app for {site}.")
    read: dict[str, str] = {}
    async with (
        aclosing(open_store(config, site, "app")) as app,
        aclosing(open_store(config, site, "replicator")) as replicator,
    ):
        for bucket in _named(config, site):
            page = await replicator.list_versions(bucket)
            key = next(
                (
                    entry.key
                    for entry in page.entries
                    if entry.is_latest
                    and not entry.is_marker
                    and entry.size <= READABLE_BYTES_MAX
                    and not entry.key.startswith(OWN_PREFIX)
                ),
                None,
            )
            if key is None:
                continue
            async with app.get(bucket, key) as answer:
                await answer.read()
            url = app.presign("GET", bucket, key, expires_s=URL_S)
            await by_url("GET", url, context=context_of(config.site(site).ca_file))
            read[bucket] = key
    if not read:
        raise LeftOut(f"{site} shows no small object on the first page of any bucket.")
    return {"read": read}


def _named(config: Config, site: str) -> list[str]:
    at_source = site == config.pair.source
    entries = (entry for entry in config.pair.buckets if not entry.is_pattern)
    return [entry.source if at_source else entry.target for entry in entries]
