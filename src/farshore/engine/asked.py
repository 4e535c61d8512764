"""`farshore sync PREFIX`: keys noted ahead of all others, and how far they have come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from farshore.clock import Clock
from farshore.core.plan import DELAYED_MARKER, DELETE_GUARD
from farshore.core.rules import Rule
from farshore.engine.clocks import ahead_of
from farshore.engine.reconcile import Scan, scan
from farshore.engine.session import Sides
from farshore.journal.backlog import ASKED, NOT_FAILED, Backlog, Work
from farshore.journal.deletes import WaitingDeletes

ROWS_MAX = 10_000
"""Rows that are looked at in one go, the oldest first."""

CLOCK_RESOLUTION_S = 1.0
"""The source's clock is known from Date headers, in whole seconds."""


class Asked(NamedTuple):
    """What was asked for: changes below `prefix` of the source's `buckets` up to `until`.

    `noted_at` by our clock: who put work back later than that has tried it. `until` by the
    source's: what is written after it is not waited for.
    """

    prefix: str
    buckets: frozenset[str]
    noted_at: float
    until: float


@dataclass(frozen=True, slots=True)
class Progress:
    """`waiting` will still be tried; `left` was tried and put back with a reason."""

    waiting: Sequence[Work]
    left: Sequence[Work]


async def ask(
    sides: Sequence[Sides],
    rules: Sequence[Rule],
    prefix: str,
    backlog: Backlog,
    deletes: WaitingDeletes,
    clock: Clock,
    tally: Scan,
) -> Asked:
    """Note every key below the prefix that differs, ahead of all else. Raises as `scan`."""
    noted_at = clock.now()
    ahead_s = 0.0
    for source, target in sides:
        await scan(
            source,
            target,
            rules,
            backlog,
            clock,
            tally,
            prefix=prefix,
            priority=ASKED,
            deletes=deletes,
        )
        ahead_s = await ahead_of(source.store, clock)
    until = clock.monotonic() + ahead_s + CLOCK_RESOLUTION_S
    return Asked(prefix, frozenset(side.source.bucket for side in sides), noted_at, until)


def progress(backlog: Backlog, asked: Asked) -> Progress:
    """How things stand. Work that waits for a site counts as waiting, however often tried."""
    rows = [
        work
        for work in backlog.rows(prefix=asked.prefix, limit=ROWS_MAX)
        if work.bucket in asked.buckets
        and work.since <= asked.until
        and work.cause != DELAYED_MARKER  # its rule wants it to wait
    ]
    put_back = [_is_put_back(work, asked) for work in rows]
    return Progress(
        [work for work, back in zip(rows, put_back, strict=True) if not back],
        [work for work, back in zip(rows, put_back, strict=True) if back],
    )


def _is_put_back(work: Work, asked: Asked) -> bool:
    """Tried since it was asked for, and not only for want of an answer."""
    if work.due_at <= asked.noted_at:
        return False
    return work.reason not in NOT_FAILED or work.cause == DELETE_GUARD
