"""Both sites as a check-up sees them: what answers, what does not, and which buckets are meant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from farshore.clock import Clock
from farshore.config import Config, Principal
from farshore.config.facing import facing
from farshore.config.values import BucketMap
from farshore.control.bucket import Access
from farshore.control.contact import make_contact
from farshore.control.record import open_plane
from farshore.control.sites import open_store
from farshore.control.view import View
from farshore.core.checkup import Finding, Sighting
from farshore.errors import ConfigError, FarshoreError, StoreError
from farshore.s3.store import Store
from farshore.s3.wrap import Retrying, RetryPolicy

ANSWER_SECONDS_MAX = 4.0
"""A site that needs longer for its first word does not answer."""

HURRIED = RetryPolicy(attempts_max=3, delay_s_first=0.1, delay_s_max=0.5, silence_s_max=2.0)

BUCKETS_MAX = 200
"""Buckets that one check-up looks at; it says how many were left out."""

BUCKETS_AT_ONCE = 8

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Sides:
    """`open`: the sites that answer, `silent`: why the others do not. `config` faces the primary.

    `buckets`: (at the source, at the target). `left_out`: how many more there are; `unresolved`:
    why the buckets of a pattern are not known, "" when they are.
    """

    config: Config
    clock: Clock
    open: Mapping[str, Access]
    silent: Mapping[str, FarshoreError]
    view: View
    buckets: tuple[tuple[str, str], ...]
    left_out: int = 0
    unresolved: str = ""

    @property
    def sites(self) -> tuple[str, str]:
        """The source first."""
        return self.config.pair.source, self.config.pair.target

    def named(self, site: str) -> list[str]:
        """The pair's buckets at that site."""
        place = self.sites.index(site)
        return sorted({pair[place] for pair in self.buckets})

    def is_fenced(self, site: str) -> bool:
        """By the control record: the application is denied there, and that is right."""
        return any(fence.site == site for fence in self.view.record.fences)

    def no_answer(self, name: str, site: str) -> Finding:
        """What is said of a check at a site that does not answer."""
        error = self.silent[site]
        return Finding(name, "could not tell", error.message, error.hint, site)

    async def each_site(
        self, name: str, look: Callable[[Access], Awaitable[Finding]]
    ) -> list[Finding]:
        """A check at both sites at once."""

        async def at(site: str) -> Finding:
            if site not in self.open:
                return self.no_answer(name, site)
            try:
                return await look(self.open[site])
            except FarshoreError as error:
                return Finding(name, "could not tell", error.message, error.hint, site)

        return list(await asyncio.gather(*(at(site) for site in self.sites)))

    async def each_bucket(
        self, buckets: Sequence[Seen], look: Callable[[Seen], Awaitable[Sequence[Sighting]]]
    ) -> list[Sighting]:
        """A look at every bucket, a few at once. Who is refused a look could not tell."""
        gate = asyncio.Semaphore(BUCKETS_AT_ONCE)

        async def at(bucket: Seen) -> Sequence[Sighting]:
            async with gate:
                try:
                    return await look(bucket)
                except StoreError as error:
                    return [Sighting("could not tell", error.message.rstrip("."))]

        found = [s for seen in await asyncio.gather(*map(at, buckets)) for s in seen]
        return found + self._unlooked()

    def _unlooked(self) -> list[Sighting]:
        found = []
        if self.left_out:
            found.append(
                Sighting("could not tell", f"{self.left_out:,} buckets were not looked at")
            )
        if self.unresolved:
            found.append(Sighting("could not tell", self.unresolved))
        return found


@asynccontextmanager
async def open_sides(config: Config, clock: Clock) -> AsyncIterator[Sides]:
    """Both sites, as far as they answer, within a few seconds. Raises nothing that a site does."""
    async with AsyncExitStack() as stack:
        async with open_plane(config, clock) as plane:
            names = (config.pair.source, config.pair.target)
            view, found = await asyncio.gather(
                plane.peek(), asyncio.gather(*(_reached(stack, config, name) for name in names))
            )
        faced = facing(config, view.record.primary)
        reached = dict(zip(names, found, strict=True))
        there = {name: side for name, side in reached.items() if isinstance(side, Access)}
        buckets, why = await _buckets(faced, there)
        yield Sides(
            faced,
            clock,
            there,
            {name: side for name, side in reached.items() if not isinstance(side, Access)},
            view,
            tuple(buckets[:BUCKETS_MAX]),
            max(len(buckets) - BUCKETS_MAX, 0),
            why,
        )


async def _reached(stack: AsyncExitStack, config: Config, name: str) -> Access | FarshoreError:
    site = config.site(name)

    def opened(principal: Principal) -> Store:
        client = open_store(config, name, principal)
        stack.push_async_callback(client.aclose)
        return Retrying(client, HURRIED)

    try:
        app = opened("app") if "app" in site.credentials else None
        access = Access(site, opened("operator"), opened("replicator"), app)
        await make_contact(access.replicator, site, "replicator", seconds_max=ANSWER_SECONDS_MAX)
    except (StoreError, ConfigError) as error:
        return error
    return access


async def _buckets(
    config: Config, there: Mapping[str, Access]
) -> tuple[list[tuple[str, str]], str]:
    """(source, target) of every bucket; of patterns, by whichever site answers."""
    source, target = config.pair.source, config.pair.target
    named = config.resolve_buckets([])
    if not config.pair.has_patterns or not there:
        unknown = config.pair.has_patterns
        return named, "the buckets of the patterns are not known" if unknown else ""
    try:
        if source in there:
            return config.resolve_buckets(await there[source].operator.list_buckets()), ""
        listed = set(await there[target].operator.list_buckets())
        listed.discard(config.target.control_bucket)
    except (StoreError, ConfigError) as error:
        return named, f"the buckets of the patterns are not known: {error.message}"
    back = [BucketMap(e.target, e.source) for e in config.pair.buckets if e.is_pattern]
    known = {there_name for _, there_name in named}
    found = [
        (ours, name)
        for name in sorted(listed - known)
        if (ours := next((o for e in back if (o := e.target_of(name))), None))
    ]
    return sorted([*named, *found]), ""
