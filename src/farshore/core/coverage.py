"""Up to when the feeds have told of every change in every bucket of a pair.

All times are Unix seconds by the source's clock. Nothing here reads a clock.

A heartbeat of a bucket that came through a feed vouches for that bucket and that feed: what
the feed tells of the bucket is complete up to the beat's time, less by how much the feed may
be late (`core.rollcall`). Nobody says which feed serves which bucket: a bucket is covered as
far as the best of the feeds that have brought its heartbeats, and the pair as far as its
slowest bucket. A bucket whose heartbeats no feed brings is covered by scans alone, and so is
the pair with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Beat(NamedTuple):
    """The newest heartbeat of one bucket through one feed, and up to when it vouches."""

    written_at: float
    complete_until: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """One state; every event answers the next one. `beats`: by bucket and feed."""

    buckets: frozenset[str] = frozenset()
    beats: Mapping[tuple[str, str], Beat] = field(default_factory=dict)

    @classmethod
    def of(cls, buckets: Collection[str]) -> Coverage:
        """Of these buckets, of which nothing has been heard yet."""
        return cls(frozenset(buckets))

    def heard(self, bucket: str, feed: str, written_at: float, until: float) -> Coverage:
        """A heartbeat came through, and with it all that the feed has to tell of changes before
        `until`. An older one than before, or of another bucket, says nothing new."""
        known = self.beats.get((bucket, feed))
        beat = Beat(written_at, until)
        if known is not None:
            beat = Beat(max(written_at, known.written_at), max(until, known.complete_until))
        if bucket not in self.buckets or beat == known:
            return self
        return replace(self, beats={**self.beats, (bucket, feed): beat})

    def lost(self, feed: str) -> Coverage:
        """The feed may have lost something: what it brought before vouches for nothing."""
        kept = {name: beat for name, beat in self.beats.items() if name[1] != feed}
        return self if len(kept) == len(self.beats) else replace(self, beats=kept)

    @property
    def complete_until(self) -> float | None:
        """All changes of all buckets before it have been told; None: not known."""
        return self._slowest([beat.complete_until for beat in self._of(b)] for b in self.buckets)

    @property
    def heard_at(self) -> float | None:
        """When the newest heartbeat of the slowest bucket was written; None: one has none."""
        return self._slowest([beat.written_at for beat in self._of(b)] for b in self.buckets)

    @property
    def unheard(self) -> tuple[str, ...]:
        """Buckets without a heartbeat through any feed, in order."""
        return tuple(sorted(bucket for bucket in self.buckets if not self._of(bucket)))

    def _of(self, bucket: str) -> list[Beat]:
        return [beat for (name, _), beat in self.beats.items() if name == bucket]

    @staticmethod
    def _slowest(of_buckets: Iterable[list[float]]) -> float | None:
        best = [max(moments, default=None) for moments in of_buckets]
        known = [moment for moment in best if moment is not None]
        return min(known) if known and len(known) == len(best) else None
