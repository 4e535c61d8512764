"""Documents are listed whole, however small the server's pages are."""

from __future__ import annotations

import pytest

from farshore.control.checkups import drill_documents
from farshore.control.pages import listed, standing
from farshore.errors import Refused
from farshore.s3.store import VersionPage
from farshore.testing.clock import ManualClock
from farshore.testing.store.bucket import Bucket, Query
from farshore.testing.store.memory import MemoryStore

BUCKET = "control"


class Sparing(MemoryStore):
    """Answers two entries, whatever it is asked for, as S3 may."""

    def _page(self, bucket: Bucket, query: Query) -> VersionPage:
        few = Query(query.prefix, query.key_marker, query.version_marker, query.delimiter, 2)
        return super()._page(bucket, few)


class Endless(MemoryStore):
    """Says each time that there is more."""

    def _page(self, bucket: Bucket, query: Query) -> VersionPage:
        return VersionPage([], [], True, "x", "")


async def ready(store: MemoryStore) -> MemoryStore:
    await store.create_bucket(BUCKET)
    await store.put_versioning(BUCKET, True)
    return store


async def test_every_page_is_read() -> None:
    store = await ready(Sparing("east", clock=ManualClock()))
    for name in ("a", "b", "b", "b", "c", "d"):
        await store.put(BUCKET, f"runs/{name}", b"{}")
    await store.delete(BUCKET, "runs/c")
    await store.put(BUCKET, "runz", b"{}")
    assert len(await listed(store, BUCKET, "runs/")) == 7
    assert await standing(store, BUCKET, "runs/") == ["runs/a", "runs/b", "runs/d"]
    assert len(await listed(store, BUCKET, "runs/", entries_max=3)) <= 4


async def test_the_last_drill_is_found_behind_the_first_page() -> None:
    store = await ready(Sparing("east", clock=ManualClock()))
    for number in range(5):
        await store.put(BUCKET, f"drills/p/{number}.json", b"{}")
    assert (await drill_documents(store, BUCKET, "p"))[-1] == "drills/p/4.json"


async def test_a_listing_without_an_end_is_refused() -> None:
    store = await ready(Endless("east", clock=ManualClock()))
    with pytest.raises(Refused, match="has no end"):
        await listed(store, BUCKET, "runs/")
