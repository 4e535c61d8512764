"""The desk where runs are planned, approved, begun, resumed and aborted.

    plan ──> a run's document in both control buckets ──approve──> go ──> steps, one by one

One run of a pair is open at a time, and one process makes its steps: it holds a lease at the
surviving site. Whoever goes on after a kill needs nothing but the configuration and the
run's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from farshore.clock import Clock
from farshore.config import Config
from farshore.config.facing import facing
from farshore.control.contact import make_contact
from farshore.control.lease import hold
from farshore.control.record import ControlPlane, open_plane
from farshore.control.recorded import require_capabilities
from farshore.control.runs import Runs, Shelf
from farshore.control.sites import open_store
from farshore.core.run_id import new_id
from farshore.core.runbook import Approval, Override, Plan, Run, Verb
from farshore.errors import Refused, Unreachable, UsageError
from farshore.runbook.exposed import exposed, still_answers
from farshore.runbook.ground import Ground
from farshore.runbook.last_look import CAME_ROUND, LAST_LOOK
from farshore.runbook.plans import (
    NO_RETURN,
    Book,
    failback,
    failover,
    planned,
    require_known,
    rollback,
    switchover,
)
from farshore.runbook.preflight import CONTACT_SECONDS_MAX
from farshore.runbook.runner import Runner, Told
from farshore.s3.wrap import Retrying
from farshore.switch.driver import SwitchDriver
from farshore.switch.open import open_drivers

LEASE_TTL_S = 15.0
"""A runner that died on another machine keeps the next one waiting for so long."""

LEASE_SETTLE_S = 1.0
"""Only where a server ignores conditions; looking and claiming must take no longer."""

LEASE_CONTACT_S_MAX = 5.0
"""A site that needs longer for its first word cannot keep a lease."""

SILENCE_S = 10.0
"""A control bucket that did not answer is not asked again for so long: five seconds of silence
are waited for while a run is planned, and not once more after a person has agreed to it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for. `hold`: clients must not write at the new site yet."""

    verb: Verb
    to: str
    by: str
    why: str
    hold: bool = False
    overrides: tuple[Override, ...] = ()
    two_persons: bool = False


class Desk:
    """Made by `open_desk`. `config` is the file's; each run faces the primary of its plan."""

    def __init__(
        self,
        config: Config,
        plane: ControlPlane,
        drivers: Sequence[SwitchDriver],
        clock: Clock,
        told: Told,
    ) -> None:
        self._config = config
        self._plane = plane
        self._drivers = drivers
        self._clock = clock
        self._told = told
        self.runs = Runs(plane.both)

    # -- planning ------------------------------------------------------------------

    async def plan(self, wish: Wish) -> Run:
        """A run as it would be now; nothing is kept. `UsageError`, `Refused`, `SwitchError`."""
        old = (await self._plane.read()).record.primary
        self._require_target(wish, old)
        taken, _ = await asyncio.gather(self.runs.ids(), self._require_answers(wish.to))
        now = self._clock.now()
        run_id = new_id(now, f"{wish.verb}-{wish.to}", taken)
        ground = self._ground(old, wish.by, wish.why, run_id)
        return Run(
            id=run_id,
            plan=await self._planned(ground, wish),
            asked_by=wish.by,
            asked_at=now,
            declared_at=now,
            two_persons=wish.two_persons,
        )

    async def other_site(self) -> str:
        """The site that is not primary."""
        pair = self._config.pair
        old = (await self._plane.read()).record.primary
        return pair.target if old == pair.source else pair.source

    async def may_sync(self, run: Run) -> bool:
        """Whether something can still be copied from the site that a failover gives up."""
        ground = self._ground(run.plan.source, run.asked_by, "", run.id)
        return run.plan.verb == "failover" and await still_answers(ground)

    async def keep(self, run: Run) -> Shelf:
        """Keep a planned run. `Refused` while another one is open."""
        for other in await self.runs.open_runs():
            raise Refused(
                f"The run {other.id} by {other.asked_by} is {other.state}: one run at a time.",
                hint=f"farshore resume {other.id}, or farshore abort {other.id}",
            )
        return await self.runs.create(run)

    def _require_target(self, wish: Wish, old: str) -> None:
        sites = {self._config.pair.source, self._config.pair.target}
        if wish.to not in sites:
            raise UsageError(f"{wish.to} is not a site of this pair: {', '.join(sorted(sites))}.")
        if wish.to == old:
            raise Refused(f"{wish.to} is the primary already: nothing was changed.")

    async def _require_answers(self, name: str) -> None:
        """Nothing is moved to a site that does not answer; said before anybody approves."""
        site = self._config.site(name)
        async with aclosing(open_store(self._config, name, "replicator")) as store:
            await make_contact(store, site, "replicator", seconds_max=CONTACT_SECONDS_MAX)

    async def _planned(self, ground: Ground, wish: Wish) -> Plan:
        book = _book(ground, wish)
        shown = await exposed(ground)
        return await planned(ground, book, shown, wish.overrides, hold=wish.hold)

    def _ground(self, old: str, by: str, why: str, run_id: str) -> Ground:
        config = facing(self._config, old)
        return Ground(config, self._plane, self._drivers, self._clock, by, why, run_id)

    # -- approving -----------------------------------------------------------------

    async def approve(self, run_id: str, by: str, *, agreed: bool, why: str = "") -> Run:
        """A person's word about a planned run, as it is planned."""
        shelf = await self.runs.shelf(run_id)
        word = Approval(by, self._clock.now(), shelf.run.plan.digest, agreed, why)
        run = shelf.run.approved(word)
        await shelf.save(run)
        said = f"{run.id}: plan {word.digest}{f' ({why})' if why else ''}"
        action = "approve" if agreed else "decline"
        await self._plane.note(by=by, action=action, kind="result", what=said, outcome="ok")
        return run

    # -- running -------------------------------------------------------------------

    async def go(self, run_id: str, by: str) -> Run:
        """Begin an approved run, or go on with one; one that is done is answered as it is: it
        may have been killed after its last record. `Refused` when nothing can be done."""
        shelf = await self.runs.shelf(run_id)
        async with self._alone(shelf.run):
            shelf = await self.runs.shelf(run_id)
            run = shelf.run
            wish = _wish_of(run, by)
            ground = self._ground(run.plan.source, by, _why(run), run.id)
            if run.state == "approved":
                fresh = await self._planned(ground, wish)
                run = run.begun(self._clock.now(), fresh)
                await shelf.save(run)
            elif run.state == "done":
                return run
            elif run.state not in ("running", "failed", "unknown"):
                raise Refused(f"The run {run.id} is {run.state}: there is nothing to go on with.")
            return await self._runner(ground, wish, shelf).go(run)

    async def abort(self, run_id: str, by: str, why: str) -> Run:
        """Take back what can be taken back, and end the run."""
        shelf = await self.runs.shelf(run_id)
        if not shelf.run.began_at:  # nothing is to be taken back: no right to make steps is needed
            return await self._taken_back(shelf, by, why)
        async with self._alone(shelf.run):
            return await self._taken_back(await self.runs.shelf(run_id), by, why)

    async def _taken_back(self, shelf: Shelf, by: str, why: str) -> Run:
        run = shelf.run
        ground = self._ground(run.plan.source, by, why, run.id)
        return await self._runner(ground, _wish_of(run, by), shelf).abort(run, why)

    def _runner(self, ground: Ground, wish: Wish, shelf: Shelf) -> Runner:
        steps = _book(ground, wish, found_before(shelf.run)).steps
        return Runner(steps, shelf, self._plane, self._clock, wish.by, NO_RETURN, self._told)

    @asynccontextmanager
    async def _alone(self, run: Run) -> AsyncIterator[None]:
        """One process makes the steps of one pair. The lease is at the site that clients go to;
        where that one has died, at the other: what was begun can be taken back without it."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._lease(run.plan.pair, run.plan.target))
            except Unreachable:
                await stack.enter_async_context(self._lease(run.plan.pair, run.plan.source))
            yield

    @asynccontextmanager
    async def _lease(self, pair: str, at: str) -> AsyncIterator[None]:
        """The right to make steps. `Unreachable` when the site does not answer at once."""
        site = self._config.site(at)
        async with aclosing(open_store(self._config, site.name, "replicator")) as client:
            await make_contact(client, site, "replicator", seconds_max=LEASE_CONTACT_S_MAX)
            store = Retrying(client)
            capabilities = await require_capabilities(store, site)
            async with hold(
                store,
                site.control_bucket,
                f"run-{pair}",
                capabilities=capabilities,
                clock=self._clock,
                ttl_s=LEASE_TTL_S,
                settle_s=LEASE_SETTLE_S,
            ):
                yield


@asynccontextmanager
async def open_desk(config: Config, clock: Clock, told: Told) -> AsyncIterator[Desk]:
    """The desk of one pair; everything is closed at the end. Raises `ConfigError`."""
    async with AsyncExitStack() as stack:
        drivers = open_drivers(config)
        for driver in drivers:
            stack.push_async_callback(driver.aclose)
        plane = await stack.enter_async_context(open_plane(config, clock, silence_s=SILENCE_S))
        yield Desk(config, plane, drivers, clock, told)


def found_before(run: Run) -> tuple[str, ...]:
    """The keys that came round the freeze, as far as an earlier look has told."""
    record = run.record_of(LAST_LOOK)
    if record is None or record.stands:
        return ()
    return tuple(map(str, record.evidence.get(CAME_ROUND, ())))


def _book(ground: Ground, wish: Wish, found: tuple[str, ...] = ()) -> Book:
    overridden = require_known(wish.overrides)
    if wish.verb == "failover":
        return failover(ground, hold=wish.hold, overridden=overridden)
    if wish.verb == "rollback":
        return rollback(ground, overridden)
    plan = failback if wish.verb == "failback" else switchover
    return plan(ground, overridden, found=found)


def _wish_of(run: Run, by: str) -> Wish:
    plan = run.plan
    return Wish(
        plan.verb,
        plan.target,
        by,
        _why(run),
        plan.writes == "hold",
        plan.overrides,
        run.two_persons,
    )


def _why(run: Run) -> str:
    return run.approval.why if run.approval and run.approval.why else run.id
