"""The sites of a simulated run: stores in memory that tell, and show, what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.s3.store import ALWAYS, Condition, Deleted, VersionPage, Written
from farshore.testing.store.bucket import PAGE_ENTRIES_MAX, Bucket, Query
from farshore.testing.store.memory import Held, MemoryStore, New
from tests.simulation.truth import BUCKET

Told = Callable[[str, str, float, int, tuple[str, ...]], None]
"""(bucket, key, at, size, versions): an event, as the site tells it."""


class Change(NamedTuple):
    """What a request does to a key."""

    kind: Literal["version", "marker", "purge"]
    bucket: str
    key: str
    content: bytes = b""
    attributes: Attributes = NO_ATTRIBUTES


class Watched(MemoryStore):
    """Calls `changing` and `changed` around each write and each delete, `retagged` after tags.
    Answers listings in pages of its own size."""

    page_max = PAGE_ENTRIES_MAX

    def changing(self, change: Change) -> list[Held]:
        """Right before its effect. What is answered comes back in `changed`."""
        return []

    def changed(self, change: Change, version_id: str, before: list[Held]) -> None:
        """Right after its effect."""

    def retagged(self, bucket: str, key: str) -> None:
        """A version has other tags."""

    def _page(self, bucket: Bucket, query: Query) -> VersionPage:
        return super()._page(bucket, replace(query, limit=min(query.limit, self.page_max)))

    def _write(self, bucket: Bucket, new: New) -> Written:
        change = Change("version", bucket.name, new.key, new.content, new.attributes)
        before = self.changing(change)
        written = super()._write(bucket, new)
        self.changed(change, written.version_id, before)
        return written

    async def delete(
        self, bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
    ) -> Deleted:
        change = Change("purge" if version_id else "marker", bucket, key)
        before = self.changing(change)
        deleted = await super().delete(bucket, key, version_id, condition=condition)
        self.changed(change, deleted.version_id, before)
        return deleted

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        await super().put_tags(bucket, key, version_id, tags)
        self.retagged(bucket, key)


class Telling(Watched):
    """Tells its events at once, in the order of what happened."""

    told: Told

    def changed(self, change: Change, version_id: str, before: list[Held]) -> None:
        named = (version_id,) if change.kind == "version" else ()
        self.told(change.bucket, change.key, self._now(), len(change.content), named)

    def retagged(self, bucket: str, key: str) -> None:
        self.told(bucket, key, self._now(), 0, ())


class Target(Watched):
    """Shows every version to the checker before it stands, and every marker once it does."""

    appended: Callable[[Change, list[Held]], None]
    marked: Callable[[str, list[Held]], None]

    def changing(self, change: Change) -> list[Held]:
        if change.bucket != BUCKET or change.kind == "purge":
            return []
        before = [held for held in self.dump(BUCKET) if held.version.key == change.key]
        if change.kind == "version":
            self.appended(change, before)
        return before

    def changed(self, change: Change, version_id: str, before: list[Held]) -> None:
        if change.bucket == BUCKET and change.kind == "marker":
            self.marked(change.key, before)
