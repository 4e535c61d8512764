"""Operators in the simulation: they plan, approve late, die at any request, and go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from farshore.clock import Clock
from farshore.config import Config
from farshore.config.facing import facing
from farshore.control.record import open_plane
from farshore.core.mend import plan_mending
from farshore.core.plan import DeleteLimits
from farshore.core.runbook import Run, Verb
from farshore.engine.run import working_crews
from farshore.engine.tally import Tally
from farshore.errors import FarshoreError
from farshore.fence.recorded import Fences
from farshore.proof import divergent
from farshore.proof.pair import prove_pair
from farshore.proof.repair import repair
from farshore.runbook.afterwards import Order, commit, prove_protected, reprotect
from farshore.runbook.desk import Desk, Wish, open_desk

Shown = tuple[str, str, str]
"""A divergent version: site, key, version id."""

ASKED_BY, APPROVED_BY = "anna", "bert"


@dataclass(frozen=True, slots=True)
class Operator:
    """One call of the command line, in the process that it runs in."""

    config: Config
    clock: Clock
    say: Callable[[str], None]
    shown: Callable[[list[Shown]], None]

    async def allow(self) -> str:
        """Writes that were held after a failover."""
        async with open_plane(self.config, self.clock) as plane:
            site = (await plane.read()).record.primary
            fences = Fences(self.config, plane, self.clock)
            await fences.lower(site, ASKED_BY, "clients may write")
            return f"{site} takes writes"

    async def go_on(
        self, verb: Verb, to: str, late_s: float, *, ends: bool, hold: bool = False
    ) -> str:
        """Begin a run, or go on with the open one; `ends`: a run that stopped is aborted."""
        async with open_desk(self.config, self.clock, self.say) as desk:
            runs = await desk.runs.open_runs()
            run = runs[0] if runs else await self._planned(desk, verb, to, hold=hold)
            if run.state == "planned":
                await asyncio.sleep(late_s)
                run = await desk.approve(run.id, APPROVED_BY, agreed=True, why="it is time")
            if ends and run.state in ("failed", "unknown"):
                run = await desk.abort(run.id, ASKED_BY, "it goes nowhere")
            else:
                run = await self._gone(desk, run)
            return f"{run.id} {run.state}: {_last(run)}"

    async def _planned(self, desk: Desk, verb: Verb, to: str, *, hold: bool) -> Run:
        why = "a change of roles"
        run = await desk.plan(Wish(verb, to, ASKED_BY, why, hold, two_persons=True))
        await desk.keep(run)
        return run

    async def _gone(self, desk: Desk, run: Run) -> Run:
        """Approved and not begun when things have changed: declined by hand, planned anew."""
        try:
            return await desk.go(run.id, ASKED_BY)
        except FarshoreError:
            if run.state == "approved":
                await desk.abort(run.id, ASKED_BY, "things have changed")
            raise

    async def afterwards(self) -> str:
        """One step of what follows a flip, whichever is due."""
        order = Order(ASKED_BY, "afterwards")
        async with open_plane(self.config, self.clock) as plane:
            record = (await plane.read()).record
            match record.phase:
                case "switched":
                    await commit(plane, order)
                    return "committed"
                case "committed":
                    await reprotect(plane, order)
                    return "reprotecting"
                case "reprotecting":
                    config = facing(self.config, record.primary)
                    await self._decide_divergent(config)
                    done = await prove_protected(self.config, plane, self.clock, order)
                    proof = done.proof
                    if proof.differences:
                        return f"{len(proof.differences)} differences: {proof.differences[0]}"
                    return "protected"
                case phase:
                    return f"nothing to do while {phase}"

    async def mend(self) -> str:
        """As `farshore repair --rebuild-tail`, for what is missing beneath newer versions."""
        async with open_plane(self.config, self.clock) as plane:
            config = facing(self.config, (await plane.read()).record.primary)
        proof = await prove_pair(config, self.clock)
        limits = DeleteLimits(config.daemon.deletes_count, config.daemon.deletes_share)
        plan = plan_mending(proof.differences, rebuild_tail=True)
        async with working_crews(config, Tally(), asyncio.Event(), self.clock) as crews:
            done = [one for crew in crews for one in await repair(crew, plan, proof.keys, limits)]
        left = [f"{one.mending.difference.key}: {one.detail}" for one in done if not one.done]
        return f"{len(done) - len(left)} mended, left: {left}"

    async def _decide_divergent(self, config: Config) -> None:
        found = await divergent.listed(config, self.clock)
        rows = [(d.site, d.key, v.version_id) for d in found for v in d.versions]
        if rows:
            self.say(f"divergent: {rows}")
            self.shown(rows)
            word = divergent.Verdict("keep", ASKED_BY, "the primary counts")
            done = await divergent.decide(config, self.clock, word)
            self.shown([(d.site, d.key, v.version_id) for d in done for v in d.versions])


def _last(run: Run) -> str:
    record = run.steps[-1] if run.steps else None
    return f"{record.id} {record.outcome} {record.note}" if record else "no step"
