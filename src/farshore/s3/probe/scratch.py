"""A place to write in: objects below one prefix of a bucket, and all of them gone again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple

from farshore.core.model import Version
from farshore.errors import StoreError
from farshore.s3.store import Store
from farshore.tasks import together

WRITES_AT_ONCE = 32

PURGE_ROUNDS_MAX = 100
"""Times that the first page is asked for and emptied before a purge is given up."""

BODY = b"farshore probe\n"


class Wrote(NamedTuple):
    """What the server answered to a write. `version_id` is "" where it tells none."""

    version_id: str
    is_marker: bool


class Scratch:
    """Writes below `prefix` of `bucket`, and remembers each key's entries, newest first."""

    def __init__(self, store: Store, bucket: str, prefix: str) -> None:
        self.store = store
        self.bucket = bucket
        self.prefix = prefix
        self.wrote: dict[str, list[Wrote]] = {}

    async def write(self, key: str, entries: str) -> None:
        """Versions (".") and delete markers ("x") of one key, in this order."""
        for entry in entries:
            if entry == "x":
                deleted = await self.store.delete(self.bucket, key)
                self._remember(key, Wrote(deleted.version_id, True))
            else:
                written = await self.store.put(self.bucket, key, BODY)
                self._remember(key, Wrote(written.version_id, False))

    async def purge(self) -> None:
        """Take everything below the prefix away: versions, markers and open uploads.

        First by the ids that were answered, which needs no listing: one that is out of order
        cannot be read. Then asks for the first page only, again and again: whatever a
        server loses between its pages, there is no page before the first.
        """
        await in_parallel(
            partial(self.store.delete, self.bucket, key, entry.version_id)
            for key, entries in self.wrote.items()
            for entry in entries
            if entry.version_id
        )
        self.wrote.clear()
        uploads = await self.store.list_uploads(self.bucket, self.prefix)
        for upload in uploads:
            await self.store.abort_upload(self.bucket, upload.key, upload.upload_id)
        for _ in range(PURGE_ROUNDS_MAX):
            page = await self.store.list_versions(self.bucket, prefix=self.prefix)
            if not page.entries:
                return
            await in_parallel(self._purging(entry) for entry in page.entries)
        raise StoreError(
            f"what the probe wrote below {self.prefix} in {self.bucket} at {self.store.site} could "
            "not be purged",
            hint="may the replicator purge versions there (s3:DeleteObjectVersion)?",
        )

    def _purging(self, entry: Version) -> Callable[[], Awaitable[object]]:
        return lambda: self.store.delete(self.bucket, entry.key, entry.version_id)

    def _remember(self, key: str, wrote: Wrote) -> None:
        self.wrote.setdefault(key, []).insert(0, wrote)


async def in_parallel(jobs: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Run jobs, WRITES_AT_ONCE at a time. The first failure ends the others and is raised."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    async with together() as group:
        for _ in range(WRITES_AT_ONCE):
            group.create_task(work())
