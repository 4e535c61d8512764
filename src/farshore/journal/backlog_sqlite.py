"""The backlog in the state file. See `farshore.journal.backlog.Backlog` for what it promises."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from farshore.core.plan import holds_back
from farshore.journal.backlog import (
    LIVE,
    NAMED_MAX,
    PRIORITY_MAX,
    BacklogSummary,
    Change,
    Group,
    Noted,
    Taker,
    Work,
    folded,
    merged,
    storable,
)
from farshore.journal.flight import Flight
from farshore.journal.groupcommit import GROUP_ROWS_MAX, GroupCommit
from farshore.journal.names import as_bytes, as_text
from farshore.journal.statefile import opened, reporting

STATE_BYTES_MAX = 16 << 30
"""The state file grows no further: some fifty million waiting keys."""

# Names are kept as bytes: they sort as S3 sorts them, and no text that a server or an
# event may send can fail to be stored.
WORK = f"""
CREATE TABLE IF NOT EXISTS work (
    id          INTEGER PRIMARY KEY,  -- rises: rows and their turns are appended, not scattered
    bucket      BLOB    NOT NULL,
    key         BLOB    NOT NULL,
    since       REAL    NOT NULL,  -- source's clock: the oldest change that is not applied
    generation  INTEGER NOT NULL,  -- of the latest note
    settled     INTEGER NOT NULL,  -- notes up to this generation are done, or put back
    priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND {PRIORITY_MAX}),
    attempts    INTEGER NOT NULL CHECK (attempts >= 0),
    due_at      REAL    NOT NULL,
    size        INTEGER NOT NULL CHECK (size >= 0),
    reason      TEXT    NOT NULL,  -- '' or one of core.plan.Reason
    cause       TEXT    NOT NULL,
    explanation TEXT    NOT NULL,
    UNIQUE (bucket, key),
    CHECK (settled <= generation)
) STRICT
"""

BY_TURN = "CREATE INDEX IF NOT EXISTS work_by_turn ON work (priority, due_at, id)"

# Covers the summary, which is asked for every few seconds, whatever waits.
BY_STANDING = (
    "CREATE INDEX IF NOT EXISTS work_by_standing ON work (reason, cause, since, size, due_at)"
)

# How many notes were ever made: a generation is never used twice, also after its row is gone.
NOTES = """
CREATE TABLE IF NOT EXISTS notes (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    count INTEGER NOT NULL
) STRICT
"""
FIRST_NOTES = "INSERT OR IGNORE INTO notes VALUES (1, 0)"

CURSOR = """
CREATE TABLE IF NOT EXISTS cursor (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""

# Versions that hints named: what is gone before anybody looked is told by its name.
NAMED = """
CREATE TABLE IF NOT EXISTS named (
    bucket     BLOB    NOT NULL,
    key        BLOB    NOT NULL,
    version_id TEXT    NOT NULL,
    generation INTEGER NOT NULL,  -- of the note that named it last
    PRIMARY KEY (bucket, key, version_id)
) STRICT, WITHOUT ROWID
"""

SCHEMA = (WORK, BY_TURN, BY_STANDING, NOTES, FIRST_NOTES, CURSOR, NAMED)

NAME = f"""
INSERT INTO named SELECT ?1, ?2, ?3, ?4
WHERE (SELECT count(*) FROM named WHERE bucket = ?1 AND key = ?2) < {NAMED_MAX}
ON CONFLICT (bucket, key, version_id) DO UPDATE SET generation = excluded.generation
"""

NAMES = "SELECT version_id FROM named WHERE bucket = ? AND key = ? AND generation <= ?"
UNNAME = "DELETE FROM named WHERE bucket = ? AND key = ? AND generation <= ?"

COUNT_NOTES = "UPDATE notes SET count = count + ? RETURNING count"

# A later change of a key whose older ones are excused: this one is not, as far as we know.
NEWS = "excluded.since > since AND NOT holds_back(reason, cause)"

NOTE = f"""
INSERT INTO work VALUES (NULL, ?1, ?2, ?3, ?4, ?4 - 1, ?5, 0, ?6, ?7, '', '', '')
ON CONFLICT (bucket, key) DO UPDATE SET
    since      = iif({NEWS}, excluded.since, min(since, excluded.since)),
    generation = excluded.generation,
    priority   = max(priority, excluded.priority),
    due_at     = min(due_at, excluded.due_at),
    size       = max(size, excluded.size),
    reason      = iif({NEWS}, '', reason),
    cause       = iif({NEWS}, '', cause),
    explanation = iif({NEWS}, '', explanation)
"""

COLUMNS = """
    bucket, key, since, generation, priority, attempts, due_at, size, reason, cause, explanation
"""

NOTE_AND_TELL = f"{NOTE} RETURNING {COLUMNS}"

NEXT_PRIORITY = "SELECT max(priority) FROM work WHERE priority < ?"

# `taken` asks this process's memory: what is in flight is forgotten with it.
DUE = f"""
SELECT {COLUMNS} FROM work
WHERE priority = ? AND due_at <= ? AND NOT taken(bucket, key)
ORDER BY due_at, id
LIMIT ?
"""

REMOVE = "DELETE FROM work WHERE bucket = ? AND key = ? AND generation = ?"

# Its due time is that of the newer note, already.
RENEW = """
UPDATE work SET
    since    = coalesce(:since, since),
    size     = iif(:since IS NULL, size, :size),
    settled  = :generation,
    attempts = 0, reason = '', cause = '', explanation = ''
WHERE bucket = :bucket AND key = :key
"""

PUT_BACK = """
UPDATE work SET
    since    = iif(:holds_back AND NOT holds_back(reason, cause), max(since, :was_due_at), since),
    due_at   = iif(generation = :generation, :due_at, due_at),
    settled  = iif(:reason = '', settled, :generation),
    attempts = :attempts, reason = :reason, cause = :cause, explanation = :explanation
WHERE bucket = :bucket AND key = :key AND (generation = :generation OR :holds_back)
"""

SETTLED = "SELECT settled FROM work WHERE bucket = ? AND key = ?"

FAILED = "reason NOT IN ('', 'PENDING')"
BELOW = "(:prefix = x'' OR substr(key, 1, length(:prefix)) = :prefix)"

RETRY = f"""
UPDATE work SET due_at = 0, attempts = 0
WHERE id IN (
    SELECT id FROM work
    WHERE id > :id AND (attempts > 0 OR {FAILED}) AND {BELOW}
    ORDER BY id
    LIMIT :limit
)
RETURNING id
"""

SUMMARY = """
SELECT reason, cause, count(*), CAST(total(size) AS INTEGER), min(since), sum(due_at <= ?)
FROM work GROUP BY reason, cause
"""

ROWS = f"""
SELECT {COLUMNS} FROM work
WHERE (NOT :failed OR {FAILED}) AND {BELOW}
ORDER BY since, bucket, key
LIMIT :limit
"""

READ_CURSOR = "SELECT value FROM cursor WHERE name = ?"
WRITE_CURSOR = "INSERT OR REPLACE INTO cursor VALUES (?, ?)"


class SqliteBacklog:
    """A `Backlog` in one file; other processes may have it open too.

    Changes go through one connection, in groups; what only looks has another one, and so
    never waits for the disk behind a commit.
    """

    def __init__(self, path: Path, *, bytes_max: int = STATE_BYTES_MAX) -> None:
        self._path = path
        self._flight = Flight()
        self._taker: Taker | None = None
        db = opened(path, *SCHEMA)
        with reporting(path, "opened"):
            (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
            db.execute(f"PRAGMA max_page_count={bytes_max // page_bytes}")
            db.create_function("taken", 2, self._is_taken)
            db.create_function("holds_back", 2, holds_back, deterministic=True)
            self._group = GroupCommit(db, path)
        self._reader = opened(path)

    async def note(
        self,
        hints: Sequence[Change],
        *,
        now: float,
        priority: int = LIVE,
        durable: bool = True,
    ) -> list[tuple[str, str, int]]:
        entries = merged(hints, now)
        generations: dict[tuple[str, str], int] = {}
        for begin in range(0, len(entries), GROUP_ROWS_MAX):
            part = entries[begin : begin + GROUP_ROWS_MAX]
            offered: list[Work] = []
            last = await self._group.perform(
                partial(self._note, entries=part, now=now, priority=priority, offered=offered),
                rows=len(part),
                durable=durable,
                after=partial(self._stand_by, offered),
            )
            first = last - len(part) + 1
            generations.update({(e.bucket, e.key): first + n for n, e in enumerate(part)})
        return [(h.bucket, h.key, generations[h.bucket, h.key]) for h in hints]

    def _note(
        self,
        db: sqlite3.Connection,
        entries: Sequence[Noted],
        now: float,
        priority: int,
        offered: list[Work],
    ) -> int:
        """The last entry's generation; the others have those before it."""
        (last,) = db.execute(COUNT_NOTES, (len(entries),)).fetchall()[0]
        first = last - len(entries) + 1
        names = [
            (as_bytes(e.bucket), as_bytes(e.key), version_id, first + n)
            for n, e in enumerate(entries)
            for version_id in e.versions[:NAMED_MAX]
        ]
        db.executemany(NAME, names)
        # Should the commit fail, these times only make `since` too early: never too late.
        for entry in entries:
            self._flight.noted(*entry[:4])
        rows = [
            (as_bytes(e.bucket), as_bytes(e.key), e.since, first + n, priority, now, e.size)
            for n, e in enumerate(entries)
        ]
        told = self._offer(db, rows, offered)
        db.executemany(NOTE, rows[told:])
        return int(last)

    def offer_to(self, taker: Taker | None) -> None:
        self._taker = taker

    def _offer(
        self, db: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], offered: list[Work]
    ) -> int:
        """Note rows one by one while somebody takes them at once; answers how many."""
        for count, row in enumerate(rows):
            if self._taker is None:
                return count
            (found,) = db.execute(NOTE_AND_TELL, row).fetchall()
            work = _work(found)
            if self._flight.has(work.bucket, work.key):
                continue
            named = db.execute(NAMES, (*found[:2], work.generation))
            self._flight.take(work, [name for (name,) in named])
            if not self._taker(work):
                self._flight.release(work)
                return count + 1
            offered.append(work)
        return len(rows)

    def _stand_by(self, offered: Sequence[Work], committed: bool) -> None:
        """What was taken while its note was under way: the note stands, or it does not."""
        if not committed:
            for work in offered:
                self._flight.void(work)

    async def take(self, now: float, limit: int) -> list[Work]:
        found: list[Work] = []

        def after(committed: bool) -> None:
            if not committed:
                self._release_all(found)

        asking = asyncio.ensure_future(
            self._group.perform(lambda db: self._take(db, now, limit, found), after=after)
        )
        try:
            await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(partial(self._unheard, found))
            raise
        return found

    def _unheard(self, found: list[Work], asking: asyncio.Future[None]) -> None:
        """Nobody hears the answer, or the error: the rows must not stay taken."""
        if not asking.cancelled():
            asking.exception()
        self._release_all(found)

    def _take(self, db: sqlite3.Connection, now: float, limit: int, found: list[Work]) -> None:
        priority = PRIORITY_MAX + 1
        while priority > 0 and len(found) < limit:
            (priority,) = db.execute(NEXT_PRIORITY, (priority,)).fetchone()
            if priority is None:
                return
            rows = db.execute(DUE, (priority, now, limit - len(found))).fetchall()
            found += map(_work, rows)
            for work in found[-len(rows) :] if rows else ():
                self._flight.take(work)

    def _is_taken(self, bucket: bytes, key: bytes) -> bool:
        return self._flight.has(as_text(bucket), as_text(key))

    def _release_all(self, works: Sequence[Work]) -> None:
        for work in works:
            self._flight.release(work)

    async def done(self, work: Work) -> bool:
        def after(committed: bool) -> None:
            is_void = self._flight.is_void(work)
            self._flight.returned(work)
            if committed and not is_void:
                self._flight.land(work)

        return await self._group.perform(lambda db: self._done(db, work), after=after)

    def _done(self, db: sqlite3.Connection, work: Work) -> bool:
        if not self._flight.is_void(work):
            self._remove(db, work)
        return self._flight.newer(work)[0] is not None

    def _remove(self, db: sqlite3.Connection, work: Work) -> None:
        name = _name(work)
        db.execute(UNNAME, (name["bucket"], name["key"], work.generation))
        if db.execute(REMOVE, (name["bucket"], name["key"], work.generation)).rowcount:
            return
        self._renew(db, work)

    def _renew(self, db: sqlite3.Connection, work: Work) -> None:
        """Only what was noted since it was taken is still owed."""
        name = _name(work)
        since, size = self._flight.newer(work)
        db.execute(RENEW, {**name, "since": since, "size": size, "generation": work.generation})

    def named(self, work: Work) -> list[str]:
        if (names := self._flight.names(work)) is not None:
            return names
        values = (as_bytes(work.bucket), as_bytes(work.key), work.generation)
        with reporting(self._path, "read"):
            return [row[0] for row in self._reader.execute(NAMES, values)]

    async def put_back(
        self,
        work: Work,
        *,
        due_at: float,
        reason: str,
        cause: str,
        explanation: str,
        attempts: int,
    ) -> bool:
        def after(committed: bool) -> None:
            is_void = self._flight.is_void(work)
            self._flight.returned(work)
            if committed and reason and not is_void:
                self._flight.land(work)

        values = {
            **_name(work),
            "generation": work.generation,
            "due_at": due_at,
            "was_due_at": work.due_at,
            "reason": reason,
            "cause": storable(cause),
            "explanation": storable(explanation),
            "attempts": attempts,
            "holds_back": holds_back(reason, cause),
        }

        def operation(db: sqlite3.Connection) -> bool:
            if not self._flight.is_void(work) and not db.execute(PUT_BACK, values).rowcount:
                self._renew(db, work)
            return self._flight.newer(work)[0] is not None

        return await self._group.perform(operation, durable=bool(reason), after=after)

    def release(self, work: Work) -> None:
        self._flight.release(work)

    async def applied(self, bucket: str, key: str, generation: int) -> None:
        with reporting(self._path, "read"):
            row = self._reader.execute(SETTLED, (as_bytes(bucket), as_bytes(key))).fetchone()
        if row is not None and row[0] < generation:
            await self._flight.landed(bucket, key, generation)

    async def retry(self, prefix: str = "") -> int:
        """In steps, so that others can write in between."""
        count = 0
        values: dict[str, Any] = {"id": 0, "prefix": as_bytes(prefix), "limit": GROUP_ROWS_MAX}
        while True:
            step = await self._group.perform(
                lambda db: db.execute(RETRY, values).fetchall(), rows=GROUP_ROWS_MAX
            )
            count += len(step)
            if len(step) < GROUP_ROWS_MAX:
                return count
            (values["id"],) = max(step)

    def summary(self, now: float) -> BacklogSummary:
        with reporting(self._path, "read"):
            groups = [Group(*row) for row in self._reader.execute(SUMMARY, (now,))]
        return folded(groups, len(self._flight))

    def rows(self, *, failed: bool = False, prefix: str = "", limit: int = 1000) -> list[Work]:
        values = {"failed": failed, "prefix": as_bytes(prefix), "limit": limit}
        with reporting(self._path, "read"):
            return [_work(row) for row in self._reader.execute(ROWS, values)]

    def cursor(self, name: str) -> str:
        with reporting(self._path, "read"):
            row = self._reader.execute(READ_CURSOR, (name,)).fetchone()
        return row[0] if row else ""

    async def set_cursor(self, name: str, value: str) -> None:
        await self._group.perform(lambda db: db.execute(WRITE_CURSOR, (name, value)).close())

    async def aclose(self) -> None:
        await self._group.aclose()
        self._reader.close()
        self._flight.close()


def _name(work: Work) -> dict[str, Any]:
    return {"bucket": as_bytes(work.bucket), "key": as_bytes(work.key)}


def _work(row: tuple[Any, ...]) -> Work:
    return Work(as_text(row[0]), as_text(row[1]), *row[2:])
