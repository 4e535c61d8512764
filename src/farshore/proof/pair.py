"""Verify of a whole pair: every bucket in turn, with the deletes that a person discarded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from farshore.clock import Clock
from farshore.config import Config
from farshore.engine.run import JOURNAL_FILE
from farshore.engine.session import open_sides
from farshore.journal.deletes import WaitingDeletes
from farshore.journal.statefile import IN_MEMORY
from farshore.proof.verify import Proof, Question, verify


async def prove_pair(
    config: Config,
    clock: Clock,
    *,
    deep: bool = False,
    prefix: str = "",
    pause_s: float | None = None,
    proof: Proof | None = None,
) -> Proof:
    """Read both sides of every bucket. `pause_s`: between two looks at a key that differs.

    `proof` is added to as it goes, for whoever shows progress. Raises as `open_sides` and
    `verify` do.
    """
    found = Proof() if proof is None else proof
    with contextlib.closing(_discarded(config)) as deletes:
        async with open_sides(config, retrying=True) as buckets:
            for source, target in buckets:
                question = Question(
                    source,
                    target,
                    config.pair.rules,
                    clock,
                    deep=deep,
                    prefix=prefix,
                    discarded=deletes.is_discarded,
                    sleep=asyncio.sleep if pause_s is None else _paused(pause_s),
                )
                await verify(question, found)
    return found


def _discarded(config: Config) -> WaitingDeletes:
    path = config.state_dir / JOURNAL_FILE
    return WaitingDeletes(path if path.exists() else IN_MEMORY)


def _paused(seconds: float) -> Callable[[float], Awaitable[None]]:
    async def pause(_: float) -> None:
        await asyncio.sleep(seconds)

    return pause
