"""Deletes that wait for a person, and what was decided about each: a cache in the state file.

The delete guard writes here what it holds before it says so; a person releases or discards
exactly these markers, by their version ids on the source. A later delete of the same key is
another one. What stands here is kept on the target, too, by `control.held`: a lost file costs
nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from farshore.journal.names import as_bytes, as_text
from farshore.journal.statefile import IN_MEMORY, opened, reporting

Decision = Literal["held", "released", "discarded"]

ROWS_MAX = 1_000_000
"""Deletes that are listed or decided in one go."""

KNOWN_MAX = 100_000
"""Deletes whose names are kept in memory, some 30 MiB, so that lanes of other keys need not ask
the file; where more stand, they ask."""

DELETE_TABLE = """
CREATE TABLE IF NOT EXISTS waiting_delete (
    bucket     BLOB NOT NULL,   -- the source's; names as bytes, as in the backlog
    key        BLOB NOT NULL,
    version_id TEXT NOT NULL,   -- of the marker that is the key's newest entry on the source
    held_at    REAL NOT NULL,
    decision   TEXT NOT NULL CHECK (decision IN ('held', 'released', 'discarded')),
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID
"""

BY_DECISION = "CREATE INDEX IF NOT EXISTS waiting_delete_by_decision ON waiting_delete (decision)"

# Who said what, and when: kept when the rows themselves are gone.
DECIDED_TABLE = """
CREATE TABLE IF NOT EXISTS delete_decision (
    id       INTEGER PRIMARY KEY,
    decision TEXT NOT NULL,
    by       TEXT NOT NULL,
    host     TEXT NOT NULL,
    at       REAL NOT NULL,
    prefix   TEXT NOT NULL,
    count    INTEGER NOT NULL
) STRICT
"""

EDITION_TABLE = """
CREATE TABLE IF NOT EXISTS delete_edition (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    edition TEXT NOT NULL  -- the last that was published from this file: see control.held
) STRICT
"""

HOLD = """
INSERT INTO waiting_delete VALUES (?1, ?2, ?3, ?4, 'held')
ON CONFLICT (bucket, key) DO UPDATE SET
    version_id = excluded.version_id, held_at = excluded.held_at, decision = 'held'
WHERE version_id != excluded.version_id
"""

ONE = "SELECT decision FROM waiting_delete WHERE bucket = ? AND key = ? AND version_id = ?"

BELOW = "substr(key, 1, length(:prefix)) = :prefix"

ROWS = f"""
SELECT bucket, key, version_id, held_at FROM waiting_delete
WHERE decision = :decision AND {BELOW}
ORDER BY bucket, key LIMIT :limit
"""

KEYS = f"SELECT key FROM waiting_delete WHERE bucket = :bucket AND {BELOW}"

COUNT = "SELECT count(*) FROM waiting_delete WHERE decision = ?"

ANY_HELD = "SELECT EXISTS (SELECT 1 FROM waiting_delete WHERE decision = 'held')"

DECIDE = """
UPDATE waiting_delete SET decision = ?
WHERE bucket = ? AND key = ? AND version_id = ? AND decision = 'held'
"""

RECORD = "INSERT INTO delete_decision VALUES (NULL, ?, ?, ?, ?, ?, ?)"

LAST = "SELECT coalesce(max(id), 0) FROM delete_decision"

SETTLE = """
DELETE FROM waiting_delete
WHERE bucket = ? AND key = ? AND NOT (decision = 'discarded' AND version_id = ?)
"""

NAMES = "SELECT bucket, key FROM waiting_delete"
ONE_NAME = f"{NAMES} WHERE bucket = ? AND key = ?"
SOME_NAMES = f"{NAMES} LIMIT ?"

ALL = "SELECT bucket, key, version_id, held_at, decision FROM waiting_delete ORDER BY bucket, key"

OF_NAME = """
SELECT bucket, key, version_id, held_at, decision FROM waiting_delete
WHERE bucket = ? AND key = ?
"""

INSERT = "INSERT INTO waiting_delete VALUES (?, ?, ?, ?, ?)"

EDITION = "SELECT edition FROM delete_edition"

SET_EDITION = "INSERT OR REPLACE INTO delete_edition VALUES (1, ?)"


class HeldDelete(NamedTuple):
    """One delete marker of the source that the guard has held since `held_at` (our clock)."""

    bucket: str
    key: str
    version_id: str
    held_at: float


class StandingDelete(NamedTuple):
    """A delete that the guard has held, and what has become of it."""

    bucket: str
    key: str
    version_id: str
    held_at: float
    decision: Decision

    @property
    def name(self) -> tuple[str, str]:
        """Of one key one delete stands at most: its newest."""
        return self.bucket, self.key

    def held(self) -> HeldDelete:
        """As the guard knows it."""
        return HeldDelete(self.bucket, self.key, self.version_id, self.held_at)


class Verdict(NamedTuple):
    """What a person decided: who, on which machine, when, about keys below which prefix."""

    decision: Literal["released", "discarded"]
    by: str
    host: str
    at: float
    prefix: str = ""


class WaitingDeletes:
    """The deletes of one pair that wait, or waited, for a person. Raises only `StateError`.

    Whoever holds the pair's lease writes here; others read what is kept on the target.
    """

    def __init__(self, path: Path = IN_MEMORY, *, known_max: int = KNOWN_MAX) -> None:
        self._path = path
        self._known_max = known_max
        self._db = opened(path, DELETE_TABLE, BY_DECISION, DECIDED_TABLE, EDITION_TABLE)
        self._changed: set[tuple[str, str]] = set()  # until the next exchange takes them
        self._known: set[tuple[bytes, bytes]] | None = None  # None: too many
        self._learn()

    def _learn(self) -> None:
        """Which keys have a delete that stands here."""
        with reporting(self._path, "read"):
            names = set(self._db.execute(SOME_NAMES, (self._known_max + 1,)))
        self._known = names if len(names) <= self._known_max else None

    def _may_stand(self, name: tuple[bytes, bytes]) -> bool:
        """Whether one of this key stands here, or did when this was opened."""
        if self._known is not None:
            return name in self._known
        with reporting(self._path, "read"):
            return self._db.execute(ONE_NAME, name).fetchone() is not None

    @classmethod
    def of(cls, rows: Iterable[StandingDelete]) -> WaitingDeletes:
        """In memory: what somebody else keeps."""
        made = cls()
        made.replace(rows, "")
        return made

    # -- what is kept on the target, too ---------------------------------------------

    @property
    def edition(self) -> str:
        """Of what was last published from here; "" for nothing."""
        with reporting(self._path, "read"):
            row = self._db.execute(EDITION).fetchone()
        return str(row[0]) if row else ""

    def published(self, edition: str) -> None:
        """This edition stands on the target, and says what stands here."""
        with reporting(self._path, "written"):
            self._db.execute(SET_EDITION, (edition,))

    def standing(self) -> list[StandingDelete]:
        """Everything, by bucket and key."""
        with reporting(self._path, "read"):
            return [_standing(row) for row in self._db.execute(ALL)]

    def standing_at(self, names: Iterable[tuple[str, str]]) -> list[StandingDelete]:
        """What stands for these (bucket, key), as far as anything does."""
        with reporting(self._path, "read"):
            found = (self._db.execute(OF_NAME, _name(*name)).fetchone() for name in names)
            return [_standing(row) for row in found if row is not None]

    def take_changed(self) -> set[tuple[str, str]]:
        """(bucket, key) of all that has changed since this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def replace(self, rows: Iterable[StandingDelete], edition: str) -> None:
        """Forget what stands here: this is how things are."""
        values = [
            (*_name(row.bucket, row.key), row.version_id, row.held_at, row.decision) for row in rows
        ]
        with reporting(self._path, "written"), self._at_once():
            self._db.execute("DELETE FROM waiting_delete")
            self._db.executemany(INSERT, values)
            self._db.execute(SET_EDITION, (edition,))
        self._learn()
        self._changed = set()

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise

    # -- the guard's questions ---------------------------------------------------------

    def hold(self, delete: HeldDelete) -> None:
        """Remember a delete that waits. What was decided about this very one stays."""
        name = _name(delete.bucket, delete.key)
        with reporting(self._path, "written"):
            self._db.execute(HOLD, (*name, delete.version_id, delete.held_at))
        if self._known is not None:
            self._known.add(name)
            if len(self._known) > self._known_max:
                self._known = None
        self._changed.add((delete.bucket, delete.key))

    def is_decided(self, bucket: str, key: str, version_id: str, decision: Decision) -> bool:
        """Whether this is how things stand for this marker."""
        name = _name(bucket, key)
        if not self._may_stand(name):
            return False
        with reporting(self._path, "read"):
            row = self._db.execute(ONE, (*name, version_id)).fetchone()
        return row is not None and row[0] == decision

    def is_discarded(self, bucket: str, key: str, version_id: str) -> bool:
        """Whether a person said that this marker is not to be replicated."""
        return self.is_decided(bucket, key, version_id, "discarded")

    def is_held(self, bucket: str, key: str, version_id: str) -> bool:
        """Whether this marker waits for a person."""
        return self.is_decided(bucket, key, version_id, "held")

    def rows(self, decision: Decision = "held", prefix: str = "") -> list[HeldDelete]:
        """Up to `ROWS_MAX`, by bucket and key."""
        values = {"decision": decision, "prefix": as_bytes(prefix), "limit": ROWS_MAX}
        with reporting(self._path, "read"):
            return [
                HeldDelete(as_text(bucket), as_text(key), version_id, held_at)
                for bucket, key, version_id, held_at in self._db.execute(ROWS, values)
            ]

    def keys(self, bucket: str, prefix: str = "") -> set[str]:
        """Keys of this bucket with a delete that stands here, whatever was decided about it."""
        values = {"bucket": as_bytes(bucket), "prefix": as_bytes(prefix)}
        with reporting(self._path, "read"):
            return {as_text(key) for (key,) in self._db.execute(KEYS, values)}

    def count(self, decision: Decision) -> int:
        """How many stand so."""
        with reporting(self._path, "read"):
            (count,) = self._db.execute(COUNT, (decision,)).fetchone()
        return int(count)

    def any_held(self) -> bool:
        """Whether anything waits for a person."""
        with reporting(self._path, "read"):
            return bool(self._db.execute(ANY_HELD).fetchone()[0])

    def verdicts(self) -> int:
        """How many times a person has decided so far."""
        with reporting(self._path, "read"):
            return int(self._db.execute(LAST).fetchone()[0])

    def decide(self, held: Sequence[HeldDelete], verdict: Verdict) -> list[HeldDelete]:
        """Decide about exactly these, as far as they still wait; answers which did."""
        with reporting(self._path, "written"), self._at_once():
            decided = [row for row in held if self._decide(row, verdict)]
            words = (*verdict[:4], verdict.prefix, len(decided))
            self._db.execute(RECORD, words)
        self._changed.update((row.bucket, row.key) for row in decided)
        return decided

    def _decide(self, row: HeldDelete, verdict: Verdict) -> bool:
        values = (verdict.decision, *_name(row.bucket, row.key), row.version_id)
        return self._db.execute(DECIDE, values).rowcount == 1

    def settled(self, bucket: str, key: str, newest: str) -> None:
        """The key is in step. `newest`: its newest version id on the source, "" for none.

        All is forgotten, but that its newest entry was discarded.
        """
        name = _name(bucket, key)
        if not self._may_stand(name):
            return
        with reporting(self._path, "written"):
            if not self._db.execute(SETTLE, (*name, newest)).rowcount:
                return
            self._changed.add((bucket, key))
            if self._known is not None:
                self._known.discard(name)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()


def _standing(row: tuple[bytes, bytes, str, float, Decision]) -> StandingDelete:
    bucket, key, version_id, held_at, decision = row
    return StandingDelete(as_text(bucket), as_text(key), version_id, held_at, decision)


def _name(bucket: str, key: str) -> tuple[bytes, bytes]:
    return as_bytes(bucket), as_bytes(key)
