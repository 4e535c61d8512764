"""Notes on this machine, in SQLite: open multipart uploads. Losing them costs time, not truth.

An upload that is open on the target names neither its origin nor its part size, so an
interrupted one can only be taken up again by who remembers it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from farshore.journal.statefile import opened, reporting

SCHEMA = """
CREATE TABLE IF NOT EXISTS upload (
    target_site   TEXT NOT NULL,
    target_bucket TEXT NOT NULL,
    key           TEXT NOT NULL,
    origin        TEXT NOT NULL,   -- source site and version id: what is being copied
    upload_id     TEXT NOT NULL,
    PRIMARY KEY (target_site, target_bucket, key, origin)
) STRICT, WITHOUT ROWID
"""

REMEMBER = "INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?)"

RECALL = """
SELECT upload_id FROM upload
WHERE target_site = ? AND target_bucket = ? AND key = ? AND origin = ?
"""

FORGET = """
DELETE FROM upload
WHERE target_site = ? AND target_bucket = ? AND key = ? AND origin = ?
"""


class UploadName(NamedTuple):
    """What an upload is for: one version of one key, on one target."""

    target_site: str
    target_bucket: str
    key: str
    origin: str


class Journal(Protocol):
    """Durable once a method returns. Raises only `StateError`."""

    def remember_upload(self, name: UploadName, upload_id: str) -> None:
        """Note an upload before its first part is sent; again replaces it."""
        ...

    def recall_upload(self, name: UploadName) -> str:
        """The upload's id, or ""."""
        ...

    def forget_upload(self, name: UploadName) -> None:
        """The upload is completed or given up; an unknown one is no error."""
        ...


class SqliteJournal:
    """A `Journal` in one file, in WAL mode."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = opened(path, SCHEMA)

    def remember_upload(self, name: UploadName, upload_id: str) -> None:
        with reporting(self._path, "written"):
            self._db.execute(REMEMBER, (*name, upload_id))

    def recall_upload(self, name: UploadName) -> str:
        with reporting(self._path, "read"):
            row = self._db.execute(RECALL, name).fetchone()
        return row[0] if row else ""

    def forget_upload(self, name: UploadName) -> None:
        with reporting(self._path, "written"):
            self._db.execute(FORGET, name)

    def close(self) -> None:
        """Give the file back. What was written stays."""
        self._db.close()
