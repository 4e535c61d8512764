"""Verify of a whole pair: every bucket in turn, with the deletes that a person discarded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from farshore.clock import Clock
from farshore.config import Config
from farshore.engine.run import held_documents, standing_deletes
from farshore.engine.session import open_sides
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
    async with open_sides(config, retrying=True) as buckets:
        target = buckets[0].target
        documents = held_documents(config, target.store, target.capabilities)
        with contextlib.closing(await standing_deletes(documents)) as deletes:
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


def _paused(seconds: float) -> Callable[[float], Awaitable[None]]:
    async def pause(_: float) -> None:
        await asyncio.sleep(seconds)

    return pause
