"""Power cuts in the simulation: what a state file holds that was never forced to the disk.

SQLite's log (`-wal`) grows by whole transactions; one that was committed with
`synchronous=FULL` is on the disk with all before it, one with NORMAL is not, until the next of
the former. A cut leaves some beginning of what was not.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from farshore.journal.groupcommit import GroupCommit


class Synced:
    """How much of a log has been forced to the disk: `bytes`."""

    def __init__(self, group: GroupCommit, log: Path) -> None:
        self.bytes = 0
        self._log, self._commit = log, group._commit
        self._group = group
        group._commit = self._committed  # type: ignore[method-assign]  # looked at, not changed

    async def _committed(self) -> None:
        durable = any(asked.durable for asked in self._group._group)
        await self._commit()
        if durable and self._log.exists():
            self.bytes = self._log.stat().st_size


class PowerCut:
    """The files of one process as its machine will find them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._kept = folder, folder / "kept"
        self._lost = 0

    def remember(self, synced: Synced, rng: random.Random) -> None:
        """Before anything is closed."""
        self._kept.mkdir()
        for path in sorted(self._folder.glob("*.db")):
            shutil.copy(path, self._kept / path.name)
            log = path.with_name(f"{path.name}-wal")
            if not log.exists():
                continue
            size = log.stat().st_size
            least = synced.bytes if path.name == "journal.db" else 0
            left = rng.randrange(least, size + 1)
            self._lost += size - left
            (self._kept / log.name).write_bytes(log.read_bytes()[:left])

    def restore(self) -> int:
        """Once all is closed. How many bytes are gone."""
        for path in sorted(self._folder.glob("*.db*")):
            path.unlink()
        for path in sorted(self._kept.iterdir()):
            shutil.move(path, self._folder / path.name)
        self._kept.rmdir()
        return self._lost
