"""What the steps of one run stand on: the configuration, the control plane, the switch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.record import ControlPlane
from farshore.core.record import ControlRecord
from farshore.core.roles import Event
from farshore.switch.driver import SwitchDriver

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ground:
    """`config` faces the primary that is left: its source is the old primary.

    `by` and `why` stand in the record and in the audit of everything that is done.
    """

    config: Config
    plane: ControlPlane
    drivers: Sequence[SwitchDriver]
    clock: Clock
    by: str
    why: str
    run: str
    sleep: Sleep = field(default=asyncio.sleep)

    @property
    def old(self) -> str:
        """The site that clients leave."""
        return self.config.pair.source

    @property
    def new(self) -> str:
        """The site that clients go to."""
        return self.config.pair.target

    async def record(self) -> ControlRecord:
        """The control record that stands, from whatever site answers. Without the audit log, which
        whoever changes the record reads: a run looks often, while clients wait."""
        return (await self.plane.peek()).record

    async def change(
        self, decide: Callable[[ControlRecord], ControlRecord], action: str
    ) -> ControlRecord:
        """Change the record as this run. Raises as `ControlPlane.change`."""
        return await self.plane.change(decide, by=self.by, why=self.why, action=action)

    async def stepped(self, event: Event, *, primary: str = "") -> ControlRecord:
        """Record an event. `Refused` when it cannot happen now."""
        return await self.change(lambda r: r.stepped(event, primary=primary), f"{self.run}.{event}")
