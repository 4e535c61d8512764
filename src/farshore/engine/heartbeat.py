"""The heartbeat: a tiny object, rewritten on the source and purged behind itself.

When its hint comes through a feed, everything that the feed told of earlier has come
through too. So the watermark can move between two reconciles, and silence is noticed.
"""

from __future__ import annotations

from collections.abc import Callable

from farshore.clock import Clock
from farshore.core.rules import OWN_PREFIX
from farshore.engine.side import Side
from farshore.feed.hint import Hint

HEARTBEAT_KEY = f"{OWN_PREFIX}heartbeat"
EVERY_S = 2.0
SECOND = 1.0
"""A beat's time is known to the whole second of the source's clock: count from its start."""

Seen = Callable[[float], None]


class Heartbeat:
    """Beats in one source bucket. `seen` is told the time up to which the feed is complete."""

    def __init__(self, source: Side, clock: Clock, source_offset: Callable[[], float]) -> None:
        self._side = source
        self._clock = clock
        self._offset = source_offset
        self._previous = ""
        self._alone = False
        self._written_at = 0.0
        self._accepted_at = 0.0

    @property
    def age_s(self) -> float:
        """Seconds since a beat came through; since the start if none has."""
        return self._clock.now() + self._offset() - self._accepted_at if self._accepted_at else -1.0

    async def beat(self) -> None:
        """Write one beat and purge the one before. Raises what the store raises."""
        moment = self._clock.now() + self._offset()
        body = f"{moment:.3f}\n".encode()
        alone, self._alone = self._alone, False
        written = await self._side.store.put(self._side.bucket, HEARTBEAT_KEY, body)
        previous, self._previous = self._previous, written.version_id
        self._written_at = moment
        for version_id in [previous] if alone else await self._older(written.version_id):
            await self._side.store.delete(self._side.bucket, HEARTBEAT_KEY, version_id)
        self._alone = True

    async def _older(self, newest: str) -> list[str]:
        """Every beat but the newest: of a daemon before us, or of a try that went wrong."""
        found = await self._side.lister.history(self._side.bucket, HEARTBEAT_KEY)
        return [entry.version_id for entry in found if entry.version_id != newest]

    def accept(self, hint: Hint, *, grace_s: float) -> float | None:
        """A beat's hint came: the time up to which all is known, or None if it tells nothing.

        A late hint of an older beat must not vouch for a newer one: the event's own time
        counts where it is earlier. `grace_s` is how far the feed may reorder.
        """
        if not self._written_at or hint.bucket != self._side.bucket:
            return None
        moment = min(self._written_at, hint.at) if hint.at else 0.0
        if moment <= self._accepted_at:
            return None
        self._accepted_at = moment
        return moment - grace_s
