"""What people do in a run about roles, what happens meanwhile, and how they bring it to an end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from farshore.control.inspection import inspect
from farshore.control.lease import TTL_SECONDS
from farshore.control.record import open_plane
from farshore.core.aftermath import HALF_WAY
from farshore.core.runbook import Verb
from farshore.errors import FarshoreError
from tests.simulation.entrance import Host
from tests.simulation.plan import Step
from tests.simulation.roles_people import Operator
from tests.simulation.roles_plan import CLIENTS, Act
from tests.simulation.truth import Broken

if TYPE_CHECKING:
    from tests.simulation.roles_world import RolesWorld

TRIES_MAX = 5
"""Of a person, before something is given up."""

SETTLING_MAX = 60
"""Of a person, once nothing goes wrong any more."""

AUDITS_MAX, AUDIT_EVERY_S = 8, 15.0
"""A daemon brings a side that was away up within a minute, and needs a moment to begin."""

VERSION_ID = re.compile("[0-9a-f]{32}")
AWAY_MAX_S = 40.0
LOST_MAX_S = 80.0
MADE_ANEW_MAX_S = 30.0
FIRST_SCAN_S = 10.0
DISK_FULL_S = 2.0


class Story:
    """One run's acts and steps."""

    def __init__(self, world: RolesWorld) -> None:
        self._world = world
        self._operators = 0
        self._operator: Host | None = None
        self._unsettled = ""

    # -- people ---------------------------------------------------------------------------

    async def tell(self) -> None:
        world = self._world
        for act in world.plan.acts:
            await asyncio.sleep(act.pause)
            world.say(f"act: {act.deed} {act.to}")
            await self._act(act)

    async def _act(self, act: Act) -> None:
        world = self._world
        world.seen[f"act: {act.deed}"] += 1
        world.seen["an approval comes late"] += act.late > 0
        match act.deed:
            case "wait":
                await asyncio.sleep(FIRST_SCAN_S)
            case "lose":
                world.dead[act.to] = world.loop.time() + 40.0 + act.amount % LOST_MAX_S
            case "lose for good":
                world.extra.append(asyncio.create_task(self._lose_for_good(act.to, act.amount)))
            case "cut off":
                until = world.loop.time() + 40.0 + act.amount % LOST_MAX_S
                world.away |= {(machine, act.to): until for machine in "abo"}
            case "settle":
                await self._settle_roles(TRIES_MAX)
            case "allow":
                for _ in range(TRIES_MAX):
                    if world.truth.record.fence_of(world.truth.record.primary) is not None:
                        await self._call(lambda one: one.allow())
            case "failover, writes held":
                await self._change("failover", act, hold=True)
            case verb:
                await self._change(verb, act)

    async def _lose_for_good(self, site: str, amount: int) -> None:
        """A region's disks are gone. It comes back with empty buckets, or somebody makes them
        after a while."""
        world = self._world
        world.lose_disks(site)
        away = 40.0 + amount % LOST_MAX_S
        world.dead[site] = world.loop.time() + away
        await asyncio.sleep(away + (amount % MADE_ANEW_MAX_S if amount % 2 else 0.0))
        await world.prepare(world.regions[site])
        world.say(f"{site} has empty buckets")

    async def _change(self, verb: Verb, act: Act, *, hold: bool = False) -> None:
        world = self._world
        for attempt in range(TRIES_MAX):
            record = world.truth.record
            arrived = record.primary == act.to and record.phase in ("switched", "protected")
            if arrived and not world.truth.has_open_run:
                return
            ends = attempt > 1 and world.rng.random() < 0.3
            await self._call(
                lambda one, late=act.late if not attempt else 0.0, ends=ends: one.go_on(
                    verb, act.to, late, ends=ends, hold=hold
                )
            )
            await asyncio.sleep(1.0 + world.rng.random() * 8.0)
            if world.broken is not None:
                return

    async def _settle_roles(self, tries: int) -> None:
        """Commit, copy the other way, decide, prove: until the pair is protected."""
        world = self._world
        for _ in range(tries):
            if world.truth.record.phase == "protected" or world.broken is not None:
                return
            said = await self._call(lambda one: one.afterwards())
            if "kind='gap'" in said:
                await self._mend()
            elif "kind='doubled'" in said:  # late and locked: then the daemon can purge it
                await world.lift_holds(VERSION_ID.findall(said))
            await asyncio.sleep(2.0 + world.rng.random() * 5.0)

    async def _mend(self) -> None:
        """Something is missing beneath newer versions: what was written to empty disks before
        anybody gave them up. A person stops the daemons and mends it."""
        world = self._world
        world.no_daemons = True
        for host in world.daemons.values():
            await world.kill(host)
        await asyncio.sleep(TTL_SECONDS)  # of the lease that a killed one leaves behind
        said = await self._call(lambda one: one.mend())
        await world.purge(VERSION_ID.findall(said))  # as the hint says: they are kept, or adopted
        world.no_daemons = False

    async def _call(self, what: Any) -> str:
        """One command in a process of its own, which may be killed in it; what it says."""
        world = self._world
        self._operators += 1
        host = world.host(f"operator {self._operators}", "o")
        if not world.calm:
            host.dies = {number: (at, after) for number, at, after in world.plan.dies}.get(
                self._operators
            )
            host.dies_at = dict(world.plan.places).get(self._operators, "")
        operator = Operator(
            world.config, world.clock("o"), self._voice(host), world.shown_divergent
        )
        self._operator = host
        said = await self._do(host, what(operator))
        self._operator = None
        if host.killed_at:
            world.seen[f"killed at {host.killed_at}"] += 1
        return said

    def _voice(self, host: Host) -> Any:
        world = self._world
        return lambda text: world.say(f"{host.name}: {text}")

    async def _do(self, host: Host, work: Coroutine[Any, Any, Any]) -> str:
        world = self._world
        task = host.run(work)
        await asyncio.wait({task})
        said = ""
        try:
            if not task.cancelled():
                said = str(task.result())
                world.say(f"{host.name}: {said}")
        except FarshoreError as error:
            world.say(f"{host.name}: {type(error).__name__}: {error.message}")
        except Exception as error:  # noqa: BLE001  whatever it is, it breaks the run
            if not host.dead:
                world.broke(Broken(f"{host.name} fell over: {error!r}"))
        await host.bury()
        return said

    # -- clients and troubles ----------------------------------------------------------------

    async def happen(self) -> None:
        world = self._world
        doing = []
        for step in world.plan.steps:
            await asyncio.sleep(max(0.0, step.at - world.loop.time()))
            world.say(f"step: {step.kind} {step.key} {step.amount}")
            doing.append(asyncio.create_task(self._happens(step)))
        for task in doing:
            await task

    async def _happens(self, step: Step) -> None:
        world = self._world
        now, kind, amount = world.loop.time(), str(step.kind), step.amount
        world.seen[kind] += kind not in CLIENTS
        match kind:
            case "kill daemon":
                machine = world.plan.daemons[amount % len(world.plan.daemons)]
                await world.kill(world.daemons[machine])
            case "kill operator":
                if self._operator is not None:
                    await world.kill(self._operator)
            case "away":
                world.dead[step.key] = max(world.dead.get(step.key, 0.0), now + amount % AWAY_MAX_S)
            case "part":
                world.away["abo"[amount % 3], step.key] = now + amount % AWAY_MAX_S
            case "lost answers":
                world.lossy_until = now + amount % 20
            case "mute proxy":
                world.mute_until = now + amount % 20
            case "disk full":
                world.loop.disk_full = True
                await asyncio.sleep(DISK_FULL_S)
                world.loop.disk_full = False
            case _:
                await world.clients.do(step, stuck=kind.startswith("stuck"))

    async def settle(self) -> None:
        """Nothing goes wrong any more: people bring it to an end, daemons copy what is left."""
        world = self._world
        world.calm = True
        world.dead, world.away = {}, {}
        world.say("calm")
        for host in world.hosts.values():
            for line in host.lines:
                line.calm()
        await asyncio.sleep(20.0)
        for _ in range(SETTLING_MAX):
            if world.broken is not None:
                return
            if world.truth.has_open_run:
                await self._call(lambda one: one.go_on("switchover", "", 0.0, ends=True))
            elif world.truth.record.phase in HALF_WAY or world.truth.is_hollow:
                # Its run was ended behind the flip; or a person sees that it was emptied.
                to = world.truth.other(world.truth.record.primary).site
                await self._call(lambda one, to=to: one.go_on("failover", to, 0.0, ends=False))
            elif world.truth.record.phase != "protected":
                await self._settle_roles(1)
            elif world.truth.record.fence_of(world.truth.record.primary) is not None:
                await self._call(lambda one: one.allow())
            elif await self._in_step():
                await self._audited()
                return
            await asyncio.sleep(5.0)
        raise Broken(f"it never settles: {world.truth.record.phase}, {self._unsettled}")

    async def _in_step(self) -> bool:
        """Every history is the same; no fence waits."""
        world = self._world
        waiting = [fence for fence in world.truth.record.fences if fence.state == "pending"]
        self._unsettled = f"a fence waits: {waiting}" if waiting else ""
        checks = world.truth.checks
        try:
            world.truth.settled()
        except Broken as error:
            self._unsettled = str(error)
        world.truth.checks = checks
        return not self._unsettled

    async def _audited(self) -> None:
        """The audit chain is whole, and the same on both sides: the daemons see to it."""
        world = self._world

        async def look() -> str:
            async with open_plane(world.config, world.clock("o")) as plane:
                found = await inspect(plane.both)
            if found.problems:
                return f"the audit chain is not whole: {found.problems}"
            return (
                "" if found.view.in_step else f"the control buckets differ: {found.view.sentence}"
            )

        world.truth.checks += 1
        host = world.host("auditor", "o")
        for _ in range(AUDITS_MAX):
            task = host.run(look())
            await asyncio.wait({task})
            if not (wrong := task.result()):
                return
            await asyncio.sleep(AUDIT_EVERY_S)
        raise Broken(wrong)
