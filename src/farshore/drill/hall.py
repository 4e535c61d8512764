"""Where drills are held: the pair as it stands, one drill at a time, and every one kept.

A drill that was killed is ended by the next one, which purges what it left first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from farshore.clock import Clock
from farshore.config import Config
from farshore.config.facing import facing
from farshore.control.bucket import Access
from farshore.control.contact import make_contact
from farshore.control.lease import hold
from farshore.control.record import ControlPlane, open_plane
from farshore.control.recorded import require_capabilities
from farshore.control.sites import open_access, open_store
from farshore.core.drill import AbortIf, Drill, Level
from farshore.core.run_id import new_id
from farshore.core.runbook import Override
from farshore.drill import html, markdown
from farshore.drill.account import of_drill
from farshore.drill.cabinet import Cabinet
from farshore.drill.scratch import Side, purge
from farshore.drill.sheet import CalledOff, Sheet, Told
from farshore.errors import FarshoreError, StoreError, Unreachable
from farshore.runbook.ground import Ground
from farshore.s3.wrap import Retrying
from farshore.switch.driver import SwitchDriver
from farshore.switch.open import open_drivers

LEASE_TTL_S = 15.0
LEASE_SETTLE_S = 1.0

CONTACT_S_MAX = 5.0
"""A site that needs longer does not answer."""

UNFINISHED_MAX = 20
"""The newest drills among which one may have been killed."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person asks for. `soak_s`: how long a live drill stays at the other site."""

    level: Level
    by: str
    why: str
    approved_by: str = ""
    hypothesis: str = ""
    criteria: tuple[AbortIf, ...] = ()
    soak_s: float = 0.0
    overrides: tuple[Override, ...] = ()


class Cleaned(NamedTuple):
    """`purged`: versions and markers. `ended`: ids of killed drills. `silent`: sites that did not
    answer, and why: what stands there stands still."""

    purged: int
    ended: list[str]
    silent: dict[str, str]


