"""What the feeds have told, of all the buckets that they should tell of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from farshore.core.coverage import Coverage


class Heard:
    """Coverage of the buckets that are replicated, and of those that should be.

    Where buckets are named by patterns, a new one may appear at any time, and no feed need
    tell of it. So nothing is taken for complete beyond the last listing of buckets, and
    nothing at all while one of them is not replicated.
    """

    def __init__(self) -> None:
        self._coverage = Coverage()
        self._listed_at: float | None = None
        self._heard_at: float | None = None
        self.late_s = 0.0
        self.unserved: tuple[str, ...] = ()

    def begin(self, buckets: Collection[str]) -> None:
        """These are replicated now; nothing has been heard of them yet."""
        self._coverage = Coverage.of(buckets)
        self._listed_at, self.unserved = None, ()

    def beat(self, bucket: str, feed: str, at: float, until: float) -> None:
        """A heartbeat of `at` came through; the feed has told all changes before `until`."""
        self._coverage = self._coverage.heard(bucket, feed, at, until)
        self._heard_at = self._coverage.heard_at or self._heard_at
        told = self._coverage.complete_until
        if told is not None and self._heard_at is not None:
            self.late_s = max(self._heard_at - told, 0.0)

    def lost(self, feed: str) -> None:
        self._coverage = self._coverage.lost(feed)

    def buckets_listed(self, at: float, unserved: Sequence[str]) -> None:
        """All buckets that there were at `at` have been looked at."""
        self._listed_at, self.unserved = at, tuple(unserved)

    @property
    def complete_until(self) -> float | None:
        """All changes before it have been told; None: not known."""
        until = self._coverage.complete_until
        if until is None or self.unserved:
            return None
        return until if self._listed_at is None else min(until, self._listed_at)

    @property
    def heard_at(self) -> float | None:
        """When the newest heartbeat of the slowest bucket was written; None: none ever came
        of all of them. It stays known while replication stands still."""
        return self._heard_at

    @property
    def unheard(self) -> tuple[str, ...]:
        """Buckets of which no heartbeat has come, while some of others have."""
        silent = self._coverage.unheard
        return () if len(silent) == len(self._coverage.buckets) else silent

    def unserved_text(self) -> str:
        """ "bucket a is", "buckets a, b are"."""
        names = ", ".join(self.unserved)
        return f"buckets {names} are" if len(self.unserved) > 1 else f"bucket {names} is"
