"""A simulated run from beginning to end, in no time. Nothing of it is left."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.simulation.loop import SimulatedLoop
from tests.simulation.outcome import AnyPlan, Outcome
from tests.simulation.truth import Broken

MEMORY = Path("/dev/shm")
"""Folders of runs are here, where there is one: they are written to all the time."""


class Truth(Protocol):
    """The checker."""

    @property
    def checks(self) -> int: ...


class World(Protocol):
    """All that there is in a run. `broken`: the first promise that was."""

    broken: Broken | None
    log: list[str]
    seen: Counter[str]

    @property
    def truth(self) -> Truth: ...
    async def run(self) -> None:
        """From beginning to end. Raises `Broken`."""
        ...

    async def end(self) -> None:
        """Ends whatever still works."""
        ...


def played(
    plan: AnyPlan, loop: SimulatedLoop, world_of: Callable[[SimulatedLoop, Path], World]
) -> Outcome:
    """How it went. The loop is closed afterwards."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    world = world_of(loop, folder)
    broken = ""
    try:
        loop.run_until_complete(world.run())
    except Broken as error:
        broken = str(error)
    finally:
        loop.run_until_complete(world.end())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        shutil.rmtree(folder)
    if world.broken is not None:  # whoever broke it may have swallowed the error
        broken = str(world.broken)
    return Outcome(plan, broken, tuple(world.log), world.truth.checks, loop.time(), world.seen)
