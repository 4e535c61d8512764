"""The sites of a simulated run: stores in memory that tell, and show, what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

from farshore.clock import Clock
from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import ALWAYS, Condition, Deleted, VersionPage, Written
from farshore.testing.store.bucket import PAGE_ENTRIES_MAX, Bucket, Entry, Query
from farshore.testing.store.lossy import LossyListingStore
from farshore.testing.store.memory import EVERYTHING, Held, MemoryStore, New
from farshore.testing.store.upload import Uploads
from tests.simulation.ground import is_paired
from tests.simulation.plan import Plan

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
    marked: Callable[[Change, list[Held]], None]

    def changing(self, change: Change) -> list[Held]:
        held = self._buckets.get(change.bucket)
        if held is None or not is_paired(change.bucket) or change.kind == "purge":
            return []
        entries = held.newest_first(change.key)
        before = [Held(self._listed(held, one), one.body, one.attributes) for one in entries]
        if change.kind == "version":
            self.appended(change, before)
        return before

    def changed(self, change: Change, version_id: str, before: list[Held]) -> None:
        if is_paired(change.bucket) and change.kind == "marker":
            self.marked(change, before)

    def dump(self, bucket: str) -> list[Held]:
        """Nothing of a bucket that is gone."""
        return super().dump(bucket) if bucket in self._buckets else []

    def has(self, bucket: str) -> bool:
        """Whether the bucket is there."""
        return bucket in self._buckets

    def lose(self, bucket: str) -> None:
        """The bucket's disk is gone, and the bucket with it."""
        self._buckets.pop(bucket, None)
        self._uploads.pop(bucket, None)

    def empty(self, bucket: str) -> None:
        """The bucket's disk is gone; the bucket is there, and keeps versions."""
        if bucket in self._buckets:
            self._buckets[bucket] = Bucket(self.site, bucket, self._can)
            self._buckets[bucket].versioning = "Enabled"
            self._uploads[bucket] = Uploads(f"{bucket} at {self.site}", self._part_bytes_min)


class Omitting(LossyListingStore):
    """Its pages are SeaweedFS's. `omitted`: those that leave out what stands before their end."""

    omitted = 0

    def _page(self, bucket: Bucket, query: Query) -> VersionPage:
        page = super()._page(bucket, query)
        if page.truncated:
            whole, _ = bucket.page(query)
            stands = [(one.key, one.version_id) for one in whole if isinstance(one, Entry)]
            self.omitted += [(one.key, one.version_id) for one in page.entries] != stands
        return page


class OmittingTelling(Telling, Omitting):
    """A source whose listings omit what stands."""


class OmittingTarget(Target, Omitting):
    """A target whose listings omit what stands."""


class Sites(NamedTuple):
    """Source and target, and what each can do."""

    source: Telling
    target: Target
    can: tuple[Capabilities, Capabilities]


def sites_of(plan: Plan, clock: Clock) -> Sites:
    """The sites of a run. Both have that clock."""
    can = replace(EVERYTHING, sub_second_modified=plan.sub_second)
    theirs = can
    if not plan.conditions:
        theirs = replace(
            can, conditional_create=False, conditional_replace=False,
            conditional_complete=False, conditional_delete=False,
        )  # fmt: skip
    here, there = plan.ground.lists
    source = Telling if here == "plain" else OmittingTelling
    target = Target if there == "plain" else OmittingTarget
    east = source("east", clock=clock, capabilities=can, seed=1)
    west = target("west", clock=clock, capabilities=theirs, seed=2)
    for store in (east, west):
        omits = isinstance(store, Omitting)
        store.page_max = plan.ground.page if omits else min(store.page_max, plan.weather.page)
    return Sites(east, west, (replace(can, listing=here), replace(theirs, listing=there)))
