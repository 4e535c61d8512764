"""The contract of objects: bytes, ranges, headers, metadata, tags, locks."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from farshore.core import acl
from farshore.core.model import NO_ATTRIBUTES, Attributes, Lock
from farshore.errors import BadRequest, Corrupt, Denied, Gone, StoreError
from farshore.s3.store import Store, Stream

from .history import ids, md5_hex, read, walk, write
from .traits import Traits

BODY = bytes(range(256)) * 1024


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def wire(text: str) -> str:
    """Text as header bytes: UTF-8, one character per byte."""
    return text.encode().decode("latin-1")


class ObjectSuite:
    """One version: what went in comes out."""

    async def test_what_was_put_is_read(self, store: Store, bucket: str) -> None:
        written = await store.put(bucket, "k", BODY)
        assert (written.version_id != "", written.etag) == (True, md5_hex(BODY))
        info = await store.head(bucket, "k", written.version_id)
        assert (info.version_id, info.etag, info.size) == (
            written.version_id,
            md5_hex(BODY),
            len(BODY),
        )
        assert info.modified > 0
        async with store.get(bucket, "k", written.version_id) as opened:
            assert (opened.info.etag, opened.info.size) == (md5_hex(BODY), len(BODY))
            assert opened.body_length == len(BODY)
            assert b"".join([chunk async for chunk in opened.chunks()]) == BODY

    async def test_an_empty_body(self, store: Store, bucket: str) -> None:
        written = await store.put(bucket, "k", b"")
        assert (await store.head(bucket, "k")).size == 0
        assert await read(store, bucket, "k", written.version_id) == b""

    async def test_a_stream_is_written_like_bytes(self, store: Store, bucket: str) -> None:
        stream = Stream(len(BODY), pieces(BODY[:1000], BODY[1000:]))
        written = await store.put(bucket, "k", stream)
        assert written.etag == md5_hex(BODY)
        assert await read(store, bucket, "k") == BODY

    async def test_a_stream_that_ends_early_writes_nothing(self, store: Store, bucket: str) -> None:
        with pytest.raises(StoreError):
            await store.put(bucket, "k", Stream(10, pieces(b"12345")))
        assert await walk(store, bucket) == []

    @pytest.mark.parametrize(("first", "last"), [(0, 0), (5, 9), (1000, None), (0, 10**9)])
    async def test_a_range(self, store: Store, bucket: str, first: int, last: int | None) -> None:
        await store.put(bucket, "k", BODY)
        expected = BODY[first : None if last is None else last + 1]
        async with store.get(bucket, "k", first=first, last=last) as opened:
            assert opened.body_length == len(expected)
            assert opened.info.size == len(BODY)
            assert await opened.read() == expected

    async def test_a_range_behind_the_end(self, store: Store, bucket: str) -> None:
        await store.put(bucket, "k", b"12345")
        with pytest.raises(BadRequest):
            async with store.get(bucket, "k", first=5, last=9) as opened:
                await opened.read()

    async def test_each_version_keeps_its_bytes(self, store: Store, bucket: str) -> None:
        newest, oldest = await write(store, bucket, "k", "one", "two")
        assert await read(store, bucket, "k", oldest) == b"one"
        assert await read(store, bucket, "k", newest) == await read(store, bucket, "k") == b"two"

    async def test_a_key_that_is_not_there(self, store: Store, bucket: str) -> None:
        with pytest.raises(Gone) as caught:
            await store.head(bucket, "k")
        assert not caught.value.is_marker
        with pytest.raises(Gone):
            await read(store, bucket, "k")
        with pytest.raises(Gone):
            await store.get_tags(bucket, "k")

    # -- attributes ------------------------------------------------------------

    async def test_content_headers_travel(self, store: Store, bucket: str, traits: Traits) -> None:
        headers = {
            "cache-control": "max-age=60, private",
            "content-disposition": 'attachment; filename="a b.txt"',
            "content-encoding": "gzip",
            "content-language": "de, en",
            "content-type": "text/csv; charset=utf-8",
            "expires": "Thu, 01 Dec 2044 16:00:00 GMT",
            "x-amz-website-redirect-location": "/elsewhere",
        }
        await store.put(bucket, "k", b"x", Attributes(headers=tuple(headers.items())))
        kept = dict((await store.head(bucket, "k")).attributes.headers)
        if not traits.keeps_website_redirect:
            del headers["x-amz-website-redirect-location"]
        assert kept == headers

    async def test_an_expires_that_is_no_date(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        attributes = Attributes(headers=(("expires", "tomorrow"),))
        if traits.accepts_unparseable_expires:
            await store.put(bucket, "k", b"x", attributes)
            kept = dict((await store.head(bucket, "k")).attributes.headers)
            assert kept["expires"] == "tomorrow"
        else:
            with pytest.raises(BadRequest):
                await store.put(bucket, "k", b"x", attributes)

    async def test_the_content_type_when_none_is_given(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        await store.put(bucket, "k", b"x")
        kept = dict((await store.head(bucket, "k")).attributes.headers)
        assert kept.get("content-type", "") == traits.default_content_type

    async def test_a_gzip_body_is_kept_as_it_is(self, store: Store, bucket: str) -> None:
        body = gzip.compress(b"text " * 100, mtime=0)
        headers = (("content-encoding", "gzip"), ("content-type", "text/plain"))
        await store.put(bucket, "k", body, Attributes(headers=headers))
        assert await read(store, bucket, "k") == body
        assert (await store.head(bucket, "k")).etag == md5_hex(body)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("plain", "value"),
            ("inner-spaces", "a  b   c"),
            ("utf8", wire("grüße 東京 😀")),
            ("long", "x" * 1500),
            ("quoted", '"q" \\ ; , ='),
            ("percent", "100%25 +1"),
            ("with.dot_and-dash", "v"),
        ],
    )
    async def test_metadata_travels(self, store: Store, bucket: str, name: str, value: str) -> None:
        await store.put(bucket, "k", b"x", Attributes(metadata=((name, value),)))
        assert (await store.head(bucket, "k")).attributes.metadata == ((name, value),)
        async with store.get(bucket, "k") as opened:
            assert opened.info.attributes.metadata == ((name, value),)

    async def test_an_empty_value_and_several_names(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        metadata = (("a", ""), ("b", "2"), ("c", "3"))
        await store.put(bucket, "k", b"x", Attributes(metadata=metadata))
        kept = (await store.head(bucket, "k")).attributes.metadata
        assert kept == (metadata if traits.keeps_empty_metadata else metadata[1:])

    async def test_tags_of_a_put(self, store: Store, bucket: str) -> None:
        tags = (("a b", "c d"), ("eq=", "a/b:c@d_."), ("team", ""))
        await store.put(bucket, "k", b"x", Attributes(tags=tags))
        assert await store.get_tags(bucket, "k") == tags
        info = await store.head(bucket, "k")
        assert (info.tag_count, info.attributes.tags) == (3, ())

    async def test_a_plus_in_a_tag(self, store: Store, bucket: str) -> None:
        await store.put(bucket, "k", b"x", Attributes(tags=(("1+1", "2+0"),)))
        assert await store.get_tags(bucket, "k") == (("1+1", "2+0"),)
        await store.put_tags(bucket, "k", "", (("3+1", "4+0"),))
        assert await store.get_tags(bucket, "k") == (("3+1", "4+0"),)

    async def test_tags_belong_to_a_version(self, store: Store, bucket: str) -> None:
        newest, oldest = await write(store, bucket, "k", "1", "2")
        await store.put_tags(bucket, "k", oldest, (("which", "old"), ("x", "")))
        await store.put_tags(bucket, "k", newest, (("which", "new"),))
        assert await store.get_tags(bucket, "k", oldest) == (("which", "old"), ("x", ""))
        assert await store.get_tags(bucket, "k", newest) == (("which", "new"),)
        await store.put_tags(bucket, "k", oldest, ())
        assert await store.get_tags(bucket, "k", oldest) == ()
        assert ids(await walk(store, bucket)) == [newest, oldest]

    async def test_storage_classes(self, store: Store, bucket: str, traits: Traits) -> None:
        for name in traits.storage_classes:
            await store.put(bucket, name, b"x", Attributes(storage_class=name))
            assert (await store.head(bucket, name)).attributes.storage_class == name
        listed = [e.storage_class for e in await walk(store, bucket)]
        assert listed == sorted(traits.storage_classes)

    # -- integrity -------------------------------------------------------------

    async def test_the_right_md5_is_accepted(self, store: Store, bucket: str) -> None:
        digest = hashlib.md5(BODY, usedforsecurity=False).digest()
        written = await store.put(bucket, "k", BODY, content_md5=digest)
        assert written.etag == digest.hex()

    async def test_a_wrong_md5_writes_nothing(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        wrong = hashlib.md5(b"other", usedforsecurity=False).digest()
        if traits.verifies_md5:
            with pytest.raises(Corrupt):
                await store.put(bucket, "k", BODY, content_md5=wrong)
            assert await walk(store, bucket) == []
        else:
            assert (await store.put(bucket, "k", BODY, content_md5=wrong)).etag == md5_hex(BODY)

    async def test_a_key_of_1025_bytes_is_refused(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        if traits.refuses_long_keys:
            with pytest.raises(BadRequest):
                await store.put(bucket, "k" * 1025, b"x")
        else:
            await store.put(bucket, "k" * 1025, b"x")
        assert len(await walk(store, bucket)) == (0 if traits.refuses_long_keys else 1)

    async def test_writers_side_by_side_lose_nothing(self, store: Store, bucket: str) -> None:
        bodies = [str(number).encode() for number in range(12)]
        written = await asyncio.gather(*(store.put(bucket, "k", body) for body in bodies))
        entries = await walk(store, bucket)
        assert sorted(ids(entries)) == sorted(w.version_id for w in written)
        assert {e.version_id: e.etag for e in entries} == {w.version_id: w.etag for w in written}

    # -- access control lists ----------------------------------------------------

    async def test_every_version_has_its_own_access_control_list(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        older, newer = await write(store, bucket, "k", "1", "2")
        before = await store.get_acl(bucket, "k", older)
        assert acl.of_groups(before) == acl.of_others(before) == frozenset()
        assert before.owner
        granted = {acl.Grant(acl.ALL_USERS, "READ"), acl.Grant(acl.LOG_DELIVERY, "READ_ACP")}
        await store.put_acl(bucket, "k", older, acl.with_groups(before, granted))
        kept = [acl.of_groups(await store.get_acl(bucket, "k", v)) for v in (older, newer)]
        assert (kept == [granted, frozenset()]) is traits.acls_of_versions
        await store.put_acl(bucket, "k", older, before)
        assert acl.of_groups(await store.get_acl(bucket, "k", older)) == frozenset()
        assert (await store.get_acl(bucket, "k", older)).owner == before.owner

    # -- locks -----------------------------------------------------------------

    async def test_a_legal_hold_refuses_a_purge(self, store: Store, lock_bucket: str) -> None:
        (version_id,) = await write(store, lock_bucket, "k", "1")
        await store.put_legal_hold(lock_bucket, "k", version_id, True)
        assert (await store.head(lock_bucket, "k", version_id)).attributes.lock.legal_hold
        with pytest.raises(Denied):
            await store.delete(lock_bucket, "k", version_id)
        await store.put_legal_hold(lock_bucket, "k", version_id, False)
        await store.delete(lock_bucket, "k", version_id)
        assert await walk(store, lock_bucket, prefix="k") == []

    async def test_a_retention_refuses_a_purge_and_not_a_marker(
        self, store: Store, lock_bucket: str
    ) -> None:
        until = "2099-01-01T00:00:00Z"
        (version_id,) = await write(store, lock_bucket, "r", "1")
        await store.put_retention(lock_bucket, "r", version_id, "GOVERNANCE", until)
        lock = (await store.head(lock_bucket, "r", version_id)).attributes.lock
        assert (lock.mode, lock.retain_until[:19]) == ("GOVERNANCE", until[:19])
        with pytest.raises(Denied):
            await store.delete(lock_bucket, "r", version_id)
        assert (await store.delete(lock_bucket, "r")).is_marker

    async def test_a_put_may_bring_its_lock(self, store: Store, lock_bucket: str) -> None:
        lock = Lock("GOVERNANCE", "2099-01-01T00:00:00Z", legal_hold=True)
        body = b"locked"
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        written = await store.put(
            lock_bucket, "p", body, replace(NO_ATTRIBUTES, lock=lock), content_md5=digest
        )
        kept = (await store.head(lock_bucket, "p", written.version_id)).attributes.lock
        assert (kept.mode, kept.legal_hold) == ("GOVERNANCE", True)
        with pytest.raises(Denied):
            await store.delete(lock_bucket, "p", written.version_id)
