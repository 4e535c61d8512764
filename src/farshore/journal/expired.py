"""Versions that were gone from the source before they were copied: counted for ever, and the
latest of them kept by name. In the state file; losing it costs the count, nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from farshore.journal.statefile import IN_MEMORY, opened, reporting

ROWS_MAX = 10_000
"""Versions that are kept by name, the latest; older ones are only counted."""

EXPIRED_TABLE = """
CREATE TABLE IF NOT EXISTS expired (
    bucket     BLOB NOT NULL,   -- the source's; names as bytes, as in the backlog
    key        BLOB NOT NULL,
    version_id TEXT NOT NULL,
    at         REAL NOT NULL,   -- when it was found to be gone, by our clock
    PRIMARY KEY (bucket, key, version_id)
) STRICT, WITHOUT ROWID
"""

BY_TIME = "CREATE INDEX IF NOT EXISTS expired_by_time ON expired (at)"

TOTAL_TABLE = """
CREATE TABLE IF NOT EXISTS expired_total (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    count INTEGER NOT NULL
) STRICT
"""
FIRST_TOTAL = "INSERT OR IGNORE INTO expired_total VALUES (1, 0)"

RECORD = "INSERT OR IGNORE INTO expired VALUES (?, ?, ?, ?)"
COUNT = "UPDATE expired_total SET count = count + ?"
PRUNE = f"""
DELETE FROM expired WHERE at < (SELECT at FROM expired ORDER BY at DESC LIMIT 1 OFFSET {ROWS_MAX})
"""

TOTAL = "SELECT count FROM expired_total"
SINCE = "SELECT count(*) FROM expired WHERE at >= ?"
LATEST = """
SELECT bucket, key, version_id, at FROM expired ORDER BY at DESC, bucket, key, version_id LIMIT ?
"""


class Expired(NamedTuple):
    """One version that nobody can copy any more; `at`: when that was found."""

    bucket: str
    key: str
    version_id: str
    at: float


class ExpiredVersions:
    """The versions of one pair that expired before they were replicated. Raises only `StateError`.

    Each is counted once, however often it is recorded.
    """

    def __init__(self, path: Path = IN_MEMORY) -> None:
        self._path = path
        self._db = opened(path, EXPIRED_TABLE, BY_TIME, TOTAL_TABLE, FIRST_TOTAL)

    def record(self, found: Sequence[Expired]) -> None:
        """Remember them, on the disk when it returns."""
        with reporting(self._path, "written"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                rows = [(_bytes(e.bucket), _bytes(e.key), e.version_id, e.at) for e in found]
                new = sum(self._db.execute(RECORD, row).rowcount for row in rows)
                self._db.execute(COUNT, (new,))
                self._db.execute(PRUNE)
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise

    def total(self) -> int:
        """All that there ever were, as far as this state file goes back."""
        return self._number(TOTAL)

    def since(self, at: float) -> int:
        """How many were found since then; at most `ROWS_MAX`."""
        return self._number(SINCE, at)

    def _number(self, question: str, *values: float) -> int:
        with reporting(self._path, "read"):
            (number,) = self._db.execute(question, values).fetchone()
        return int(number)

    def latest(self, limit: int) -> list[Expired]:
        """The newest first."""
        with reporting(self._path, "read"):
            return [
                Expired(_text(bucket), _text(key), version_id, at)
                for bucket, key, version_id, at in self._db.execute(LATEST, (limit,))
            ]

    def close(self) -> None:
        """Give the file back."""
        self._db.close()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
