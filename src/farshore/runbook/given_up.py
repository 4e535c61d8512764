"""Give the old site up, and decide about writes at the new one: a failover's own steps."""

from __future__ import annotations

from dataclasses import dataclass

from farshore.fence.recorded import Fences
from farshore.runbook.ground import Ground
from farshore.runbook.step import Found, StepFailed


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The record says that the old site is no longer primary in deed: the epoch rises, and
    nothing that works under the old one writes any more."""

    ground: Ground
    id: str = "give_up"
    lapses: bool = False

    @property
    def what(self) -> str:
        old, new = self.ground.old, self.ground.new
        return f"Give {old} up, on record: from here on {new} alone counts."

    async def look(self) -> Found:
        record = await self.ground.record()
        done = record.phase in ("given_up", "switched")
        return Found(done, "" if done else record.phase, {"epoch": record.epoch})

    async def act(self) -> None:
        await self.ground.stepped("give_up")

    async def undo(self) -> None:
        """The fence is taken back first, by its own step."""
        if (await self.ground.record()).phase == "given_up":
            await self.ground.stepped("abort")


@dataclass(frozen=True, slots=True)
class HoldWrites:
    """Clients may read at the new site and not write: it is fenced until a person allows it."""

    ground: Ground
    id: str = "hold"
    lapses: bool = False

    @property
    def what(self) -> str:
        new = self.ground.new
        return (
            f"Fence {new} too: clients read there, and write when `farshore unfence {new}` allows."
        )

    async def look(self) -> Found:
        fence = (await self.ground.record()).fence_of(self.ground.new)
        held = fence is not None and fence.state == "standing"
        return Found(held, "" if held else "clients may write")

    async def act(self) -> None:
        ground = self.ground
        fences = Fences(ground.config, ground.plane, ground.clock)
        raised = await fences.raise_(ground.new, ground.by, "writes are held after the failover")
        if not raised.proved:
            raise StepFailed(f"{ground.new} was not seen to refuse writes: {raised.trouble}")

    async def undo(self) -> None:
        ground = self.ground
        fences = Fences(ground.config, ground.plane, ground.clock)
        await fences.lower(ground.new, ground.by, f"{ground.run} was given up")
