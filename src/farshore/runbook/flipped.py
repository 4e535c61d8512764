"""Flip: every driver of the switch shows the new site, and the record names the new primary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from farshore.core.record import ControlRecord, SwitchState
from farshore.core.roles import Event
from farshore.runbook.ground import Ground
from farshore.runbook.step import Found
from farshore.switch.driver import SwitchError
from farshore.switch.epochs import lacks_epoch, note_epoch
from farshore.switch.flip import SwitchView, flip, plan_flip, survey
from farshore.switch.traffic import noted, traffic


@dataclass(slots=True)
class Flip:
    """`event`: "flip", or "roll_back" for the way back before the commit."""

    ground: Ground
    event: Event = "flip"
    id: str = "flip"
    lapses: bool = False
    _acted: bool = field(default=False, init=False)

    @property
    def what(self) -> str:
        names = ", ".join(driver.name for driver in self.ground.drivers) or "no driver"
        return f"Send clients to {self.ground.new} ({names}); make it the primary."

    async def look(self) -> Found:
        ground = self.ground
        record = await ground.record()
        view = await survey(ground.drivers)
        seen: dict[str, Any] = {
            "switch": view.sentence(),
            "primary": record.primary,
            "phase": record.phase,
        }
        if view.state == "unknown":
            return Found(None, view.sentence(), seen)
        moved = view.site == ground.new or view.state == "none"
        after = "switched" if self.event == "flip" else "protected"
        done = moved and record.primary == ground.new and record.phase == after
        if done and not self._acted and await lacks_epoch(ground.drivers, ground.new, record.epoch):
            return Found(False, f"the epoch {record.epoch} does not stand beside the site", seen)
        return Found(done, "" if done else view.sentence(), seen | await self._counted(done))

    async def _counted(self, done: bool) -> dict[str, Any]:
        """What the proxies have counted by the flip, for the error rates before and after it. A
        number that cannot be had is no reason to doubt the flip."""
        try:
            found = await traffic(self.ground.drivers) if done else {}
        except SwitchError:
            return {}
        return {"traffic": noted(found)} if found else {}

    async def act(self) -> None:
        ground = self.ground
        await ground.change(self._wish, f"{ground.run}.flip")
        plan = await plan_flip(ground.drivers, ground.new)
        view = await flip(ground.drivers, plan, sleep=ground.sleep)
        action = f"{ground.run}.flip.done"
        record = await ground.change(lambda record: self._done(record, view), action)
        # Clients are where they should be, whatever becomes of this: the number is for readers.
        self._acted = True
        await note_epoch(ground.drivers, ground.new, record.epoch)

    def _wish(self, record: ControlRecord) -> ControlRecord:
        ground, switch = self.ground, record.switch
        if record.primary == ground.new:
            return record
        wanted = SwitchState(
            switch.active, ground.new, ground.by, ground.why, ground.clock.now(), switch.drivers
        )
        return replace(record, switch=wanted)

    def _done(self, record: ControlRecord, view: SwitchView) -> ControlRecord:
        new = self.ground.new
        switch = replace(record.switch, active=new, wanted=new, drivers=view.shown)
        if record.primary != new:
            record = record.stepped(self.event, primary=new)
        return replace(record, switch=switch)

    async def undo(self) -> None:
        """This is the point of no return."""
