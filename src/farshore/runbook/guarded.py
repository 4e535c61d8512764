"""Fence the old site, and see that nothing stands in the way at the new one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.sites import open_store
from farshore.core.record import ControlRecord
from farshore.errors import Unreachable
from farshore.fence.opening import open_fence
from farshore.fence.recorded import Fences
from farshore.fence.site import SiteFence
from farshore.runbook.ground import Ground
from farshore.runbook.quiet import freeze_left_s
from farshore.runbook.step import Found, StepFailed

FREEZE_LEFT_S_MIN = 1.5
"""From the fence to the flip, with a slow moment in between. A freeze that ends before the flip
lets writes through to the fence, whose refusal no SDK tries again (403)."""

FIRST_WORD_S_MAX = 1.0
"""A site that is given up gets no more than this of a failover's time."""


def _fences(ground: Ground) -> Fences:
    return Fences(ground.config, ground.plane, ground.clock)


@asynccontextmanager
async def _at_once(config: Config, site: str, clock: Clock) -> AsyncIterator[SiteFence]:
    """The fence of a site that answers the first word; `Unreachable` else, without a second try:
    what is pending is put up by the daemon when the site answers again."""
    async with aclosing(open_store(config, site, "operator")) as store:
        try:
            async with asyncio.timeout(FIRST_WORD_S_MAX):
                await store.server_time_offset()
        except TimeoutError:
            raise Unreachable(f"{site} did not answer within {FIRST_WORD_S_MAX:g} s.") from None
    async with open_fence(config, site, clock) as fence:
        yield fence


@dataclass(frozen=True, slots=True)
class FenceOld:
    """The old site's storage refuses clients' writes. `pending_is_enough`: a dead site is
    fenced when it answers again (failover); else it must be seen to bite. `optional`: a site
    that has no way to be fenced is left so; a person has said that clients are kept away.
    `is_event`: that it stands is a phase of its own.

    Until the flip it is looked at again: somebody may take the fence away by hand meanwhile."""

    ground: Ground
    pending_is_enough: bool = False
    is_event: bool = True
    optional: bool = False
    id: str = "fence"
    lapses: bool = True

    @property
    def what(self) -> str:
        old = self.ground.old
        if self.pending_is_enough:
            return (
                f"Fence {old} now, or as soon as it answers: its storage refuses clients' writes."
            )
        return f"Fence {old}: its storage refuses clients' writes, seen to bite."

    @property
    def _cannot(self) -> bool:
        return self.optional and self.ground.config.site(self.ground.old).fence.by == "none"

    async def look(self) -> Found:
        record = await self.ground.record()
        if self._cannot and record.phase in ("fenced", "given_up", "switched"):
            return Found(True, f"{self.ground.old} has no way to be fenced", {"state": "none"})
        fence = record.fence_of(self.ground.old)
        phases = ("given_up", "switched") if self.pending_is_enough else ("fenced", "switched")
        if fence is None or record.phase not in phases:
            return Found(False, "it is not fenced")
        enough = fence.state == "standing" or self.pending_is_enough
        note = "" if enough else f"the fence is {fence.state}"
        return Found(enough, note, {"state": fence.state, "way": fence.mode})

    async def act(self) -> None:
        ground = self.ground
        if self._cannot:
            await ground.change(_fenced, f"{ground.run}.fence")
            return
        if self.is_event and not self.pending_is_enough:
            _require_time(ground, await ground.record())
        fences = _fences(ground)
        if self.pending_is_enough:
            fences = replace(fences, opener=_at_once)
        raised = await fences.raise_(ground.old, ground.by, ground.why)
        if not raised.proved and not self.pending_is_enough:
            why = raised.trouble or f"the fence is {raised.fence.state}"
            raise Unreachable(f"{ground.old} was not seen to refuse writes: {why}")
        if self.is_event and not self.pending_is_enough:
            await ground.change(_fenced, f"{ground.run}.fence")

    async def undo(self) -> None:
        ground = self.ground
        recorded = (await ground.record()).fence_of(ground.old)
        if recorded is not None:  # it is recorded before it is put up: without, none is there
            await _fences(ground).lower(ground.old, ground.by, f"{ground.run} was given up")
        await ground.change(_unfenced, f"{ground.run}.unfence")


@dataclass(frozen=True, slots=True)
class OpenNew:
    """No fence stands at the new site."""

    ground: Ground
    id: str = "open"
    lapses: bool = False

    @property
    def what(self) -> str:
        return f"See that {self.ground.new} has no fence, or take it away."

    async def look(self) -> Found:
        ground = self.ground
        if (await ground.record()).fence_of(ground.new) is not None:
            return Found(False, f"{ground.new} is fenced")
        if ground.config.site(ground.new).fence.by == "none":
            return Found(True, f"{ground.new} has no way to be fenced")
        async with open_fence(ground.config, ground.new, ground.clock) as fence:
            standing = await fence.look()
        return Found(not any(standing.values()), "", {"buckets": standing})

    async def act(self) -> None:
        ground = self.ground
        await _fences(ground).lower(ground.new, ground.by, ground.why)

    async def undo(self) -> None:
        """It comes behind the point of no return."""


def _require_time(ground: Ground, record: ControlRecord) -> None:
    """`StepFailed` when the freeze would end between the fence and the flip."""
    left = freeze_left_s(ground, record.freeze) if record.freeze else FREEZE_LEFT_S_MIN
    if left < FREEZE_LEFT_S_MIN:
        raise StepFailed(
            f"Of the freeze {max(left, 0.0):.1f} s are left, too little to fence and flip: then "
            "clients' writes would be refused, and not held.",
            hint="See in the run's steps what took so long, or raise switch.freeze_max as far as "
            "the applications bear it; then plan again.",
        )


def _fenced(record: ControlRecord) -> ControlRecord:
    return record if record.phase == "fenced" else record.stepped("fence")


def _unfenced(record: ControlRecord) -> ControlRecord:
    return record.stepped("unfence") if record.phase == "fenced" else record
