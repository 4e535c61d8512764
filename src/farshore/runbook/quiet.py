"""Freeze and drain: clients' writes wait, and those under way end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from farshore.core.record import ControlRecord, Freeze
from farshore.core.roles import Phase
from farshore.runbook.ground import Ground
from farshore.runbook.step import Found, StepFailed
from farshore.switch import freezing

BEYOND_FREEZE: frozenset[Phase] = frozenset({"fenced", "given_up", "switched", "committed"})
"""Phases in which the storage itself keeps writers out: a freeze that has ended does no harm."""


def freeze_left_s(ground: Ground, freeze: Freeze) -> float:
    """How long it still holds, in seconds; never more than a whole one, even where the clock was
    set back since."""
    return min(freeze.until - ground.clock.now(), ground.config.switch.freeze_max_s)


@dataclass(frozen=True, slots=True)
class FreezeWrites:
    """Every proxy answers writes with 503 until the limit; without a proxy, nothing is asked."""

    ground: Ground
    id: str = "freeze"
    lapses: bool = True

    @property
    def what(self) -> str:
        limit = self.ground.config.switch.freeze_max_s
        if not freezing.freezers(self.ground.drivers):
            return f"No proxy can freeze writes to {self.ground.old}: the fence will refuse them."
        return f"Freeze writes to {self.ground.old} at every proxy, for {limit:g} s at most."

    async def look(self) -> Found:
        record = await self.ground.record()
        if record.phase in BEYOND_FREEZE:
            return Found(True, "the fence keeps writers out")
        proxies = freezing.freezers(self.ground.drivers)
        readings = await freezing.frozen(proxies)
        silent = [reading for reading in readings if reading.error]
        if silent:
            return Found(None, f"{silent[0].vantage}: {silent[0].error}")
        seen = {reading.vantage: reading.frozen for reading in readings}
        held = all(seen.values()) and record.phase in ("frozen", "drained")
        return Found(held, "" if held else "writes are not frozen", {"proxies": seen})

    async def act(self) -> None:
        ground = self.ground
        until = ground.clock.now() + ground.config.switch.freeze_max_s
        proxies = freezing.freezers(ground.drivers)
        freeze = Freeze(ground.clock.now(), until, ground.by, ground.why) if proxies else None

        def begin(record: ControlRecord) -> ControlRecord:
            if record.phase == "protected":
                record = record.stepped("freeze")
            elif record.phase == "drained":  # the freeze has ended by itself: once more
                record = record.stepped("thaw").stepped("freeze")
            return replace(record, freeze=freeze)

        await ground.change(begin, f"{ground.run}.freeze")
        await freezing.freeze(proxies, until)

    async def undo(self) -> None:
        ground = self.ground
        await freezing.thaw(freezing.freezers(ground.drivers))
        await ground.change(_thawed, f"{ground.run}.thaw")


@dataclass(frozen=True, slots=True)
class Drain:
    """No write to the old site is in flight any more."""

    ground: Ground
    id: str = "drain"
    lapses: bool = True

    @property
    def what(self) -> str:
        return f"Wait until no write to {self.ground.old} is in flight."

    async def look(self) -> Found:
        record = await self.ground.record()
        if record.phase in BEYOND_FREEZE:
            return Found(True, "the fence keeps writers out")
        return Found(record.phase == "drained", "" if record.phase == "drained" else "not drained")

    async def act(self) -> None:
        ground = self.ground
        proxies = freezing.freezers(ground.drivers)
        record = await ground.record()
        await freezing.require_frozen(proxies)
        now = ground.clock.now()
        until = now + (freeze_left_s(ground, record.freeze) if record.freeze else 0.0)
        drained = await freezing.drain(proxies, ground.old, until, ground.clock, ground.sleep)
        if not drained.is_empty:
            raise StepFailed(
                f"{drained.left} writes to {ground.old} were still in flight when the freeze "
                "came to its end.",
                hint="A large upload, probably: wait for it, or cut it off, and plan again.",
            )
        await ground.stepped("drain")

    async def undo(self) -> None:
        """The thaw of the freeze takes it back."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """Writes go on, at the new site."""

    ground: Ground
    id: str = "thaw"
    lapses: bool = False

    @property
    def what(self) -> str:
        return f"Let clients' writes through again, to {self.ground.new}."

    async def look(self) -> Found:
        readings = await freezing.frozen(freezing.freezers(self.ground.drivers))
        silent = [reading for reading in readings if reading.error]
        if silent:
            return Found(None, f"{silent[0].vantage}: {silent[0].error}")
        open_ = not any(reading.frozen for reading in readings)
        recorded = (await self.ground.record()).freeze is None
        return Found(open_ and recorded, "" if open_ else "writes are still frozen")

    async def act(self) -> None:
        await freezing.thaw(freezing.freezers(self.ground.drivers))
        await self.ground.change(lambda r: replace(r, freeze=None), f"{self.ground.run}.thaw")

    async def undo(self) -> None:
        """It comes behind the point of no return."""


def _thawed(record: ControlRecord) -> ControlRecord:
    if record.phase in ("frozen", "drained"):
        record = record.stepped("thaw")
    return replace(record, freeze=None)
