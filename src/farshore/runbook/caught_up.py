"""Nothing is left to copy: proved after the freeze, by reading both sides or by the watermark.

Both ways begin at once and the first that proves it counts. Reading both sides is the truth;
where the buckets are so large that it would outlast the freeze, the watermark has to have
passed the moment at which the last write had ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from farshore.control.sites import open_store
from farshore.control.status import StatusDocument, StatusReport
from farshore.errors import FarshoreError
from farshore.proof.pair import prove_pair
from farshore.proof.verify import Proof
from farshore.runbook.ground import Ground
from farshore.runbook.guarded import FREEZE_LEFT_S_MIN
from farshore.runbook.quiet import BEYOND_FREEZE, freeze_left_s
from farshore.runbook.step import Found, StepFailed

RESERVE_S = FREEZE_LEFT_S_MIN + 0.5
"""Of the freeze, kept for the fence and the flip: what is proved later comes too late."""

WITHOUT_FREEZE_S = 60.0
"""How long to wait where nothing is frozen."""

AGAIN_S = 0.1
"""Pause before both sides are read again: the last copies are under way."""

LOOK_S = 0.25
"""How often the daemon's report is read."""

CLOCK_RESOLUTION_S = 1.0
"""Servers tell their time in whole seconds (Date headers)."""


@dataclass(slots=True)
class CatchUp:
    """Both sides are equal, and no write has come since: the proof belongs to one freeze."""

    ground: Ground
    id: str = "catch_up"
    lapses: bool = True
    _proved: tuple[float, dict[str, Any]] | None = field(default=None, init=False)

    @property
    def what(self) -> str:
        ground = self.ground
        return (
            f"Wait until {ground.new} has everything that {ground.old} has; read both to prove it."
        )

    async def look(self) -> Found:
        record = await self.ground.record()
        if record.phase in BEYOND_FREEZE:
            return Found(True, "it was proved before the fence")
        since = record.freeze.since if record.freeze else 0.0
        if self._proved is not None and self._proved[0] == since:
            return Found(True, "", self._proved[1])
        return Found(False, "it is not proved after this freeze")

    async def act(self) -> None:
        ground = self.ground
        record = await ground.record()
        now = ground.clock.now()
        freeze = record.freeze
        left = freeze_left_s(ground, freeze) - RESERVE_S if freeze else WITHOUT_FREEZE_S
        if left <= 0:
            raise StepFailed(
                "Freezing and draining took as long as writes may be frozen: no time was left to "
                f"prove that {ground.new} has everything.",
                hint="See what was in flight for so long (a large upload?), or raise [switch] "
                "freeze_max as far as the applications bear it; then plan again.",
            )
        try:
            async with asyncio.timeout(left):
                evidence = await first_of(self._by_reading(), by_watermark(ground, now))
        except TimeoutError:
            raise StepFailed(
                f"{ground.new} did not come to have everything within {left:.1f} s.",
                hint="See `farshore status` and `farshore backlog list`; plan again when the "
                "exposure is near zero.",
            ) from None
        self._proved = (freeze.since if freeze else 0.0, evidence)

    async def _by_reading(self) -> dict[str, Any]:
        """Read both sides again and again until they do not differ."""
        while True:
            proof = await prove_pair(self.ground.config, self.ground.clock, pause_s=AGAIN_S)
            if not proof.differences:
                return read_through(proof)
            await self.ground.sleep(AGAIN_S)

    async def undo(self) -> None:
        """Nothing was changed."""


def read_through(proof: Proof) -> dict[str, Any]:
    """The evidence of a reading without a difference."""
    return {
        "proved_by": "reading both sides",
        "keys": proof.keys,
        "versions": proof.versions,
        "delete_markers": proof.markers,
    }


async def by_watermark(ground: Ground, quiet_since: float) -> dict[str, Any]:
    """Until the daemon's report has a watermark later than the last write, and no backlog."""
    async with aclosing(open_store(ground.config, ground.old, "replicator")) as source:
        wanted = quiet_since + await source.server_time_offset() + CLOCK_RESOLUTION_S
    bucket = ground.config.site(ground.new).control_bucket
    async with aclosing(open_store(ground.config, ground.new, "replicator")) as target:
        while True:
            report = await StatusDocument(target, bucket, ground.config.pair.name).read()
            if report is not None and _says(report, wanted):
                return {"proved_by": "watermark", "watermark": report.watermark}
            await ground.sleep(LOOK_S)


def _says(report: StatusReport, wanted: float) -> bool:
    mark = report.watermark
    owed = any(count for causes in report.not_replicated.values() for count in causes.values())
    return mark is not None and mark >= wanted and not report.backlog.count and not owed


async def first_of(*jobs: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """The first answer; the first error if none answers. The others are cancelled."""
    tasks = [asyncio.create_task(job) for job in jobs]
    error: FarshoreError | None = None
    try:
        for done in asyncio.as_completed(tasks):
            try:
                return await done
            except FarshoreError as caught:  # the other way may still prove it
                error = error or caught
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert error is not None
    raise error
