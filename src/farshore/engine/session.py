"""From the configuration to sides that are ready to be read and written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from farshore.clock import SystemClock
from farshore.config import Config, Principal, Site
from farshore.control.contact import make_contact
from farshore.control.kept import KeptVersions
from farshore.control.lease import obeys_conditions
from farshore.control.ledger import key_of
from farshore.control.pacing import Pacing
from farshore.control.recorded import require_capabilities
from farshore.control.sites import open_filer, open_store
from farshore.engine.side import Side
from farshore.errors import BucketMissing, Refused, TargetMissing
from farshore.s3.capabilities import Capabilities
from farshore.s3.listing import Lister, lister_for
from farshore.s3.pace import Limited, Throttle
from farshore.s3.store import Store
from farshore.s3.wrap import Retrying


class Sides(NamedTuple):
    """One pair of buckets, both ends open."""

    source: Side
    target: Side


class End(NamedTuple):
    """One site of a pair, open. `patient` is `store` with retries; `lister` walks through it."""

    site: Site
    store: Store
    patient: Store
    lister: Lister
    capabilities: Capabilities
    kept: KeptVersions

    def side(self, bucket: str, *, retrying: bool) -> Side:
        store = self.patient if retrying else self.store
        return Side(self.site.name, bucket, store, self.lister, self.capabilities, self.kept)


@asynccontextmanager
async def open_sides(
    config: Config,
    *,
    retrying: bool,
    principal: Principal = "replicator",
    throttle: Throttle | None = None,
    leaving_out: bool = False,
) -> AsyncIterator[list[Sides]]:
    """Every pair of buckets of the configuration, checked: there, versioned, listable.

    `leaving_out`: a bucket that a pattern matches, and that is not ready on both sides, is
    left out instead of refused, unless none is left: the caller has to say so.
    `retrying`: the sides' stores retry by themselves. Lanes do their own and want every
    answer as it is. `throttle`: the rates of who looks after them; else they are the file's,
    as its schedule says. Raises `Unreachable`,
    `ClockSkew` or `Denied` at the first contact, `StateError` before `apply`,
    `BucketMissing`, `Refused`, and what the stores raise.
    """
    async with AsyncExitStack() as stack:
        throttle = await stack.enter_async_context(_paced(config, throttle))
        source = await _open_end(stack, config, config.source, principal, throttle)
        target = await _open_end(stack, config, config.target, principal, throttle)
        yield await sides_between(
            config, source, target, principal, retrying=retrying, leaving_out=leaving_out
        )


async def sides_between(
    config: Config,
    source: End,
    target: End,
    principal: Principal = "replicator",
    *,
    retrying: bool,
    leaving_out: bool,
) -> list[Sides]:
    """The sides of every pair of buckets that is ready. See `open_sides`."""
    names = await source.patient.list_buckets() if config.pair.has_patterns else []
    pairs = config.resolve_buckets(names)
    if not pairs:
        raise BucketMissing(
            f"No bucket that the {principal} can list at {config.source.name} matches a "
            "pattern of [[pair.buckets]]: nothing was read, so nothing is known.",
            hint="Check the patterns, and that the buckets are still there.",
        )
    named = {entry.source for entry in config.pair.buckets if not entry.is_pattern}
    found: list[Sides] = []
    for ours, theirs in pairs:
        must = not leaving_out or ours in named or (not found and ours == pairs[-1][0])
        if await _is_ready(source, ours, target, theirs, must=must):
            one = source.side(ours, retrying=retrying)
            found.append(Sides(one, target.side(theirs, retrying=retrying)))
    return found


async def _is_ready(source: End, ours: str, target: End, theirs: str, *, must: bool) -> bool:
    """Both are there, and keep their versions. Where they must, what is missing is raised."""
    try:
        await _require_versioned(source, ours)
        await _require_versioned(target, theirs, TargetMissing)
    except (BucketMissing, Refused):
        if must:
            raise
        return False
    return True


async def _open_end(
    stack: AsyncExitStack,
    config: Config,
    site: Site,
    principal: Principal,
    throttle: Throttle | None,
) -> End:
    client = open_store(config, site.name, principal)
    stack.push_async_callback(client.aclose)
    store: Store = client if throttle is None else Limited(client, throttle.gate(site.name))
    patient = Retrying(store)
    await make_contact(patient, site, principal)
    capabilities = await require_capabilities(patient, site)
    filer = await stack.enter_async_context(open_filer(config, site.name))
    lister = lister_for(patient, capabilities, filer=filer)
    strong = obeys_conditions(capabilities)
    pair, bucket = key_of(config.pair), site.control_bucket
    kept = KeptVersions(patient, bucket, pair, site.name, strong=strong)
    return End(site, store, patient, lister, capabilities, kept)


@asynccontextmanager
async def _paced(config: Config, throttle: Throttle | None) -> AsyncIterator[Throttle | None]:
    """The rates that were given, or the configured ones as the clock says; None: no limits."""
    clock = SystemClock()
    pacing = Pacing((config.source, config.target), clock.now())
    if throttle is not None or pacing.is_idle:
        yield throttle
        return
    following = asyncio.create_task(pacing.follow(clock))
    try:
        yield pacing.throttle
    finally:
        following.cancel()


async def _require_versioned(
    end: End, bucket: str, missing: type[BucketMissing] = BucketMissing
) -> None:
    """Without versions there is no history to keep: nothing is copied from or to there. Raises
    `missing`, `Refused`."""
    try:
        status = await end.patient.get_versioning(bucket)
    except BucketMissing as error:
        raise missing(
            f"There is no bucket {bucket} at {end.site.name}.",
            hint="Check [[pair.buckets]] in the configuration; `farshore apply` makes the "
            "target's buckets.",
            status=error.status,
            code=error.code,
            action=error.action,
        ) from error
    if status != "Enabled":
        raise Refused(
            f"Versioning of bucket {bucket} at {end.site.name} is {status or 'off'}: overwritten "
            "and deleted files would be lost there.",
            hint="Run `farshore apply`: it shows what it would change, and asks.",
        )
