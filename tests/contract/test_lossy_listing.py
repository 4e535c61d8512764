"""The model of SeaweedFS' listing loses what the real one was seen to lose.

The figures are those observed on SeaweedFS 4.48; `test_seaweed_store` compares page by
page with a real one.
"""

from __future__ import annotations

import pytest

from farshore.s3.filer import Filer, FilerName
from farshore.s3.store import Store
from farshore.testing.clock import ManualClock
from farshore.testing.store.lossy import LossyListingStore

from .history import MARKER, ids, keys, walk, write


@pytest.fixture
async def store() -> LossyListingStore:
    store = LossyListingStore("west", clock=ManualClock())
    await store.create_bucket("b")
    await store.put_versioning("b", True)
    return store


async def test_a_directory_hides_its_older_sibling(store: LossyListingStore) -> None:
    for number in range(1300):
        await write(store, "b", f"photos/{number:04}", "1")
    for number in range(200):
        await write(store, "b", f"photos-old/{number:04}", "1")
    seen = keys(await walk(store, "b"))
    assert len(seen) == 1300
    assert not [key for key in seen if key.startswith("photos-old/")]


async def test_a_key_beside_its_directory(store: LossyListingStore) -> None:
    for key in ("a", "a/b"):
        await write(store, "b", key, *("1" * 700))
    assert len(await walk(store, "b")) == 1001


async def test_one_page_and_one_key_are_complete(store: LossyListingStore) -> None:
    for key in ("a/b", "a-b", "a", "photos-old/x", "photos/x"):
        await write(store, "b", key, "1", MARKER)
    expected = ["a", "a", "a-b", "a-b", "a/b", "a/b"]
    assert keys(await walk(store, "b"))[:6] == expected
    assert len(await walk(store, "b")) == 10
    assert len(await walk(store, "b", limit=3)) < 10
    assert len(await walk(store, "b", prefix="a-b", limit=1)) == 2


async def test_a_delimiter_has_the_same_fault(store: LossyListingStore) -> None:
    for key in ("photos/x", "photos-old/x", "photos0"):
        await write(store, "b", key, "1")
    whole = await store.list_versions("b", delimiter="/")
    assert (whole.prefixes, keys(whole.entries)) == (["photos-old/", "photos/"], ["photos0"])
    first = await store.list_versions("b", delimiter="/", limit=1)
    assert (first.prefixes, first.truncated) == (["photos-old/"], True)


async def test_the_filer_sees_every_name(store: LossyListingStore) -> None:
    filer: Filer = store
    written = await write(store, "b", "a", "1", MARKER)
    for key in ("a/b", "a-b", "d/e/f"):
        await write(store, "b", key, "1")
    folders = [FilerName(n, True, False) for n in ("a", "a-b.versions", "a.versions", "d")]
    assert await store.list_directory("b", "") == folders
    assert await store.list_directory("b", "", "a-b.versions", 1) == folders[2:3]
    assert await store.list_directory("b", "d/") == [FilerName("e", True, False)]
    assert await store.list_directory("b", "none/") == []
    versions = await store.list_directory("b", "a.versions/")
    assert [entry.name for entry in versions] == sorted(f"v_{i}" for i in written)
    assert [page async for page in filer.names("b", "", after="a.versions")] == [folders[3:]]
    assert ids(await filer.history("b", "a")) == written


async def test_null_versions_are_plain_files(store: LossyListingStore) -> None:
    await store.put_versioning("b", False)
    await write(store, "b", "k", "null")
    null = FilerName("k", False, True)
    assert await store.list_directory("b", "") == [null]
    await store.put_versioning("b", True)
    (version_id,) = await write(store, "b", "k", "1")
    versions = FilerName("k.versions", True, False)
    assert await store.list_directory("b", "") == [null, versions]
    await write(store, "b", "k/below", "1")
    both = FilerName("k", True, True)
    assert await store.list_directory("b", "") == [both, versions]
    assert ids(await store.history("b", "k")) == [version_id, "null"]


async def test_it_is_a_store() -> None:
    store: Store = LossyListingStore("west", clock=ManualClock())
    assert store.site == "west"
