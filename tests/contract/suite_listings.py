"""The contract of ListObjectVersions."""

from __future__ import annotations

from datetime import datetime

import pytest

from farshore.errors import BucketMissing
from farshore.s3.store import Store

from .history import MARKER, ids, keys, md5_hex, walk, write
from .traits import Traits


class ListingSuite:
    """Order, pages, markers, prefixes and delimiters."""

    async def test_an_empty_bucket_lists_nothing(self, store: Store, bucket: str) -> None:
        page = await store.list_versions(bucket)
        assert (page.entries, page.prefixes, page.truncated) == ([], [], False)
        assert (page.next_key, page.next_version) == ("", "")

    async def test_a_history_is_newest_first_with_markers_in_their_places(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        written = await write(store, bucket, "k", "one", MARKER, "two", MARKER, MARKER, "three")
        entries = (await store.list_versions(bucket)).entries
        flags = [False, True, True, False, True, False]
        if traits.interleaves_markers:
            assert ids(entries) == written
            assert [entry.is_marker for entry in entries] == flags
        else:
            markers = [i for i, flag in zip(written, flags, strict=True) if flag]
            assert ids(entries) == [i for i in written if i not in markers] + markers
        assert [e.version_id for e in entries if e.is_latest] == written[:1]

    async def test_an_entry_says_what_was_written(self, store: Store, bucket: str) -> None:
        version_id, marker_id = reversed(await write(store, bucket, "k", "body", MARKER))
        entries = {e.version_id: e for e in (await store.list_versions(bucket)).entries}
        version, marker = entries[version_id], entries[marker_id]
        assert (version.etag, version.size) == (md5_hex(b"body"), 4)
        assert version.storage_class in ("STANDARD", "")
        assert (marker.etag, marker.size, marker.is_latest) == ("", 0, True)
        for entry in (version, marker):
            assert datetime.fromisoformat(entry.modified).tzinfo is not None

    async def test_keys_ascend_by_utf8_bytes(self, store: Store, bucket: str) -> None:
        names = ["B", "a", "a-b", "a.b", "a0", "b", "é", "\uffee", "\U0001f600"]
        for name in reversed(names):
            await write(store, bucket, name, "1", "2")
        assert keys(await walk(store, bucket)) == [n for n in names for _ in range(2)]

    async def test_keys_of_one_directory_ascend_and_fall_under_their_prefix(
        self, store: Store, bucket: str
    ) -> None:
        for name in ("d/a", "d/b", "dd", "e/a"):
            await write(store, bucket, name, "1")
        assert keys(await walk(store, bucket, prefix="d/")) == ["d/a", "d/b"]
        assert keys(await walk(store, bucket, prefix="d")) == ["d/a", "d/b", "dd"]
        assert keys(await walk(store, bucket, prefix="x")) == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 1000])
    async def test_pages_of_any_size_add_up_to_the_whole(
        self, store: Store, bucket: str, limit: int
    ) -> None:
        expected = []
        for name in ("k1", "k2", "k3"):
            written = await write(store, bucket, name, "1", "2", "3", "4")
            expected += [(name, version_id) for version_id in written]
        entries = await walk(store, bucket, limit=limit)
        assert [(e.key, e.version_id) for e in entries] == expected

    async def test_a_page_says_where_to_go_on(self, store: Store, bucket: str) -> None:
        written = await write(store, bucket, "k", "1", "2", "3")
        page = await store.list_versions(bucket, limit=2)
        assert (page.truncated, page.next_key, page.next_version) == (True, "k", written[1])
        rest = await store.list_versions(bucket, key_marker="k", version_marker=written[1])
        assert (ids(rest.entries), rest.truncated) == (written[2:], False)

    async def test_a_key_marker_alone_starts_behind_that_key(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        for name in ("k1", "k2", "k3"):
            await write(store, bucket, name, "1", "2")
        page = await store.list_versions(bucket, key_marker="k1")
        own = ["k1"] * traits.shown_of_the_marked_key
        assert keys(page.entries) == [*own, "k2", "k2", "k3", "k3"]

    async def test_a_key_marker_need_not_exist(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        for name in ("k1", "k3"):
            await write(store, bucket, name, "1")
        page = await store.list_versions(bucket, key_marker="k2")
        assert keys(page.entries) == (["k3"] if traits.key_marker_may_be_absent else [])

    async def test_a_version_marker_that_was_purged_meanwhile(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        written = await write(store, bucket, "k", "1", "2", "3", "4")
        await store.delete(bucket, "k", written[1])
        page = await store.list_versions(bucket, key_marker="k", version_marker=written[1])
        expected = written[2:] if traits.resumes_behind_a_purged_version else []
        assert ids(page.entries) == expected

    async def test_a_delimiter_rolls_keys_into_prefixes(self, store: Store, bucket: str) -> None:
        for name in ("a", "d1/x", "d1/y", "d2/x", "z"):
            await write(store, bucket, name, "1")
        page = await store.list_versions(bucket, delimiter="/")
        assert (keys(page.entries), page.prefixes) == (["a", "z"], ["d1/", "d2/"])
        below = await store.list_versions(bucket, delimiter="/", prefix="d1/")
        assert (keys(below.entries), below.prefixes) == (["d1/x", "d1/y"], [])

    async def test_a_bucket_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(BucketMissing):
            await store.list_versions("no-such-bucket-here")
