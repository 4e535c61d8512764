"""The contract of delete markers, purges and null versions."""

from __future__ import annotations

import pytest

from farshore.core.model import NULL_VERSION
from farshore.errors import BadRequest, Gone
from farshore.s3.store import Store

from .history import MARKER, ids, read, walk, write
from .traits import Traits


class VersionSuite:
    """What DELETE does, with and without an id, in each state of versioning."""

    async def test_a_delete_adds_a_marker_and_the_version_stays(
        self, store: Store, bucket: str
    ) -> None:
        (version_id,) = await write(store, bucket, "k", "body")
        deleted = await store.delete(bucket, "k")
        assert deleted.is_marker
        assert sorted(ids(await walk(store, bucket))) == sorted([deleted.version_id, version_id])
        assert await read(store, bucket, "k", version_id) == b"body"

    async def test_markers_stack_and_may_stand_alone(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        written = await write(store, bucket, "never-put", MARKER, MARKER)
        entries = await walk(store, bucket)
        if traits.marks_absent_keys:
            assert len(set(written)) == 2
            assert (ids(entries), [e.is_marker for e in entries]) == (written, [True, True])
        else:
            assert (entries, written) == ([], ["", ""])

    async def test_under_a_marker_nothing_is_there(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        await write(store, bucket, "k", "body", MARKER)
        with pytest.raises(Gone) as caught:
            await store.head(bucket, "k")
        assert caught.value.is_marker == traits.tells_current_marker
        with pytest.raises(Gone):
            await read(store, bucket, "k")
        with pytest.raises(Gone):
            await store.get_tags(bucket, "k")

    async def test_a_marker_by_its_id_is_gone(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        marker_id, _ = await write(store, bucket, "k", "body", MARKER)
        with pytest.raises(Gone) as caught:
            await store.head(bucket, "k", marker_id)
        assert caught.value.is_marker == traits.tells_marker_by_id
        with pytest.raises(Gone):
            await read(store, bucket, "k", marker_id)

    async def test_purging_the_marker_brings_the_version_back(
        self, store: Store, bucket: str
    ) -> None:
        marker_id, version_id = await write(store, bucket, "k", "body", MARKER)
        await store.delete(bucket, "k", marker_id)
        assert await read(store, bucket, "k") == b"body"
        assert [(e.version_id, e.is_latest) for e in await walk(store, bucket)] == [
            (version_id, True)
        ]

    async def test_a_purge_takes_one_version_and_no_other(self, store: Store, bucket: str) -> None:
        newest, middle, oldest = await write(store, bucket, "k", "1", "2", "3")
        await store.delete(bucket, "k", middle)
        assert ids(await walk(store, bucket)) == [newest, oldest]
        with pytest.raises(Gone):
            await store.head(bucket, "k", middle)
        await store.delete(bucket, "k", newest)
        assert await read(store, bucket, "k") == b"1"
        await store.delete(bucket, "k", oldest)
        assert await walk(store, bucket) == []

    async def test_purging_twice_is_no_error(self, store: Store, bucket: str) -> None:
        newest, oldest = await write(store, bucket, "k", "1", "2")
        await store.delete(bucket, "k", newest)
        await store.delete(bucket, "k", newest)
        assert ids(await walk(store, bucket)) == [oldest]

    async def test_a_version_that_never_was(self, store: Store, bucket: str) -> None:
        """400 on AWS, 404 elsewhere: neither is success."""
        await write(store, bucket, "k", "1")
        with pytest.raises((Gone, BadRequest)):
            await store.head(bucket, "k", "0" * 32)

    # -- null versions ---------------------------------------------------------

    async def test_a_never_versioned_bucket_overwrites_and_deletes(
        self, store: Store, plain_bucket: str
    ) -> None:
        await write(store, plain_bucket, "k", "1", "2")
        assert [(e.version_id, e.size) for e in await walk(store, plain_bucket)] == [
            (NULL_VERSION, 1)
        ]
        assert await read(store, plain_bucket, "k", NULL_VERSION) == b"2"
        deleted = await store.delete(plain_bucket, "k")
        assert not deleted.is_marker
        assert await walk(store, plain_bucket) == []

    async def test_what_was_there_before_versioning_is_the_null_version(
        self, store: Store, plain_bucket: str
    ) -> None:
        await write(store, plain_bucket, "k", "before")
        await store.put_versioning(plain_bucket, True)
        (version_id,) = await write(store, plain_bucket, "k", "after")
        assert ids(await walk(store, plain_bucket)) == [version_id, NULL_VERSION]
        assert await read(store, plain_bucket, "k", NULL_VERSION) == b"before"
        await store.delete(plain_bucket, "k", NULL_VERSION)
        assert ids(await walk(store, plain_bucket)) == [version_id]

    async def test_a_suspended_bucket_writes_null_over_null(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        (kept,) = await write(store, bucket, "k", "kept")
        await store.put_versioning(bucket, False)
        await write(store, bucket, "k", "null one", "null two")
        entries = await walk(store, bucket)
        assert ids(entries) == _shown([NULL_VERSION, kept], traits)
        assert ids([entry for entry in entries if entry.is_latest]) == [NULL_VERSION]
        assert await read(store, bucket, "k") == b"null two"

    async def test_a_suspended_delete_puts_a_null_marker(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        (kept,) = await write(store, bucket, "k", "kept")
        await store.put_versioning(bucket, False)
        await store.delete(bucket, "k")
        entries = await walk(store, bucket)
        if not traits.suspended_keeps_history:
            assert entries == []
            return
        assert ids(entries) == _shown([NULL_VERSION, kept], traits)
        assert ids([e for e in entries if e.is_marker and e.is_latest]) == [NULL_VERSION]
        await store.delete(bucket, "k", NULL_VERSION)
        left = ids(await walk(store, bucket))
        assert left == ([kept] if traits.purges_null_marker else ids(entries))

    async def test_enabled_again_the_null_version_becomes_history(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        (first,) = await write(store, bucket, "k", "first")
        await store.put_versioning(bucket, False)
        await write(store, bucket, "k", "null")
        await store.put_versioning(bucket, True)
        (last,) = await write(store, bucket, "k", "last")
        entries = await walk(store, bucket)
        assert ids(entries) == [last, *_shown([NULL_VERSION, first], traits)]
        assert ids([entry for entry in entries if entry.is_latest]) == [last]


def _shown(history: list[str], traits: Traits) -> list[str]:
    """How the server shows a history whose newest entry was written while suspended."""
    if not traits.suspended_keeps_history:
        return history[:1]
    return history if traits.lists_null_in_its_place else [*history[1:], history[0]]
