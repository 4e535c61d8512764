"""Work in flight: what this process has taken, and who waits for it. Gone with the process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from farshore.journal.backlog import Work


@dataclass(slots=True)
class Taken:
    """One row in flight, and the notes of its key that came after it was taken.

    `names`: of its versions, where it was taken before they were on the disk. `void`: its
    note has failed, so there is no such row.
    """

    work: Work
    newer_since: float | None = None
    newer_size: int = 0
    names: list[str] | None = None
    void: bool = False


class Flight:
    """Which keys are taken. One key is taken at most once."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], Taken] = {}
        self._waiting: dict[tuple[str, str], list[tuple[int, asyncio.Future[None]]]] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def has(self, bucket: str, key: str) -> bool:
        return (bucket, key) in self._taken

    def take(self, work: Work, names: list[str] | None = None) -> None:
        """Until it is released."""
        self._taken[work.bucket, work.key] = Taken(work, names=names)

    def void(self, work: Work) -> None:
        """The note that this work came with has failed."""
        taken = self._taken.get((work.bucket, work.key))
        if taken is not None and taken.work is work:
            taken.void = True

    def is_void(self, work: Work) -> bool:
        """Whether nothing must happen for this work."""
        taken = self._taken.get((work.bucket, work.key))
        return taken is not None and taken.void and taken.work.generation == work.generation

    def names(self, work: Work) -> list[str] | None:
        """As it was taken with; None: look them up."""
        taken = self._taken.get((work.bucket, work.key))
        same = taken is not None and taken.work.generation == work.generation
        return taken.names if taken is not None and same else None

    def release(self, work: Work) -> None:
        """Nothing happens if it is not this very object that is taken."""
        taken = self._taken.get((work.bucket, work.key))
        if taken is not None and taken.work is work:
            del self._taken[work.bucket, work.key]

    def returned(self, work: Work) -> None:
        """It was done or put back, or that failed: in every case it is not in flight."""
        taken = self._taken.get((work.bucket, work.key))
        if taken is not None and taken.work.generation == work.generation:
            del self._taken[work.bucket, work.key]

    def noted(self, bucket: str, key: str, since: float, size: int) -> None:
        """A change came while the key may be in flight."""
        taken = self._taken.get((bucket, key))
        if taken is None:
            return
        earlier = taken.newer_since
        taken.newer_since = since if earlier is None else min(earlier, since)
        taken.newer_size = max(taken.newer_size, size)

    def newer(self, work: Work) -> tuple[float | None, int]:
        """(earliest time, largest size) of the notes since it was taken; None for none."""
        taken = self._taken.get((work.bucket, work.key))
        return (None, 0) if taken is None else (taken.newer_since, taken.newer_size)

    async def landed(self, bucket: str, key: str, generation: int) -> None:
        """Wait until a work of this generation or a later one has landed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (generation, waiter)
        self._waiting.setdefault((bucket, key), []).append(entry)
        try:
            await waiter
        finally:
            self._forget((bucket, key), entry)

    def _forget(self, name: tuple[str, str], entry: tuple[int, asyncio.Future[None]]) -> None:
        entries = self._waiting.get(name, [])
        if entry in entries:
            entries.remove(entry)
        if not entries:
            self._waiting.pop(name, None)

    def land(self, work: Work) -> None:
        """Wake those who wait for this work's generation or an earlier one."""
        for generation, waiter in self._waiting.get((work.bucket, work.key), ()):
            if generation <= work.generation and not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Cancel those who wait."""
        for entries in self._waiting.values():
            for _, waiter in entries:
                waiter.cancel()
