"""Doubts: writes to the target whose answer was lost, kept until they can no longer arrive.

In the state file, and in memory for who asks before every lane. Losing them costs time: the
next scan finds a replica that stands twice (`engine/reconcile.py`).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from farshore.clock import Clock
from farshore.core.late import LATE_MAX_S, Doubt
from farshore.journal.names import as_bytes, as_text
from farshore.journal.statefile import IN_MEMORY, opened, reporting

OF_A_KEY_MAX = 100
"""Doubts about one key that are kept; what is beyond is found by a scan."""

KEYS_MAX = 100_000
"""Keys with doubts, some 50 MiB; what is beyond is found by a scan."""

TABLE = """
CREATE TABLE IF NOT EXISTS doubt (
    id         INTEGER PRIMARY KEY,
    bucket     BLOB    NOT NULL,  -- the target's; names as bytes, as in the backlog
    key        BLOB    NOT NULL,
    version_id TEXT    NOT NULL,  -- of the source
    is_marker  INTEGER NOT NULL,
    above      TEXT    NOT NULL,  -- the target's version id, '' for nothing
    at         REAL    NOT NULL
) STRICT
"""

ALL = "SELECT bucket, key, version_id, is_marker, above, at FROM doubt ORDER BY id"
NOTE = "INSERT INTO doubt VALUES (NULL, ?, ?, ?, ?, ?, ?)"
FORGET = "DELETE FROM doubt WHERE bucket = ? AND key = ? AND at <= ?"


class Doubts:
    """Of one pair, for one process at a time. Raises only `StateError`."""

    def __init__(
        self,
        clock: Clock,
        path: Path = IN_MEMORY,
        *,
        late_max_s: float = LATE_MAX_S,
        keys_max: int = KEYS_MAX,
    ) -> None:
        self.late_max_s = late_max_s
        self._keys_max = keys_max
        self._clock = clock
        self._path = path
        self._db = opened(path, TABLE)
        self._open: dict[tuple[str, str], list[Doubt]] = defaultdict(list)
        with reporting(path, "read"):
            for bucket, key, version_id, is_marker, above, at in self._db.execute(ALL):
                doubt = Doubt(version_id, bool(is_marker), above, at)
                self._open[as_text(bucket), as_text(key)].append(doubt)

    def note(self, bucket: str, key: str, version_id: str, above: str, *, is_marker: bool) -> None:
        """A write was given up just now: see `Doubt`. On the disk when it returns, but for a
        power cut."""
        doubt = Doubt(version_id, is_marker, above, self._clock.now())
        rows = self._open.get((bucket, key), [])
        if len(rows) < (OF_A_KEY_MAX if rows or len(self._open) < self._keys_max else 0):
            with reporting(self._path, "written"):
                self._db.execute(NOTE, (as_bytes(bucket), as_bytes(key), *doubt))
            self._open[bucket, key].append(doubt)

    def of(self, bucket: str, key: str) -> list[Doubt]:
        """The open ones, the oldest first."""
        return list(self._open.get((bucket, key), ()))

    def doubtful(self) -> list[tuple[str, str]]:
        """Every key with an open one: (bucket, key)."""
        return list(self._open)

    def looked(self, bucket: str, key: str, at: float) -> list[Doubt]:
        """The key was looked at, at that time: what could no longer arrive then is forgotten.
        Answers what is still open."""
        rows = self._open.get((bucket, key))
        if rows is None:
            return []
        over = at - self.late_max_s
        left = [doubt for doubt in rows if doubt.at > over]
        if len(left) < len(rows):
            with reporting(self._path, "written"):
                self._db.execute(FORGET, (as_bytes(bucket), as_bytes(key), over))
            self._open[bucket, key] = left
        if not left:
            del self._open[bucket, key]
        return list(left)

    def close(self) -> None:
        """Give the file back. What was written stays."""
        self._db.close()
