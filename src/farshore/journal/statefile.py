"""The state file: one SQLite database in WAL mode, opened alike by all who keep notes in it.

Several connections, also of several processes, may have it open at once. It survives a
kill at any moment, and a cut in the middle of a write: SQLite takes what the log (`-wal`)
holds up to the first record whose checksum is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farshore.errors import StateError

BUSY_TIMEOUT_S = 5.0
"""How long another process may write before we give up."""

LOG_BYTES_MAX = 64 << 20
"""What the `-wal` file is cut back to once its content has moved to the main file."""

CHECKPOINT_PAGES = 4_000
"""Pages in the log before they move to the main file: a page that many rows touch moves once."""

CACHE_KIB = 16 * 1024
"""Pages kept in memory by each connection; the changes of one transaction fit."""

OWNER_ALONE = 0o700
"""Rights of a folder that we make: names of files and open uploads stand in it, and a token. One
that was there keeps its own."""

IN_MEMORY = Path(":memory:")
"""In place of a file: gone with its connection."""

NO_SPACE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
OCCUPIED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def opened(path: Path, *schema: str) -> sqlite3.Connection:
    """A connection in autocommit mode; `schema`: statements that may run again.

    It may be used by any thread, by one at a time. `StateError` when it cannot be opened.
    """
    with reporting(path, "opened"):
        if path != IN_MEMORY:
            path.parent.mkdir(mode=OWNER_ALONE, parents=True, exist_ok=True)
            path = path.resolve()  # SQLite cannot open /../x, which a relative --config can give
        db = sqlite3.connect(
            path, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False
        )
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(f"PRAGMA journal_size_limit={LOG_BYTES_MAX}")
            db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            for statement in schema:
                db.execute(statement)
        except sqlite3.Error:
            db.close()
            raise
    return db


@contextmanager
def reporting(path: Path, what: str) -> Iterator[None]:
    """Errors of the body as `StateError`. `what` was tried: "opened", "read", "written"."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise state_error(path, what, error) from error


def state_error(path: Path, what: str, error: sqlite3.Error | OSError) -> StateError:
    """What a person can do about it depends on SQLite's result code."""
    return StateError(
        f"the state file {path} cannot be {what}: {error}", hint=_hint(path, _code(error))
    )


def is_busy(error: sqlite3.Error) -> bool:
    """Another connection writes just now."""
    return _code(error) in OCCUPIED


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for errors that are not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _hint(path: Path, code: int) -> str:
    if code in DAMAGED:
        return (
            "Stop every farshore that uses it. If the file is damaged, delete it: it is only a "
            f"cache. Delete {path.name}-wal and {path.name}-shm beside it too."
        )
    if code in NO_SPACE:
        return (
            "Free some space on the disk of that folder (or see whether the disk works), then "
            "go on: what was written before is kept, and nothing else needs to be done."
        )
    if code in OCCUPIED:
        return "Another farshore writes to it for a long time. Run the same command again."
    return (
        "Free some space or mend the rights of that folder, then run the same command again. "
        "If the file is damaged, delete it: it is only a cache."
    )
