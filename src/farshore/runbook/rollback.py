"""The way back before the commit: only while nothing was written at the new site.

The ground faces the new primary: it is the one that is left, and the old one is gone back to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from farshore.core.record import Freeze
from farshore.proof.pair import prove_pair
from farshore.runbook.ground import Ground
from farshore.runbook.quiet import FreezeWrites
from farshore.runbook.step import Found, StepFailed
from farshore.switch import freezing

WRITTEN = frozenset({"missing", "gap"})
"""Differences that are versions which only the site that is left has."""

AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Quiet:
    """Writes to the new site wait, and none is in flight: the phase stays `switched`."""

    ground: Ground
    id: str = "freeze"
    lapses: bool = True

    @property
    def what(self) -> str:
        return FreezeWrites(self.ground).what + " Wait until none is in flight."

    async def look(self) -> Found:
        proxies = freezing.freezers(self.ground.drivers)
        readings = await freezing.frozen(proxies)
        silent = [reading for reading in readings if reading.error]
        if silent:
            return Found(None, f"{silent[0].vantage}: {silent[0].error}")
        record = await self.ground.record()
        held = all(reading.frozen for reading in readings) and record.freeze is not None
        return Found(held or not proxies, "" if held else "writes are not frozen")

    async def act(self) -> None:
        ground = self.ground
        proxies = freezing.freezers(ground.drivers)
        now = ground.clock.now()
        freeze = Freeze(now, now + ground.config.switch.freeze_max_s, ground.by, ground.why)
        await ground.change(lambda r: replace(r, freeze=freeze), f"{ground.run}.freeze")
        await freezing.freeze(proxies, freeze.until)
        drained = await freezing.drain(
            proxies, ground.old, freeze.until, ground.clock, ground.sleep
        )
        if not drained.is_empty:
            raise StepFailed(f"{drained.left} writes to {ground.old} were still in flight.")

    async def undo(self) -> None:
        ground = self.ground
        await freezing.thaw(freezing.freezers(ground.drivers))
        await ground.change(lambda r: replace(r, freeze=None), f"{ground.run}.thaw")


@dataclass(slots=True)
class Unwritten:
    """Nothing was written at the new site since the flip: proved by reading both, once frozen.
    `behind_fence`: once more, when nothing can be written there any more, past the proxies
    neither."""

    ground: Ground
    behind_fence: bool = False
    id: str = "unwritten"
    lapses: bool = True
    _proved: float = field(default=-1.0, init=False)

    @property
    def what(self) -> str:
        again = ", nor round the freeze" if self.behind_fence else ""
        return f"Read both sites: nothing was written at {self.ground.old} since the flip{again}."

    async def look(self) -> Found:
        record = await self.ground.record()
        since = record.freeze.since if record.freeze else 0.0
        done = self._proved == since
        return Found(done, "" if done else "it is not proved after this freeze")

    async def act(self) -> None:
        ground = self.ground
        record = await ground.record()
        proof = await prove_pair(ground.config, ground.clock, pause_s=AGAIN_S)
        written = [found for found in proof.differences if found.kind in WRITTEN]
        if written:
            raise StepFailed(
                f"{len(written)} versions were written at {ground.old} since the flip, "
                f"{written[0].bucket}/{written[0].key} among them: going back would lose them.",
                hint="`farshore commit`, `farshore reprotect`, then `farshore failback` keep them.",
            )
        self._proved = record.freeze.since if record.freeze else 0.0

    async def undo(self) -> None:
        """Nothing was changed."""
