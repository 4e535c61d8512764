"""Looking ahead: what a lane needs to know of a key that was just written, in one round trip.

Three things can be had at once: the key's history on the source, the small version that the
hint names, and the target's history. The last one is left out where it is known what stands
there (`farshore.engine.placed`). What the look shows decides, as always; mostly it asks for
just the version that is there already, and one PUT ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from farshore.clock import Clock
from farshore.core import stamp
from farshore.core.join import KeyPair
from farshore.core.model import History
from farshore.engine.copy import Ahead
from farshore.engine.placed import Placed
from farshore.engine.side import Side
from farshore.errors import StoreError
from farshore.journal.backlog import LIVE, Work

AHEAD_BYTES_MAX = 64 * 1024
"""Larger bodies are worth waiting for; of these, every lane may hold one."""


class Wanted(NamedTuple):
    """What to ask for. `named`: versions that hints named; `version_id`: the one to read ahead,
    "" for none; `size` in bytes; `trusting`: the target's history may be taken from memory."""

    key: str
    named: Sequence[str]
    version_id: str
    size: int
    trusting: bool


def wanted_of(work: Work, named: Sequence[str], placed: Placed) -> Wanted:
    """What is probably enough for a key that a feed told of and that was not tried yet."""
    fresh = work.priority >= LIVE and not work.attempts and not work.reason
    small = 0 < work.size <= AHEAD_BYTES_MAX
    version_id = named[0] if fresh and small and len(named) == 1 else ""
    trusting = fresh and placed.may_know(work.key)
    return Wanted(work.key, named, version_id, work.size if version_id else 0, trusting)


class Looked(NamedTuple):
    """Both histories of a key, and the version that they will probably ask for. `remembered`:
    the target was not asked."""

    pair: KeyPair
    ahead: Ahead | None = None
    remembered: bool = False


async def look_ahead(
    source: Side, target: Side, wanted: Wanted, placed: Placed, clock: Clock
) -> Looked:
    """Both histories of a key, and the version that they will probably ask for.

    Only for whoever alone writes this key at the target: it does not matter then in which
    order the sides answer.
    """
    here, there, ahead = await asyncio.gather(
        source.lister.history(source.bucket, wanted.key),
        _nothing() if wanted.trusting else target.lister.history(target.bucket, wanted.key),
        _read(source, wanted, clock),
    )
    if there is None and not _is_replica(ahead):
        known = _remembered(placed, wanted, here)
        if known is not None:
            return Looked(KeyPair(wanted.key, here, known), ahead, remembered=True)
    if there is None:
        there = await target.lister.history(target.bucket, wanted.key)
    return Looked(KeyPair(wanted.key, here, there), ahead)


async def _nothing() -> History | None:
    return None


def _is_replica(ahead: Ahead | None) -> bool:
    """Somebody's replica, maybe of what stands at the target."""
    return ahead is not None and stamp.find(ahead.info.attributes) is not None


def _remembered(placed: Placed, wanted: Wanted, source: History) -> History | None:
    """Where a version was named that is not listed, the replicas themselves must be read."""
    listed = {entry.version_id for entry in source}
    return placed.target_of(wanted.key, source) if listed.issuperset(wanted.named) else None


async def _read(source: Side, wanted: Wanted, clock: Clock) -> Ahead | None:
    """None when it cannot be had: the lane that needs it asks again, and says why."""
    if not wanted.version_id:
        return None
    began = clock.monotonic()
    try:
        async with source.store.get(source.bucket, wanted.key, wanted.version_id) as opened:
            if opened.body_length > AHEAD_BYTES_MAX:
                return None
            body = await opened.read()
            return Ahead(wanted.version_id, opened.info, body, clock.monotonic() - began)
    except StoreError:
        return None
