"""Doubts: writes to the target whose answer was lost, kept until they can no longer arrive.

In the state file, and in memory for who asks before every lane. Losing them costs time: the
next scan finds a replica that stands twice (`engine/reconcile.py`).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from farshore.clock import Clock
from farshore.core.late import LATE_MAX_S, Doubt, next_look_in
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
    at         REAL    NOT NULL   -- Unix seconds, for people
) STRICT
"""

ALL = "SELECT id, bucket, key, version_id, is_marker, above FROM doubt ORDER BY id"
NOTE = "INSERT INTO doubt VALUES (NULL, ?, ?, ?, ?, ?, ?)"
FORGET = "DELETE FROM doubt WHERE id = ?"


class _Open(NamedTuple):
    """`row`: of the table. `since`: monotonic seconds."""

    row: int
    doubt: Doubt
    since: float


class Doubts:
    """Of one pair, for one process at a time. Raises only `StateError`.

    Ages are told by the monotonic clock: a machine whose clock is set forward forgets nothing too
    early. What an earlier process noted begins anew with this one.
    """

    def __init__(
        self,
        clock: Clock,
        path: Path = IN_MEMORY,
        *,
        late_max_s: float = LATE_MAX_S,
        keys_max: int = KEYS_MAX,
    ) -> None:
        self._late_max_s = late_max_s
        self._keys_max = keys_max
        self._clock = clock
        self._path = path
        self._db = opened(path, TABLE)
        self._open: dict[tuple[str, str], list[_Open]] = defaultdict(list)
        now = clock.monotonic()
        with reporting(path, "read"):
            for row, bucket, key, version_id, is_marker, above in self._db.execute(ALL):
                doubt = Doubt(version_id, bool(is_marker), above)
                self._open[as_text(bucket), as_text(key)].append(_Open(row, doubt, now))

    def note(self, bucket: str, key: str, version_id: str, above: str, *, is_marker: bool) -> None:
        """A write was given up just now: see `Doubt`. On the disk when it returns, but for a
        power cut."""
        rows = self._open.get((bucket, key), [])
        if len(rows) >= (OF_A_KEY_MAX if rows or len(self._open) < self._keys_max else 0):
            return
        doubt = Doubt(version_id, is_marker, above)
        with reporting(self._path, "written"):
            names = as_bytes(bucket), as_bytes(key)
            row = self._db.execute(NOTE, (*names, *doubt, self._clock.now())).lastrowid or 0
        self._open[bucket, key].append(_Open(row, doubt, self._clock.monotonic()))

    def of(self, bucket: str, key: str) -> list[Doubt]:
        """The open ones, the oldest first."""
        return [one.doubt for one in self._open.get((bucket, key), ())]

    def doubtful(self) -> list[tuple[str, str]]:
        """Every key with an open one: (bucket, key)."""
        return list(self._open)

    def looked(self, bucket: str, key: str, at: float) -> float | None:
        """The key was looked at, at that monotonic time: what could no longer arrive then is
        forgotten. In how many seconds it is to be looked at again; None: no more."""
        rows = self._open.get((bucket, key))
        if rows is None:
            return None
        over = [one for one in rows if one.since <= at - self._late_max_s]
        if over:
            with reporting(self._path, "written"):
                self._db.executemany(FORGET, [(one.row,) for one in over])
            self._open[bucket, key] = rows = rows[len(over) :]
        if not rows:
            del self._open[bucket, key]
            return None
        now = self._clock.monotonic()
        return next_look_in([now - one.since for one in rows], self._late_max_s)

    def close(self) -> None:
        """Give the file back. What was written stays."""
        self._db.close()
