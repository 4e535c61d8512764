"""Behind the fence: whether a write came round the freeze after the catch-up, and is left behind.

    read both sides ──no difference──> nothing was left behind
          │ └──not in time──> said, and the flip goes on: what is there is kept, and found later
          └──something is there──> copied (by the daemon, or here) ──> read again
                                          └──not copied──> the step fails; all is taken back

Proxies freeze what goes through them. Who writes to the store itself is only stopped by the
fence, a moment after it was proved that nothing is left to copy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from farshore.control.contact import make_contact
from farshore.control.sites import open_store
from farshore.core.mend import plan_mending
from farshore.core.plan import DeleteLimits
from farshore.core.record import ControlRecord
from farshore.core.words import counted
from farshore.engine.run import working_crews
from farshore.engine.tally import Tally
from farshore.errors import FarshoreError, Refused, StoreError
from farshore.proof.pair import prove_pair
from farshore.proof.repair import repair
from farshore.proof.verify import Proof
from farshore.runbook.caught_up import AGAIN_S, by_watermark, first_of, read_through
from farshore.runbook.ground import Ground
from farshore.runbook.quiet import freeze_left_s
from farshore.runbook.step import Found, StepFailed

FLIP_S = 0.5
"""Of the freeze, kept for the flip."""

LOOK_S_MIN, LOOK_S_MAX = 2.0, 10.0
"""Where little is left of the freeze, or nothing is frozen: until the flip the fence refuses what
clients write."""

COPY_S_MAX = 10.0
"""What is known to be left behind is worth some refused writes."""

CONTACT_S_MAX = 2.0

NAMES_MAX = 20

LAST_LOOK = "last_look"
"""The step's id."""

CAME_ROUND = "came_round"
"""Of its evidence: the keys that came round the freeze."""


@dataclass(slots=True)
class LastLook:
    """Nothing that the new site lacks stands at the old one, now that its fence stands.

    `found`: keys that an earlier try of the run has found: then it is not enough that nobody can
    tell whether they were copied.
    """

    ground: Ground
    found: tuple[str, ...] = ()
    id: str = LAST_LOOK
    lapses: bool = False
    _found: Found | None = field(default=None, init=False)
    _came: dict[str, None] = field(default_factory=dict, init=False)

    @property
    def what(self) -> str:
        old, new = self.ground.old, self.ground.new
        return (
            f"Look once more, behind the fence: what came round the freeze to {old} goes to {new}."
        )

    async def look(self) -> Found:
        if (await self.ground.record()).phase == "switched":
            return Found(True, "clients were sent over before")
        return self._found or Found(False, "nobody has looked behind the fence")

    async def act(self) -> None:
        ground = self.ground
        record, now = await ground.record(), ground.clock.now()
        try:
            async with asyncio.timeout(self._seconds(record)) as limit:
                reading = self._by_reading(limit)
                evidence = await first_of(reading, by_watermark(ground, now))
        except (TimeoutError, StoreError) as error:
            require_nothing_left(self.ground, tuple(self._came) or self.found, _why(error))
            await self._require_target()
            self._found = Found(True, self._untold(error), {"proved_by": "nobody"})
        else:
            self._found = Found(True, self._copied(), evidence | {CAME_ROUND: list(self._came)})

    def _seconds(self, record: ControlRecord) -> float:
        if record.freeze is None:
            return LOOK_S_MAX
        left = freeze_left_s(self.ground, record.freeze) - FLIP_S
        return min(max(left, LOOK_S_MIN), LOOK_S_MAX)

    async def _by_reading(self, limit: asyncio.Timeout) -> dict[str, Any]:
        """Until both sides do not differ. What is found gets the time to be copied."""
        while True:
            proof = await prove_pair(self.ground.config, self.ground.clock, pause_s=AGAIN_S)
            if not proof.differences:
                return read_through(proof)
            if not self._came:
                limit.reschedule(asyncio.get_running_loop().time() + COPY_S_MAX)
            self._came |= {f"{one.bucket}/{one.key}": None for one in proof.differences}
            await self._copy(proof)
            await self.ground.sleep(AGAIN_S)

    async def _copy(self, proof: Proof) -> None:
        """Here, where nobody else replicates; a daemon that does copies by itself."""
        config, clock = self.ground.config, self.ground.clock
        limits = DeleteLimits(config.daemon.deletes_count, config.daemon.deletes_share)
        missing = [one for one in proof.differences if one.kind == "missing"]
        with contextlib.suppress(Refused):
            async with working_crews(config, Tally(), asyncio.Event(), clock) as crews:
                for crew in crews:
                    ours = [one for one in missing if one.bucket == crew.source.bucket]
                    await repair(crew, plan_mending(ours, rebuild_tail=False), proof.keys, limits)

    async def _require_target(self) -> None:
        """Nobody is sent to a site that has fallen silent. Raises as `make_contact`."""
        config, site = self.ground.config, self.ground.config.site(self.ground.new)
        async with aclosing(open_store(config, site.name, "replicator")) as store:
            await make_contact(store, site, "replicator", seconds_max=CONTACT_S_MAX)

    def _untold(self, error: Exception) -> str:
        return (
            f"both sides could not be read again behind the fence ({_why(error)}): what came "
            f"round the freeze stays at {self.ground.old}; `farshore divergent list` shows it "
            "after the commit"
        )

    def _copied(self) -> str:
        if not self._came:
            return ""
        keys = ", ".join(list(self._came)[:NAMES_MAX])
        count = counted(len(self._came), "key")
        return f"{count} written round the freeze, copied before the flip: {keys}"

    async def undo(self) -> None:
        """What was copied is of the old site, and stays."""


def require_nothing_left(ground: Ground, came: Sequence[str], why: str) -> None:
    """`StepFailed` when something is known to have come round the freeze, and not to have been
    copied. `came`: the keys; `why` nobody could tell more."""
    if not came:
        return
    failed = StepFailed(
        f"Round the freeze {counted(len(came), 'key')} of {ground.old} got versions that "
        f"{ground.new} is not known to have: {', '.join(came[:NAMES_MAX])}. {why}",
        hint="See who writes to the store past the front door, and `farshore status` for what "
        f"waits; then plan again. If {ground.old} is lost, abort the run, and decide whether to "
        "fail over.",
    )
    failed.evidence = {CAME_ROUND: list(came[:NAMES_MAX])}
    raise failed


def _why(error: Exception) -> str:
    return error.message if isinstance(error, FarshoreError) else "The time was too short."
