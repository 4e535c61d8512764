"""After a flip: what a reading of both sites has found is added to the run that moved clients.

The old side returns with versions that the new primary never got: their number and the age of
the oldest at the flip are what the switch has cost (the RPO found). A reading that finds none
says so, too. Nothing that stands in the run is changed.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.aftermath import newest_runs
from farshore.control.kept import KeptVersions
from farshore.control.ledger import key_of
from farshore.control.record import ControlPlane
from farshore.control.runs import Runs
from farshore.control.sites import open_store
from farshore.control.standing import believed_offset
from farshore.core.aftermath import AFTER_FLIP
from farshore.core.loss import is_news, of_versions
from farshore.core.model import Version
from farshore.core.runbook import Run
from farshore.errors import Corrupt, Refused, StateError, StoreError
from farshore.s3.wrap import Retrying


@dataclass(frozen=True, slots=True)
class Reading:
    """Both sites, read from the new primary. `at`: when it began, Unix seconds by our clock;
    `how`: the command; `foreign`: what the old site alone has; `compared`: versions of the new
    primary that were read, None: not counted."""

    at: float
    by: str
    how: str
    foreign: tuple[Version, ...]
    compared: int | None = None


async def run_to_judge(config: Config, plane: ControlPlane) -> Run | None:
    """The run whose loss can be told by now: its clients were sent to the configuration's source,
    it is over, and its flip is not closed yet. Raises as `Runs` do."""
    record = (await plane.peek()).record
    if record.phase not in AFTER_FLIP or record.primary != config.pair.source:
        return None
    run = (await newest_runs(Runs(plane.both))).flipped
    if run is None or run.is_open or not run.cut_over_at:
        return None
    return run if run.plan.target == config.pair.source else None


async def add_finding(config: Config, plane: ControlPlane, clock: Clock, reading: Reading) -> str:
    """Add it, where there is a run that it tells of; answers why it could not be added, "" else:
    what was read counts without. `config` faces the new primary."""
    try:
        run = await run_to_judge(config, plane)
        if run is not None and reading.at >= run.cut_over_at:
            await _add(config, plane, clock, run, reading)
    except (StoreError, Refused, StateError, Corrupt) as error:
        return f"What was found was not added to the report of the run: {error.message}"
    return ""


async def _add(
    config: Config, plane: ControlPlane, clock: Clock, run: Run, reading: Reading
) -> None:
    site = config.target
    async with aclosing(open_store(config, site.name, "replicator")) as client:
        store = Retrying(client)
        kept = KeptVersions(store, site.control_bucket, key_of(config.pair), site.name)
        loss = of_versions(
            reading.foreign,
            at=reading.at,
            by=reading.by,
            how=reading.how,
            ahead_s=believed_offset(await store.server_time_offset()),
            compared=reading.compared,
            decided=await kept.since(run.cut_over_at),
        )
    if not is_news(run.losses, loss):
        return
    shelf = await Runs(plane.both).shelf(run.id)
    await shelf.save(shelf.run.found(loss))
    what = f"{run.id}: {loss.text}"
    await plane.note(by=reading.by, action="found", kind="result", what=what, outcome="ok")
