"""The live drill: a switchover for real, a while at the other site, and the way back.

    preflight ──> switchover ──> soak ──> commit, reprotect ──> failback ──> commit, reprotect

Each way is an approved run of the runbook, kept and resumable like any other. A criterion
that is met before a flip takes that run back; after it, the run is brought to its end, since
clients must not stay frozen, and the drill stops there.

A person's word is given once, before the drill, for both ways and for an exposure of at most
`EXPOSURE_MAX_S`: that is what it binds to. More than that, or anything else than was planned,
and the way is not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from farshore.config.facing import facing
from farshore.core.drill import frozen_s, rpo_of, rto_of, steps_of
from farshore.core.runbook import Run, Shown, Verb
from farshore.drill.hall import Ask, Hall
from farshore.drill.probing import probing
from farshore.drill.sheet import CalledOff, Sheet
from farshore.errors import FarshoreError, NotSafe, Refused
from farshore.runbook.afterwards import Order, commit, prove_protected, reprotect
from farshore.runbook.desk import Desk, Wish
from farshore.runbook.preflight import EXPOSURE_MAX_S, Preflight

PROVE_S_MAX = 600.0
"""How long the pair may take to be protected again."""

LOOKS_MAX = 60
"""How often a way is planned until the exposure is what was agreed to."""

AGAIN_S = 1.0

ROOM_S = 60.0
"""Where a person has set the daemon aside, the exposure grows while the run begins."""
SOAK_LOOK_S = 0.5


async def live(hall: Hall, ask: Ask, sheet: Sheet) -> None:
    """The whole drill. `CalledOff` where it stopped; the report says what is to be done."""
    home, there = hall.config.pair.source, hall.config.pair.target
    kept = frozenset(one.rule for one in ask.overrides)
    checks = Preflight(hall.ground(ask.by, ask.why, sheet.drill.id), overridden=kept)

    async def preflight() -> Mapping[str, Any]:
        await checks.act()
        return (await checks.look()).evidence

    await sheet.must("preflight", checks.what, preflight)
    async with hall.accesses() as (source, _):
        buckets = await hall.buckets(source)
    ways = Ways(hall, ask, sheet)
    try:
        async with probing(hall.config, buckets[0][0], sheet, hall.clock) as client:
            try:
                await ways.there_and_back(home, there)
            finally:
                if client is not None:
                    sheet.drill = replace(sheet.drill, client=client.seen)
    finally:
        await sheet.step("clean", "Purge what the probing client wrote, on both sides.", ways.clean)


def agreed_exposure_s(shown: Shown, *, daemon_wanted: bool) -> float | None:
    """What a person who agrees to a live drill has agreed to: seconds of changes that may still
    be on their way when a run begins. They are copied before it flips. None: the exposure is not
    within that now, or nobody knows it."""
    if daemon_wanted:
        known = shown.exposure_s
        return EXPOSURE_MAX_S if known is not None and known <= EXPOSURE_MAX_S else None
    return None if shown.exposure_s is None else shown.exposure_s + ROOM_S


@dataclass(slots=True)
class Ways:
    """The way there and the way back. What the run under way has come to."""

    hall: Hall
    ask: Ask
    sheet: Sheet
    _before_flip: bool = field(default=False, init=False)
    _frozen_at: float = field(default=0.0, init=False)

    async def there_and_back(self, home: str, there: str) -> None:
        run = await self._way("switchover", there)
        rpo = rpo_of(run, self.hall.config.objectives.rpo_s)
        self.sheet.drill = replace(self.sheet.drill, rto=rto_of(run), rpo=rpo)
        try:
            await self._back(home, there)
        except FarshoreError as error:
            why = error.message.rstrip(".")
            raise CalledOff(f"{why}. {await self._left()}".strip()) from None

    async def _left(self) -> str:
        """What a person does who takes over where the drill has stopped."""
        record = (await self.hall.plane.read()).record
        if record.phase == "protected":
            return ""
        return (
            f"Clients are at {record.primary}, the pair is {record.phase.replace('_', ' ')}: "
            "what is left is `farshore commit`, `farshore reprotect`, `farshore failback`."
        )

    async def _back(self, home: str, there: str) -> None:
        self.sheet.require_within()
        await self.sheet.must("soak", f"Stay at {there} for {self.ask.soak_s:g} s.", self._soak)
        await self._settled(there)
        await self._way("failback", home)
        await self._settled(home)

    async def _settled(self, at: str) -> None:
        """The switch is final, and the pair protected the way it runs now."""
        await self.sheet.must("commit", f"{at} stays primary.", self._commit)
        await self.sheet.must("reprotect", f"Copy from {at}, until both are equal.", self._protect)

    async def _way(self, verb: Verb, to: str) -> Run:
        """One run, from its plan to its end. `CalledOff` when it is not done."""
        desk = Desk(
            self.hall.written, self.hall.plane, self.hall.drivers, self.hall.clock, self.heard
        )
        run = await self._run(desk, await self._agreed(desk, verb, to))
        self.sheet.add(*steps_of(run), told=True)
        seen = self.sheet.seen
        seen["frozen_s"] = max(seen.get("frozen_s", 0.0), frozen_s(run, self.hall.clock.now()))
        if run.state != "done":
            raise CalledOff(
                f"the {verb} is {run.state}: {run.aborted or 'see its steps'}; "
                f"farshore report {run.id}"
            )
        return run

    async def _agreed(self, desk: Desk, verb: Verb, to: str) -> Run:
        """The way as it is planned now, with the exposure that was agreed to for all of the
        drill. A daemon that has just turned round gets the time of its first scan.

        `NotSafe` when there is more to copy than was agreed to, and nothing is begun."""
        ask = self.ask
        kept = "daemon" not in {one.rule for one in ask.overrides}
        for _ in range(LOOKS_MAX):
            run = await desk.plan(Wish(verb, to, ask.by, ask.why, overrides=ask.overrides))
            limit = agreed_exposure_s(run.plan.shown, daemon_wanted=kept)
            if limit is not None or not kept:
                shown = replace(run.plan.shown, exposure_s=limit)
                return replace(run, plan=replace(run.plan, shown=shown))
            await asyncio.sleep(AGAIN_S)
        known = run.plan.shown.exposure_s
        words = "not known" if known is None else f"{known:.0f} s"
        raise NotSafe(
            f"The exposure is {words}; this drill was agreed to for {EXPOSURE_MAX_S:g} s at most.",
            hint="See `farshore status` for what waits, and why.",
        )

    async def _run(self, desk: Desk, run: Run) -> Run:
        """Keep, approve and make it. The word that was given for the drill counts once for each
        way; what is other than it was planned is refused, with nothing begun."""
        ask = self.ask
        await desk.keep(run)
        why = f"{ask.why} (the drill {self.sheet.drill.id})"
        await desk.approve(run.id, ask.approved_by, agreed=True, why=why)
        try:
            run = await desk.go(run.id, ask.by)
        except CalledOff as error:
            run = await desk.abort(run.id, ask.by, error.message)
        except Refused as error:
            if not (await desk.runs.load(run.id)).began_at:
                await desk.abort(run.id, ask.by, error.message)
            raise
        self.sheet.drill = replace(self.sheet.drill, runs=(*self.sheet.drill.runs, run.id))
        return run

    def heard(self, text: str) -> None:
        """The runner tells `STEP: OUTCOME …` after each step of a run. `CalledOff` before its
        flip when a criterion is met."""
        self.hall.told(text)
        step, _, outcome = text.partition(": ")
        if not outcome.startswith("ok"):
            return  # a step that failed or is taken back: the runner ends the run by itself
        now = self.hall.clock.now()
        if step == "preflight":
            self._before_flip, self._frozen_at = True, 0.0
        elif step == "freeze" and not self._frozen_at:
            self._frozen_at = now
        elif step == "flip":
            self._before_flip = False
        if self._frozen_at and self._before_flip:
            seen = self.sheet.seen
            seen["frozen_s"] = max(seen.get("frozen_s", 0.0), now - self._frozen_at)
        if self._before_flip:
            self.sheet.require_within()

    async def _soak(self) -> Mapping[str, Any]:
        until = self.hall.clock.monotonic() + self.ask.soak_s
        while (rest := until - self.hall.clock.monotonic()) > 0:
            self.sheet.require_within()
            await asyncio.sleep(min(rest, SOAK_LOOK_S))
        return {"seconds": self.ask.soak_s}

    @property
    def _order(self) -> Order:
        return Order(self.ask.by, self.ask.why)

    async def _commit(self) -> Mapping[str, Any]:
        record = await commit(self.hall.plane, self._order)
        return {"phase": record.phase, "epoch": record.epoch}

    async def _protect(self) -> Mapping[str, Any]:
        """The daemon turns round and copies; both sides are read until they are equal."""
        hall = self.hall
        await reprotect(hall.plane, self._order)
        until = hall.clock.monotonic() + PROVE_S_MAX
        while hall.clock.monotonic() < until:
            proved = await prove_protected(hall.written, hall.plane, hall.clock, self._order)
            if proved.record.phase == "protected":
                return {"versions": proved.proof.versions, "differences": 0}
            await asyncio.sleep(AGAIN_S)
        raise NotSafe(
            f"The two sides still differ after {PROVE_S_MAX:g} s.",
            hint="See `farshore status`; then `farshore reprotect` goes on.",
        )

    async def clean(self) -> Mapping[str, Any]:
        """The primary may have changed: its side is purged first."""
        hall = self.hall
        hall.config = facing(hall.written, (await hall.plane.read()).record.primary)
        return {"purged": await hall.clean(), "left": 0}