class Hall:
    """Made by `open_hall`. `config` faces the recorded primary, `written` is the file's."""

    def __init__(
        self,
        written: Config,
        config: Config,
        plane: ControlPlane,
        drivers: tuple[SwitchDriver, ...],
        clock: Clock,
        told: Told,
    ) -> None:
        self.written = written
        self.config = config
        self.plane = plane
        self.drivers = drivers
        self.clock = clock
        self.told = told
        self.cabinet = Cabinet(plane.both)

    def ground(self, by: str, why: str, drill_id: str) -> Ground:
        """What steps of runbooks stand on, as things are now."""
        return Ground(self.config, self.plane, self.drivers, self.clock, by, why, drill_id)

    async def hold(self, ask: Ask, script: Script) -> Drill:
        """Hold one drill from its beginning to its report. `Refused` while another one is held,
        `Unreachable` when a site does not answer: then nothing was begun."""
        await self._require_both()
        async with self.alone():
            await self.tidy(ask.by)
            sheet = Sheet(await self._begun(ask), self.clock, self.told)
            await self.cabinet.save(sheet.drill)
            aborted = "it was interrupted"
            try:
                aborted = await _played(self, ask, sheet, script)
            finally:
                await self.keep(sheet.drill.ended(self.clock.now(), aborted))
            return await self.cabinet.load(sheet.drill.id)

    async def _require_both(self) -> None:
        if silent := await self.silent():
            raise Unreachable(
                f"A drill needs both sites, and {' and '.join(silent)} does not answer: "
                f"{next(iter(silent.values()))} Nothing was begun.",
                hint="Drill when it is back. `farshore drill --clean` purges what a killed drill "
                "left, at the site that answers.",
            )

    async def silent(self) -> dict[str, str]:
        """Sites that do not answer, and why, by name; the primary first."""
        names = (self.config.pair.source, self.config.pair.target)
        found = await asyncio.gather(*(self._trouble(name) for name in names))
        return {name: why for name, why in zip(names, found, strict=True) if why}

    async def _trouble(self, name: str) -> str:
        site = self.config.site(name)
        async with aclosing(open_store(self.config, name, "replicator")) as store:
            try:
                await make_contact(store, site, "replicator", seconds_max=CONTACT_S_MAX)
            except StoreError as error:
                return error.message
        return ""

    async def _begun(self, ask: Ask) -> Drill:
        now = self.clock.now()
        taken = await self.cabinet.ids()
        pair = self.config.pair
        actors = {"asked": ask.by} | ({"approved": ask.approved_by} if ask.approved_by else {})
        return Drill(
            new_id(now, f"drill-{ask.level}", taken),
            ask.level,
            pair.name,
            pair.source,
            pair.target,
            now,
            ask.why,
            ask.hypothesis,
            ask.criteria,
            actors,
        )

    async def keep(self, drill: Drill) -> None:
        """Save a drill with its report in both other forms."""
        account = of_drill(drill)
        pages = {"md": markdown.page(account), "html": html.page(account)}
        await self.cabinet.save(drill, pages)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """One drill of a pair at a time; so whatever else is in the scratch folders is dead."""
        site = self.config.target
        async with aclosing(open_store(self.config, site.name, "replicator")) as client:
            store = Retrying(client)
            capabilities = await require_capabilities(store, site)
            async with hold(
                store,
                site.control_bucket,
                f"drill-{self.config.pair.name}",
                capabilities=capabilities,
                clock=self.clock,
                ttl_s=LEASE_TTL_S,
                settle_s=LEASE_SETTLE_S,
            ):
                yield

    async def tidy(self, by: str) -> list[str]:
        """Purge what killed drills left, on both sides, and end them; answers their ids.

        Only while `alone`. Raises what stores raise, `Refused` when something stays.
        """
        dead = []
        for name in (await self.cabinet.ids())[-UNFINISHED_MAX:]:
            drill = await self.cabinet.load(name)
            if not drill.ended_at:
                dead.append(drill)
        if any(drill.level != "plan" for drill in dead):
            await self.clean()
        for drill in dead:
            why = f"it was killed; {by} found it, and what it left was purged"
            await self.keep(drill.ended(self.clock.now(), why))
            self.told(f"{drill.id}: {why}")
        return [drill.id for drill in dead]

    async def clean_up(self, by: str) -> Cleaned:
        """Purge what drills left wherever a site answers; with both, end the killed ones, too.
        `Unreachable` when neither answers."""
        silent = await self.silent()
        if len(silent) == 2:
            raise Unreachable(f"Neither site answers: {' '.join(silent.values())}")
        if self.config.target.name in silent:  # it has the lease; without it no drill is held
            return Cleaned(await self.clean(without=silent), [], silent)
        async with self.alone():
            count = await self.clean(without=silent)
            return Cleaned(count, [] if silent else await self.tidy(by), silent)

    async def clean(self, without: Collection[str] = ()) -> int:
        """Purge all scratch objects on both sides, `without` some sites; how many versions and
        markers it were."""
        async with self.accesses() as (source, target):
            sides = await self.sides(source, target, without)
            return await purge(sides, self.config.pair.rules)

    @asynccontextmanager
    async def accesses(self) -> AsyncIterator[tuple[Access, Access]]:
        """Both sites, the primary first."""
        pair = self.config.pair
        async with (
            open_access(self.config, pair.source) as source,
            open_access(self.config, pair.target) as target,
        ):
            yield source, target

    async def sides(
        self, source: Access, target: Access, without: Collection[str] = ()
    ) -> list[Side]:
        """Every bucket of the pair, the primary's first. Raises what stores raise. `without` the
        primary nobody knows which buckets a pattern picks: only named ones are there."""
        blind = source.site.name in without
        named = self.config.resolve_buckets([]) if blind else await self.buckets(source)
        ours = [Side(source, bucket) for bucket, _ in named]
        theirs = [Side(target, bucket) for _, bucket in named]
        return [side for side in ours + theirs if side.access.site.name not in without]

    async def buckets(self, source: Access) -> list[tuple[str, str]]:
        """(primary's, other's) names of the pair's buckets."""
        listed = await source.operator.list_buckets() if self.config.pair.has_patterns else []
        return self.config.resolve_buckets(listed)


Script = Callable[[Hall, Ask, Sheet], Awaitable[None]]


async def _played(hall: Hall, ask: Ask, sheet: Sheet, script: Script) -> str:
    """Why it was called off; "" when it was not."""
    try:
        await script(hall, ask, sheet)
    except CalledOff as error:
        return error.message
    except FarshoreError as error:
        return f"{error.message} {error.hint}".strip()
    return ""


@asynccontextmanager
async def open_hall(
    config: Config, clock: Clock, told: Told, *, silence_s: float = 0.0
) -> AsyncIterator[Hall]:
    """The hall of one pair; everything is closed at the end. Raises `ConfigError`. `silence_s`:
    for so long a control bucket that did not answer is not asked again."""
    async with AsyncExitStack() as stack:
        drivers = open_drivers(config)
        for driver in drivers:
            stack.push_async_callback(driver.aclose)
        plane = await stack.enter_async_context(open_plane(config, clock, silence_s=silence_s))
        faced = facing(config, (await plane.peek()).record.primary)
        yield Hall(config, faced, plane, drivers, clock, told)
