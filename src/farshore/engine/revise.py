"""Deletes that wait, judged anew when the configuration says something else than before.

A delete marker may wait for days (`after 7d`), or for a person. Should its rule be taken
away meanwhile, it must neither be written when its time comes nor wait for ever.
"""

from __future__ import annotations

from hashlib import sha256

from farshore.clock import Clock
from farshore.config.values import Pair
from farshore.core.plan import DELAYED_MARKER, DELETE_GUARD
from farshore.feed.hint import Hint
from farshore.journal.backlog import BACKGROUND, Backlog

NAME = "rules"
"""The cursor that holds the fingerprint of the rules that waiting deletes were judged by."""

ROWS_MAX = 1_000_000
"""Rows that are looked at in one go, the oldest first."""


async def revise(backlog: Backlog, pair: Pair, clock: Clock) -> int:
    """Make every waiting delete due when buckets or rules have changed; answers how many.

    Whoever takes them looks at the key, and does what the rules of today ask for.
    """
    fingerprint = sha256(repr((pair.buckets, pair.rules)).encode()).hexdigest()
    if backlog.cursor(NAME) == fingerprint:
        return 0
    waiting = [
        Hint(work.bucket, work.key, work.since)
        for work in backlog.rows(limit=ROWS_MAX)
        if work.cause in (DELAYED_MARKER, DELETE_GUARD)
    ]
    if waiting:
        await backlog.note(waiting, now=clock.now(), priority=BACKGROUND)
    await backlog.set_cursor(NAME, fingerprint)
    return len(waiting)
