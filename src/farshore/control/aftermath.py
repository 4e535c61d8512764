"""The runs that matter to whoever asks how a pair stands: the open one, the last that flipped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.both import BothSides
from farshore.control.ledger import Ledger, key_of
from farshore.control.runs import Runs
from farshore.core.aftermath import NO_RUNS, SeenRuns
from farshore.core.runbook import FLIP
from farshore.errors import FarshoreError
from farshore.s3.store import Store

RUNS_MAX = 8
"""The newest runs that are looked at: a pair has one open run, and it is the newest."""

SECONDS_MAX = 5.0
"""Who waits for a status is in a hurry."""


async def see_runs(config: Config, stores: Mapping[str, Store], clock: Clock) -> SeenRuns:
    """From the sites that answer: name to store, as the replicator. Nothing where no run can be
    read: what keeps it from being read has reasons of its own."""
    if not stores:
        return NO_RUNS
    sites = (config.pair.source, config.pair.target)
    ledgers = [
        Ledger(config.site(name), store, key_of(config.pair), clock=clock)
        for name, store in stores.items()
    ]
    closed = {name: "it does not answer" for name in sites if name not in stores}
    both = BothSides(sites, ledgers, primary=config.pair.source, closed=closed)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await newest_runs(Runs(both))
    except (FarshoreError, TimeoutError):
        return NO_RUNS


async def newest_runs(runs: Runs) -> SeenRuns:
    """Among the last ones. Raises as `Runs` do."""
    found = NO_RUNS
    for name in reversed((await runs.ids())[-RUNS_MAX:]):
        run = await runs.load(name)
        if run.is_open and found.open is None:
            found = SeenRuns(run, found.flipped)
        if run.was_begun(FLIP):
            return SeenRuns(found.open, run)
    return found
