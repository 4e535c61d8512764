"""Ledgers: entries that were left out for good, counted for ever, the latest kept by name.

    expired     versions that were gone from the source before they were copied
    cancelled   delete markers that waited, and whose rule no longer wants them
    late        versions and markers that arrived late at the target, and were purged there

In the state file; losing it costs the count, nothing else.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from farshore.journal.names import as_bytes, as_text
from farshore.journal.statefile import IN_MEMORY, opened, reporting

ROWS_MAX = 100_000
"""Entries that are kept by name, the latest; older ones are only counted."""

PRUNE_EVERY = 1_000
"""Entries after which those beyond `ROWS_MAX` are forgotten: until then there may be more."""

PAGE_ROWS = 1_000
"""Entries that are read at one time: whoever writes need not wait for a long list."""

Name = Literal["expired", "cancelled", "late"]

TABLE = """
CREATE TABLE IF NOT EXISTS {name} (
    bucket     BLOB NOT NULL,   -- the source's; names as bytes, as in the backlog
    key        BLOB NOT NULL,
    version_id TEXT NOT NULL,
    at         REAL NOT NULL,   -- when it was found, by our clock
    PRIMARY KEY (bucket, key, version_id)
) STRICT, WITHOUT ROWID
"""

BY_TIME = "CREATE INDEX IF NOT EXISTS {name}_by_time ON {name} (at)"

TOTAL_TABLE = """
CREATE TABLE IF NOT EXISTS {name}_total (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    count INTEGER NOT NULL
) STRICT
"""
FIRST_TOTAL = "INSERT OR IGNORE INTO {name}_total VALUES (1, 0)"

RECORD = "INSERT OR IGNORE INTO {name} VALUES (?, ?, ?, ?)"
COUNT = "UPDATE {name}_total SET count = count + ? RETURNING count"
PRUNE = """
DELETE FROM {name} WHERE at < (SELECT at FROM {name} ORDER BY at DESC LIMIT 1 OFFSET {rows})
"""

TOTAL = "SELECT count FROM {name}_total"
SINCE = "SELECT count(*) FROM {name} WHERE at >= ?"
BELOW = "substr(key, 1, length(:prefix)) = :prefix"
KEPT = f"SELECT count(*) FROM {{name}} WHERE {BELOW}"
PAGE = f"""
SELECT bucket, key, version_id, at FROM {{name}}
WHERE at <= :at AND (at < :at OR (bucket, key, version_id) > (:bucket, :key, :version_id))
  AND {BELOW}
ORDER BY at DESC, bucket, key, version_id LIMIT :limit
"""


class LeftOut(NamedTuple):
    """One version or marker; `at`: when it was found to be left out, by our clock."""

    bucket: str
    key: str
    version_id: str
    at: float


_BEFORE_ALL = LeftOut("", "", "", math.inf)


class Ledger:
    """One ledger of one pair. Raises only `StateError`.

    Each entry is counted once, however often it is recorded.
    """

    def __init__(self, name: Name, path: Path = IN_MEMORY) -> None:
        self._name = name
        self._path = path
        schema = (TABLE, BY_TIME, TOTAL_TABLE, FIRST_TOTAL)
        self._db = opened(path, *(self._sql(statement) for statement in schema))

    def _sql(self, statement: str) -> str:
        return statement.format(name=self._name, rows=ROWS_MAX)

    def record(self, found: Sequence[LeftOut]) -> None:
        """Remember them, on the disk when it returns."""
        with reporting(self._path, "written"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                rows = [(as_bytes(e.bucket), as_bytes(e.key), e.version_id, e.at) for e in found]
                new = sum(self._db.execute(self._sql(RECORD), row).rowcount for row in rows)
                ((count,),) = self._db.execute(self._sql(COUNT), (new,)).fetchall()
                if count // PRUNE_EVERY > (count - new) // PRUNE_EVERY:
                    self._db.execute(self._sql(PRUNE))
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise

    def total(self) -> int:
        """All that there ever were, as far as this state file goes back."""
        return self._number(TOTAL)

    def since(self, at: float) -> int:
        """How many were found since then, of those that are kept by name."""
        return self._number(SINCE, (at,))

    def kept(self, prefix: str = "") -> int:
        """How many of the keys that begin with `prefix` are kept by name."""
        return self._number(KEPT, {"prefix": as_bytes(prefix)})

    def _number(self, question: str, values: Sequence[float] | dict[str, bytes] = ()) -> int:
        with reporting(self._path, "read"):
            (number,) = self._db.execute(self._sql(question), values).fetchone()
        return int(number)

    def latest(self, limit: int) -> list[LeftOut]:
        """The newest first."""
        return self._page(_BEFORE_ALL, "", limit)

    def pages(self, prefix: str = "") -> Iterator[list[LeftOut]]:
        """All that is kept by name, the newest first, so many at a time. What is recorded
        meanwhile may be missing."""
        last = _BEFORE_ALL
        while page := self._page(last, prefix, PAGE_ROWS):
            yield page
            last = page[-1]

    def _page(self, last: LeftOut, prefix: str, limit: int) -> list[LeftOut]:
        """What comes after `last`."""
        values = {
            **last._asdict(),
            "bucket": as_bytes(last.bucket),
            "key": as_bytes(last.key),
            "prefix": as_bytes(prefix),
            "limit": limit,
        }
        with reporting(self._path, "read"):
            return [
                LeftOut(as_text(bucket), as_text(key), version_id, at)
                for bucket, key, version_id, at in self._db.execute(self._sql(PAGE), values)
            ]

    def close(self) -> None:
        """Give the file back."""
        self._db.close()


class Ledgers(NamedTuple):
    """All ledgers of one pair."""

    expired: Ledger
    cancelled: Ledger
    late: Ledger

    @classmethod
    def at(cls, path: Path = IN_MEMORY) -> Ledgers:
        """All in one state file."""
        return cls(Ledger("expired", path), Ledger("cancelled", path), Ledger("late", path))

    def close(self) -> None:
        """Give the file back."""
        for ledger in self:
            ledger.close()
