"""The contract of conditional writes, multipart uploads and buckets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest

from farshore.core.model import Attributes
from farshore.errors import (
    BadListing,
    BadRequest,
    BucketMissing,
    Corrupt,
    Denied,
    Gone,
    Precondition,
    ServerFault,
    Unsupported,
)
from farshore.s3.store import BucketConfig, Condition, Store, Stream

from .history import MARKER, ids, md5_hex, read, walk, write
from .suite_objects import pieces
from .traits import Traits

RACERS = 5
"""More would wait: SeaweedFS lets racers for one key try again in whole seconds."""
ABSENT = Condition(absent=True)


class ConditionSuite:
    """If-None-Match and If-Match look at the current version only."""

    async def test_absent_holds_once(self, store: Store, bucket: str, traits: Traits) -> None:
        await store.put(bucket, "k", b"1", condition=ABSENT)
        if traits.conditional_create:
            with pytest.raises(Precondition):
                await store.put(bucket, "k", b"2", condition=ABSENT)
        else:
            await store.put(bucket, "k", b"2", condition=ABSENT)
        assert len(await walk(store, bucket)) == (1 if traits.conditional_create else 2)

    async def test_absent_holds_under_a_marker(self, store: Store, bucket: str) -> None:
        await write(store, bucket, "k", "1", MARKER)
        await store.put(bucket, "k", b"2", condition=ABSENT)
        assert await read(store, bucket, "k") == b"2"

    async def test_one_of_many_racers_wins(self, store: Store, bucket: str, traits: Traits) -> None:
        racers = [store.put(bucket, "k", b"%d" % n, condition=ABSENT) for n in range(RACERS)]
        results = await asyncio.gather(*racers, return_exceptions=True)
        lost = [r for r in results if isinstance(r, BaseException)]
        assert all(isinstance(r, Precondition) for r in lost)
        assert len(lost) == (RACERS - 1 if traits.conditional_create else 0)
        assert len(await walk(store, bucket)) == RACERS - len(lost)

    async def test_if_match_follows_the_current_version(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        old = await store.put(bucket, "k", b"1")
        match = Condition(etag=old.etag)
        if not traits.conditional_replace:
            with pytest.raises(Precondition):
                await store.put(bucket, "k", b"2", condition=match)
            return
        await store.put(bucket, "k", b"2", condition=match)
        with pytest.raises(Precondition):
            await store.put(bucket, "k", b"3", condition=match)
        assert await read(store, bucket, "k") == b"2"

    async def test_if_match_never_holds_without_a_version(self, store: Store, bucket: str) -> None:
        with pytest.raises(Precondition):
            await store.put(bucket, "k", b"2", condition=Condition(etag=md5_hex(b"1")))
        await write(store, bucket, "k", "1", MARKER)
        with pytest.raises(Precondition):
            await store.put(bucket, "k", b"2", condition=Condition(etag=md5_hex(b"1")))
        assert len(await walk(store, bucket)) == 2

    async def test_a_conditional_delete(self, store: Store, bucket: str, traits: Traits) -> None:
        await write(store, bucket, "k", "1")
        wrong = Condition(etag=md5_hex(b"other"))
        if traits.conditional_delete:
            with pytest.raises(Precondition):
                await store.delete(bucket, "k", condition=wrong)
            assert (
                await store.delete(bucket, "k", condition=Condition(etag=md5_hex(b"1")))
            ).is_marker
        else:
            assert (await store.delete(bucket, "k", condition=wrong)).is_marker
        assert len(await walk(store, bucket)) == 2


class MultipartSuite:
    """Uploads in parts: same parts, same ETag, as every S3 computes it."""

    async def test_parts_become_one_object(self, store: Store, bucket: str, traits: Traits) -> None:
        bodies = [b"a" * traits.part_bytes, b"b" * traits.part_bytes, b"c"]
        attributes = Attributes(
            headers=(("content-type", "text/x-test"),),
            metadata=(("name", "value"),),
            tags=(("t", "1+1"),),
        )
        upload_id = await store.create_upload(bucket, "k", attributes)
        etags = await asyncio.gather(
            *(
                store.put_part(bucket, "k", upload_id, number, body)
                for number, body in enumerate(bodies, 1)
            )
        )
        assert list(etags) == [md5_hex(body) for body in bodies]
        written = await store.complete_upload(bucket, "k", upload_id, list(enumerate(etags, 1)))
        digests = b"".join(hashlib.md5(b, usedforsecurity=False).digest() for b in bodies)
        info = await store.head(bucket, "k", written.version_id)
        assert info.etag == f"{md5_hex(digests)}-3"
        assert written.etag == (info.etag if traits.complete_tells_etag else "")
        assert (info.version_id, info.size) == (written.version_id, 2 * traits.part_bytes + 1)
        assert info.attributes.metadata == attributes.metadata
        assert dict(info.attributes.headers)["content-type"] == "text/x-test"
        assert await store.get_tags(bucket, "k", written.version_id) == attributes.tags
        assert md5_hex(await read(store, bucket, "k")) == md5_hex(b"".join(bodies))
        await self._tells_its_parts(store, bucket, written.version_id, traits)

    async def _tells_its_parts(
        self, store: Store, bucket: str, version_id: str, traits: Traits
    ) -> None:
        parts = [await store.head(bucket, "k", version_id, part_number=n) for n in (1, 2, 3)]
        if traits.tells_parts_count:
            assert [part.parts_count for part in parts] == [3, 3, 3]
            assert [part.size for part in parts] == [traits.part_bytes, traits.part_bytes, 1]
        else:
            assert [part.parts_count for part in parts] == [0, 0, 0]

    async def test_a_part_may_be_replaced_and_listed(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        upload_id = await store.create_upload(bucket, "dir/k")
        await store.put_part(bucket, "dir/k", upload_id, 2, b"late")
        replaced = await store.put_part(bucket, "dir/k", upload_id, 1, b"first try")
        body = Stream(6, pieces(b"sec", b"ond"))
        etag = await store.put_part(bucket, "dir/k", upload_id, 1, body)
        expected = {(1, etag, 6), (2, md5_hex(b"late"), 4)}
        if traits.lists_replaced_parts:
            expected.add((1, replaced, 9))
        if traits.lists_parts:
            parts = await store.list_parts(bucket, "dir/k", upload_id)
            assert {(p.number, p.etag, p.size) for p in parts} == expected
            assert [p.number for p in parts] == sorted(number for number, _, _ in expected)
        else:
            with pytest.raises(BadListing):
                await store.list_parts(bucket, "dir/k", upload_id)
        uploads = await store.list_uploads(bucket)
        assert [(u.key, u.upload_id) for u in uploads] == [("dir/k", upload_id)]
        assert [u.key for u in await store.list_uploads(bucket, "dir/")] == ["dir/k"]
        assert await store.list_uploads(bucket, "other") == []
        assert await walk(store, bucket) == []

    async def test_one_part_stays_multipart(self, store: Store, bucket: str) -> None:
        upload_id = await store.create_upload(bucket, "k")
        etag = await store.put_part(bucket, "k", upload_id, 1, b"only")
        written = await store.complete_upload(bucket, "k", upload_id, [(1, etag)])
        expected = f"{md5_hex(bytes.fromhex(md5_hex(b'only')))}-1"
        assert (await store.head(bucket, "k", written.version_id)).etag == expected

    async def test_an_abandoned_upload_is_gone(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        upload_id = await store.create_upload(bucket, "k")
        await store.put_part(bucket, "k", upload_id, 1, b"x")
        await store.abort_upload(bucket, "k", upload_id)
        await store.abort_upload(bucket, "k", upload_id)
        assert await store.list_uploads(bucket) == []
        with pytest.raises(Gone):
            await store.list_parts(bucket, "k", upload_id)
        with pytest.raises(Gone if traits.tells_absent_upload else ServerFault):
            await store.put_part(bucket, "k", upload_id, 1, b"x")

    async def test_a_wrong_part_completes_nothing(self, store: Store, bucket: str) -> None:
        upload_id = await store.create_upload(bucket, "k")
        await store.put_part(bucket, "k", upload_id, 1, b"x")
        with pytest.raises(Corrupt):
            await store.complete_upload(bucket, "k", upload_id, [(1, md5_hex(b"y"))])
        assert await walk(store, bucket) == []

    async def test_a_conditional_complete(self, store: Store, bucket: str, traits: Traits) -> None:
        await write(store, bucket, "k", "there")
        upload_id = await store.create_upload(bucket, "k")
        etag = await store.put_part(bucket, "k", upload_id, 1, b"x")
        if traits.conditional_complete:
            with pytest.raises(Precondition):
                await store.complete_upload(bucket, "k", upload_id, [(1, etag)], condition=ABSENT)
            assert len(await walk(store, bucket)) == 1
        else:
            await store.complete_upload(bucket, "k", upload_id, [(1, etag)], condition=ABSENT)
            assert len(await walk(store, bucket)) == 2


class BucketSuite:
    """Buckets, and the endpoint itself."""

    async def test_a_bucket_may_be_made_twice(self, store: Store, bucket: str) -> None:
        (version_id,) = await write(store, bucket, "k", "1")
        await store.create_bucket(bucket)
        assert ids(await walk(store, bucket)) == [version_id]
        names = await store.list_buckets()
        assert bucket in names
        assert names == sorted(names)

    async def test_the_three_states_of_versioning(self, store: Store, plain_bucket: str) -> None:
        assert await store.get_versioning(plain_bucket) == ""
        await store.put_versioning(plain_bucket, True)
        assert await store.get_versioning(plain_bucket) == "Enabled"
        await store.put_versioning(plain_bucket, False)
        assert await store.get_versioning(plain_bucket) == "Suspended"

    async def test_a_missing_bucket(self, store: Store) -> None:
        missing = "no-such-bucket-here"
        with pytest.raises(BucketMissing):
            await store.get_versioning(missing)
        with pytest.raises(BucketMissing):
            await store.put(missing, "k", b"x")
        with pytest.raises(BucketMissing):
            await read(store, missing, "k")
        with pytest.raises(Gone):
            await store.head(missing, "k")
        assert missing not in await store.list_buckets()

    async def test_a_policy_is_put_read_and_taken_away(self, store: Store, bucket: str) -> None:
        assert await store.get_bucket_policy(bucket) == ""
        await store.delete_bucket_policy(bucket)
        for sid in ("First", "Second"):
            await store.put_bucket_policy(bucket, policy_of(bucket, sid))
            found = json.loads(await store.get_bucket_policy(bucket))
            assert [statement["Sid"] for statement in found["Statement"]] == [sid]
        await store.delete_bucket_policy(bucket)
        assert await store.get_bucket_policy(bucket) == ""

    async def test_what_is_no_policy_is_refused(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        await store.put_bucket_policy(bucket, policy_of(bucket, "Stays"))
        before = await store.get_bucket_policy(bucket)
        if not traits.checks_policies:
            await store.put_bucket_policy(bucket, "no policy")
            await store.delete_bucket_policy(bucket)
            return
        for wrong in ("no policy", "{}", policy_of(bucket, "Large" * 5000)):
            with pytest.raises(BadRequest):
                await store.put_bucket_policy(bucket, wrong)
        assert await store.get_bucket_policy(bucket) == before
        await store.delete_bucket_policy(bucket)

    async def test_a_missing_bucket_has_no_policy(self, store: Store) -> None:
        missing = "no-such-bucket-here"
        with pytest.raises(BucketMissing):
            await store.get_bucket_policy(missing)
        with pytest.raises((BucketMissing, ServerFault)):  # SeaweedFS answers 500
            await store.put_bucket_policy(missing, policy_of(missing, "s"))

    async def test_what_a_bucket_is_told_is_put_and_read(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        for kind, content in CONFIGS.items():
            document = config_document(content)
            if kind not in traits.configs:
                with pytest.raises(Unsupported):
                    await store.put_bucket_config(bucket, kind, document)
                continue
            await store.put_bucket_config(bucket, kind, document)
            found = await store.get_bucket_config(bucket, kind)
            assert sought(content) <= sought(found), kind
        with pytest.raises(BucketMissing):
            await store.get_bucket_config("no-such-bucket-here", "cors")
        assert bucket in await store.list_buckets()

    async def test_a_new_bucket_has_been_told_little(
        self, store: Store, bucket: str, traits: Traits
    ) -> None:
        for kind in ("cors", "lifecycle", "tagging", "notification", "object-lock"):
            with contextlib.suppress(Unsupported):
                assert await store.get_bucket_config(bucket, kind) == "", kind

    async def test_who_we_are(self, store: Store) -> None:
        assert await store.get_identity()

    async def test_the_servers_clock(self, store: Store) -> None:
        assert abs(await store.server_time_offset()) < 2

    async def test_presigned_urls(self, store: Store, bucket: str, traits: Traits) -> None:
        key = "dir/a b+c%é.txt"
        put_url = store.presign("PUT", bucket, key)
        if not traits.over_http:
            assert put_url == store.presign("PUT", bucket, key) != store.presign("GET", bucket, key)
            return
        assert await asyncio.to_thread(_fetch, put_url, "PUT", b"signed") == b""
        (version,) = await walk(store, bucket)
        get_url = store.presign("GET", bucket, key, version.version_id)
        assert (version.key, version.etag) == (key, md5_hex(b"signed"))
        assert await asyncio.to_thread(_fetch, get_url, "GET", None) == b"signed"

    async def test_wrong_credentials(
        self, store: Store, bucket: str, stranger: Store | None, traits: Traits
    ) -> None:
        (version_id,) = await write(store, bucket, "k", "1")
        if stranger is None:
            assert not traits.over_http
            return
        if not traits.checks_signatures:
            assert await read(stranger, bucket, "k") == b"1"
            return
        with pytest.raises(Denied):
            await stranger.put(bucket, "k", b"2")
        with pytest.raises(Denied):
            await stranger.list_versions(bucket)
        with pytest.raises(Denied):
            await stranger.head(bucket, "k")
        with pytest.raises(Denied):
            await stranger.delete(bucket, "k", version_id)
        url = stranger.presign("GET", bucket, "k")
        with pytest.raises(urllib.error.HTTPError) as caught:
            await asyncio.to_thread(_fetch, url, "GET", None)
        caught.value.close()
        assert caught.value.code == HTTPStatus.FORBIDDEN
        assert ids(await walk(store, bucket)) == [version_id]


CONFIGS: dict[BucketConfig, str] = {
    "cors": "<CORSConfiguration><CORSRule><AllowedOrigin>https://a.example</AllowedOrigin>"
    "<AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>",
    "encryption": "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
    "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"
    "</ServerSideEncryptionConfiguration>",
    "lifecycle": "<LifecycleConfiguration><Rule><ID>old</ID><Filter><Prefix>tmp/</Prefix></Filter>"
    "<Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>"
    "</LifecycleConfiguration>",
    "tagging": "<Tagging><TagSet><Tag><Key>owner</Key><Value>shop</Value></Tag></TagSet></Tagging>",
}


def config_document(content: str) -> str:
    """With S3's namespace, which real servers ask for."""
    root, rest = content[1:].split(">", 1)
    return f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rest}'


def sought(document: str) -> set[str]:
    """The values of a document."""
    return {text.strip() for text in re.findall(r">([^<]+)<", document) if text.strip()}


def policy_of(bucket: str, sid: str) -> str:
    """A policy that denies nobody anything that a test does."""
    statement = {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/nobody-writes-here/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _fetch(url: str, method: str, body: bytes | None) -> bytes:
    headers = {"Content-Type": "application/octet-stream"} if body else {}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
    return content
