"""The heartbeat: a tiny object, rewritten on the source and purged behind itself.

When its hint comes through a feed, everything that the feed told of earlier has come
through too. So the watermark can move between two reconciles, and silence is noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from farshore.clock import Clock
from farshore.core.rollcall import RollCall
from farshore.core.rules import OWN_PREFIX
from farshore.engine.side import Side
from farshore.feed.hint import Hint

HEARTBEAT_KEY = f"{OWN_PREFIX}heartbeat"
EVERY_S = 2.0

IN_FLIGHT_S = 2.0
"""Heartbeats and scans vouch for what was written this long before them. "Written" means
acknowledged; but people compare listings, and there a write that was under way has an earlier
time, of a whole second. Measured: 1.1 s at most (docs/decisions/0017-in-flight.md)."""


class Vouched(NamedTuple):
    """A heartbeat of `at` came through: its feed has told all changes before `until`. Where
    `missing` is not 0, it has lost so many heartbeats, and who knows what else."""

    at: float
    until: float
    missing: int


class Heartbeat:
    """Beats in one source bucket."""

    def __init__(self, source: Side, clock: Clock, source_offset: Callable[[], float]) -> None:
        self._side = source
        self._clock = clock
        self._offset = source_offset
        self._previous = ""
        self._alone = False
        self._written_at = 0.0
        self._roll = RollCall()

    @property
    def bucket(self) -> str:
        return self._side.bucket

    async def beat(self) -> None:
        """Write one beat and purge the one before. Raises what the store raises."""
        moment = self._clock.now() + self._offset()
        body = f"{moment:.3f}\n".encode()
        alone, self._alone = self._alone, False
        written = await self._side.store.put(self._side.bucket, HEARTBEAT_KEY, body)
        previous, self._previous = self._previous, written.version_id
        self._written_at = moment
        self._roll.wrote(written.version_id, moment)
        for version_id in [previous] if alone else await self._older(written.version_id):
            await self._side.store.delete(self._side.bucket, HEARTBEAT_KEY, version_id)
        self._alone = True

    async def _older(self, newest: str) -> list[str]:
        """Every beat but the newest: of a daemon before us, or of a try that went wrong."""
        found = await self._side.lister.history(self._side.bucket, HEARTBEAT_KEY)
        return [entry.version_id for entry in found if entry.version_id != newest]

    def heard(self, hint: Hint, feed: str, late_s: float) -> Vouched | None:
        """A hint of this bucket's heartbeat came through a feed that may be late.

        A late hint of an older beat must not vouch for a newer one: the event's own time
        counts where it is earlier. None when it tells nothing: before our first beat, for
        another bucket, or without a time.
        """
        if not self._written_at or hint.bucket != self._side.bucket or not hint.at:
            return None
        at = min(self._written_at, hint.at)
        late_s += IN_FLIGHT_S
        if not hint.versions:  # a purge, or a sender that names no versions
            return Vouched(at, at - late_s, 0) if not self._roll.names(feed) else None
        until, missing = self._roll.heard(feed, hint.versions[-1], at, late_s=late_s)
        return Vouched(at, until, missing)

    def lost(self, feed: str) -> None:
        """The feed begins anew."""
        self._roll.forget(feed)
