"""From the configuration to the fence of one site: its buckets, whom to spare, by which way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from farshore.clock import Clock
from farshore.config import Config, Site
from farshore.config.values import BucketMap
from farshore.control.bucket import Access, every
from farshore.control.contact import make_contact
from farshore.control.sites import open_access
from farshore.core.policy import Spared
from farshore.credentials import resolve
from farshore.errors import ConfigError, Refused
from farshore.fence.barrier import Barrier, PolicyBarrier
from farshore.fence.bite import Teeth
from farshore.fence.command import CommandBarrier
from farshore.fence.site import SiteFence

CONTACT_SECONDS_MAX = 5.0
"""A site that needs longer for its first word is down, as far as a fence is concerned."""


@asynccontextmanager
async def open_fence(config: Config, site: str, clock: Clock) -> AsyncIterator[SiteFence]:
    """The fence of one site, which answers. `Unreachable` when it does not.

    `Refused` where the site cannot be fenced by its configuration: `by = "none"`, or one
    key for the application and for those who must be spared. `ConfigError` where nobody
    can say whom to spare.
    """
    require_fence(config, site)
    async with open_access(config, site) as access:
        await make_contact(
            access.operator, access.site, "operator", seconds_max=CONTACT_SECONDS_MAX
        )
        yield await fence_of(config, access, clock)


async def fence_of(
    config: Config, access: Access, clock: Clock, seconds_max: float | None = None
) -> SiteFence:
    """The fence of a site that is open already. `seconds_max`: for the server to obey it, None:
    as configured."""
    site = access.site
    seconds_max = site.fence.obeyed_s if seconds_max is None else seconds_max
    barrier: Barrier
    if site.fence.by == "command":
        barrier = CommandBarrier(site, config.folder)
    else:
        barrier = PolicyBarrier(access.operator, await spared(access))
    teeth = Teeth(access, clock, seconds_max=seconds_max)
    return SiteFence(site.name, await buckets_at(config, access), barrier, teeth)


def require_fence(config: Config, name: str) -> None:
    """`Refused` where the configuration alone shows that no fence can bite."""
    site = config.site(name)
    if site.fence.by == "none":
        raise Refused(
            f'{name} cannot be fenced: {config.path.name} says by = "none" for it.',
            hint="Keep clients away by the switch, and see `farshore switch show`; or fence it "
            'by a program of yours: by = "command", see docs/fence.md.',
        )
    if "app" not in site.credentials:
        return
    keys = {
        who: resolve(source, who=f"{who} at {name}", folder=config.folder).access_key
        for who, source in site.credentials.items()
    }
    shared = [who for who in ("operator", "replicator") if keys[who] == keys["app"]]
    if shared:
        raise Refused(
            f"A fence at {name} cannot tell the app from the {shared[0]}: both use one access key.",
            hint="Give the app a user of its own, with rights on its buckets alone.",
        )


async def spared(access: Access) -> Spared:
    """Whom the fence lets through: as configured, else as the server names our own users."""
    site = access.site
    if site.fence.spare:
        return Spared.of(site.fence.spare)
    ours = await every([access.operator.get_identity(), access.replicator.get_identity()])
    theirs = await access.app.get_identity() if access.app is not None else ""
    if not all(ours):
        raise ConfigError(
            f"{site.name} does not say by which names it knows the operator and the replicator.",
            hint=_SPARE_HINT.format(site=site.name),
        )
    if theirs in ours:
        raise ConfigError(
            f'{site.name} names the app as it names our own users ("{theirs}"): they are one '
            "user, or the server tells the account alone (AWS).",
            hint=_SPARE_HINT.format(site=site.name),
        )
    return Spared.of(ours)


_SPARE_HINT = (
    "Name the operator and the replicator as policies there name them, users' names or ARNs: "
    '[sites.{site}.fence] spare = ["…", "…"]'
)


async def buckets_at(config: Config, access: Access) -> tuple[str, ...]:
    """The pair's buckets at one site. For patterns its buckets are listed, so that the other
    site need not answer."""
    maps = [_seen_from(config, access.site, entry) for entry in config.pair.buckets]
    names = {entry.source for entry in maps if not entry.is_pattern}
    if config.pair.has_patterns:
        listed = set(await access.operator.list_buckets()) - {access.site.control_bucket}
        names |= {bucket for bucket in listed for entry in maps if entry.target_of(bucket)}
    return tuple(sorted(names))


def _seen_from(config: Config, site: Site, entry: BucketMap) -> BucketMap:
    """The map with this site's names first."""
    if site.name == config.pair.source:
        return entry
    return BucketMap(entry.target, entry.source)
