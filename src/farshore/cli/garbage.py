"""Cyclic garbage is collected by the clock.

Python's own way, every 700 new objects, took a fifth of a backfill's CPU: a few hundred copies in
flight always stay, and were looked through again and again. Reference counting frees nearly all
of ours at once. What it does not free (connections that were closed, tracebacks of errors that were
caught) is little, but adds up: by 0.4 MiB a minute in a daemon with little to do.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

YOUNG_MAX = (100_000, 50, 50)
"""For Python's own collector, should so many come up at once: new objects, and passes over the
younger ones."""

FIRST_S = 2.0
"""Most commands have ended by then, and most of what a program is made of is there."""

EVERY_S = 30.0


def collect_by_the_clock() -> None:
    """Leave it to `collect_for_ever`, mostly."""
    gc.set_threshold(*YOUNG_MAX)


async def collect_for_ever(sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Collect now and then. What is there at first, the program's own modules mostly, is never
    looked through again: that took 0.1 s, in which nothing else was done."""
    await sleep(FIRST_S)
    gc.collect()
    gc.freeze()
    while True:
        await sleep(EVERY_S)
        gc.collect()
