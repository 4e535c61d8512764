"""A whole S3 in memory: versions, markers, null versions, multipart, locks and conditions.

The fake that tests and simulations run against: no IO, no real time, and no randomness
beside the seed. What it does is what AWS S3 documents; `Capabilities` switch single
abilities off, so that it stands for other servers too.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, NoReturn

from farshore.core.acl import FULL_CONTROL, Acl, Grant
from farshore.core.model import NO_ATTRIBUTES, NULL_VERSION, Attributes, Version
from farshore.errors import BadRequest, Corrupt, Unsupported
from farshore.s3.store import (
    ALWAYS,
    Body,
    Condition,
    Deleted,
    ObjectInfo,
    ObjectRead,
    Part,
    Upload,
    VersionPage,
    Written,
)
from farshore.testing.store.attributes import admitted, require_lockable, require_tags
from farshore.testing.store.bucket import KEY_BYTES_MAX, Bucket, Entry, Query
from farshore.testing.store.buckets import EVERYTHING, IDENTITY, WITH_ACLS, MemoryBuckets
from farshore.testing.store.lock import require_not_weaker, require_unlocked, require_valid
from farshore.testing.store.read import MemoryRead, Opening, content_of, info_of, part_info
from farshore.testing.store.upload import OpenUpload, md5_hex, multipart_etag

__all__ = ["EVERYTHING", "IDENTITY", "WITH_ACLS", "Held", "MemoryStore", "New"]


class New(NamedTuple):
    """A version that a request brings. `part_sizes` is empty for a plain PUT."""

    key: str
    content: bytes
    etag: str
    attributes: Attributes
    part_sizes: tuple[int, ...] = ()


class Held(NamedTuple):
    """One entry as it is kept, for tests to compare: body b"" for a marker."""

    version: Version
    body: bytes
    attributes: Attributes


class MemoryStore(MemoryBuckets):
    """One site: see `MemoryBuckets` for what it is made with."""

    # -- listing ---------------------------------------------------------------

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        version_marker: str = "",
        delimiter: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        async with self._call("list_versions", bucket, prefix):
            query = Query(prefix, key_marker, version_marker, delimiter, limit)
            return self._page(self._bucket("ListObjectVersions", bucket), query)

    def _page(self, bucket: Bucket, query: Query) -> VersionPage:
        return self._answer(bucket, *bucket.page(query))

    def _answer(self, bucket: Bucket, items: list[Entry | str], truncated: bool) -> VersionPage:
        entries = [self._listed(bucket, item) for item in items if isinstance(item, Entry)]
        prefixes = [item for item in items if isinstance(item, str)]
        shown = VersionPage(
            entries, prefixes, truncated, "", "", self._can.server, self._can.encoding_type_url
        )
        if not truncated:
            return shown
        last = items[-1]
        if isinstance(last, str):
            return shown._replace(next_key=last)
        return shown._replace(next_key=last.key, next_version=last.version_id)

    def _listed(self, bucket: Bucket, entry: Entry) -> Version:
        return Version(
            key=entry.key,
            version_id=entry.version_id,
            is_marker=entry.is_marker,
            is_latest=bucket.current(entry.key) is entry,
            etag=entry.etag,
            size=len(entry.body),
            modified=self._time_text(entry.modified),
            storage_class="" if entry.is_marker else entry.attributes.storage_class or "STANDARD",
        )

    def _time_text(self, seconds: float) -> str:
        return _text_of(seconds, "milliseconds" if self._can.sub_second_modified else "seconds")

    def dump(self, bucket: str) -> list[Held]:
        """Everything in a bucket in the order of a listing, without counting as a call."""
        held = self._bucket("dump", bucket)
        return [
            Held(self._listed(held, entry), entry.body, entry.attributes)
            for key in held.keys
            for entry in held.newest_first(key)
        ]

    # -- objects ---------------------------------------------------------------

    async def head(
        self, bucket: str, key: str, version_id: str = "", *, part_number: int = 0
    ) -> ObjectInfo:
        async with self._call("head", bucket, key):
            held = self._bucket("HeadObject", bucket)
            entry = held.version("HeadObject", key, version_id)
            info = self._info(held, entry)
            if not part_number or not self._can.part_number:
                return info
            return part_info(info, entry, part_number, self._action("HeadObject", bucket, key))

    def _info(self, bucket: Bucket, entry: Entry) -> ObjectInfo:
        return info_of(entry, versioned=bool(bucket.versioning), checksums=self._can.checksums)

    def get(
        self,
        bucket: str,
        key: str,
        version_id: str = "",
        *,
        first: int = 0,
        last: int | None = None,
    ) -> AbstractAsyncContextManager[ObjectRead]:
        async def open_version() -> ObjectRead:
            async with self._call("get", bucket, key):
                held = self._bucket("GetObject", bucket)
                entry = held.version("GetObject", key, version_id)
                action = self._action("GetObject", bucket, key)
                return MemoryRead(self._info(held, entry), content_of(entry, first, last, action))

        return Opening(open_version)

    async def put(
        self,
        bucket: str,
        key: str,
        body: Body,
        attributes: Attributes = NO_ATTRIBUTES,
        *,
        condition: Condition = ALWAYS,
        content_md5: bytes = b"",
    ) -> Written:
        async with self._call("put", bucket, key):
            held = self._bucket("PutObject", bucket)
            self._require_key("PutObject", key)
            kept = self._admitted(self._action("PutObject", bucket, key), attributes)
            content = await self._content("PutObject", key, body, content_md5)
            held.require("PutObject", key, condition)
            etag = md5_hex(content) if self._can.etag_is_md5 else self._mint("etag")
            return self._write(held, New(key, content, etag, kept))

    def _write(self, bucket: Bucket, new: New) -> Written:
        version_id = self._mint("version") if bucket.versioning == "Enabled" else NULL_VERSION
        bucket.append(
            Entry(
                new.key,
                version_id,
                bucket.next_sequence(),
                self._now(),
                body=new.content,
                etag=new.etag,
                attributes=new.attributes,
                part_sizes=new.part_sizes,
            )
        )
        return Written(version_id if bucket.versioning else "", new.etag)

    async def _content(self, operation: str, key: str, body: Body, content_md5: bytes) -> bytes:
        """The whole body; `Corrupt` for a stream of another length or another MD5."""
        content = body
        if not isinstance(content, bytes):
            content = b"".join([chunk async for chunk in content.chunks])
        promised = len(body) if isinstance(body, bytes) else body.length
        if len(content) != promised:
            self._corrupt(operation, key, f"{len(content)} bytes came, {promised} were promised")
        if content_md5 and self._can.content_md5_verified and _md5(content) != content_md5:
            self._corrupt(operation, key, "the MD5 of the body is another one (BadDigest)")
        return content

    def _corrupt(self, operation: str, key: str, reason: str) -> NoReturn:
        action = f"{operation} {key} at {self._site}"
        raise Corrupt(f"{action}: {reason}", status=400, code="BadDigest", action=action)

    async def delete(
        self, bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
    ) -> Deleted:
        async with self._call("delete", bucket, key):
            held = self._bucket("DeleteObject", bucket)
            self._require_key("DeleteObject", key)
            if version_id:
                return self._purge(held, key, version_id)
            if self._can.conditional_delete:
                held.require("DeleteObject", key, condition)
            return held.delete(key, self._mint("version"), self._now())

    def _purge(self, bucket: Bucket, key: str, version_id: str) -> Deleted:
        """S3 answers 204 for a version that is not there, too."""
        entry = bucket.find(key, version_id)
        if entry is None:
            return Deleted(version_id, False)
        action = f"DeleteObject {bucket.name}/{key} version {version_id} at {self._site}"
        require_unlocked(entry.attributes.lock, self._now(), action)
        bucket.remove(entry)
        return Deleted(version_id, entry.is_marker)

    # -- what a version carries ------------------------------------------------

    def _admitted(self, action: str, attributes: Attributes) -> Attributes:
        can_lock = self._can.object_lock
        return admitted(attributes, can_lock=can_lock, now=self._now(), action=action)

    def _require_key(self, operation: str, key: str) -> None:
        if not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
            raise BadRequest(
                f"{operation} at {self._site}: a key has 1 to {KEY_BYTES_MAX} bytes",
                status=400,
                code="KeyTooLongError",
                action=f"{operation} at {self._site}",
            )

    async def get_tags(
        self, bucket: str, key: str, version_id: str = ""
    ) -> tuple[tuple[str, str], ...]:
        async with self._call("get_tags", bucket, key):
            held = self._bucket("GetObjectTagging", bucket)
            return held.version("GetObjectTagging", key, version_id).attributes.tags

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        async with self._call("put_tags", bucket, key):
            operation = "PutObjectTagging"
            entry = self._bucket(operation, bucket).version(operation, key, version_id)
            require_tags(tags, self._action(operation, bucket, key))
            entry.attributes = replace(entry.attributes, tags=tuple(sorted(tags)))

    async def put_retention(
        self, bucket: str, key: str, version_id: str, mode: str, retain_until: str
    ) -> None:
        async with self._call("put_retention", bucket, key):
            entry = self._lockable("PutObjectRetention", bucket, key, version_id)
            old = entry.attributes.lock
            lock = replace(old, mode=mode, retain_until=retain_until)
            action = self._action("PutObjectRetention", bucket, key)
            require_valid(lock, self._now(), action)
            require_not_weaker(old, lock, self._now(), action)
            entry.attributes = replace(entry.attributes, lock=lock)

    async def put_legal_hold(self, bucket: str, key: str, version_id: str, held: bool) -> None:
        async with self._call("put_legal_hold", bucket, key):
            entry = self._lockable("PutObjectLegalHold", bucket, key, version_id)
            lock = replace(entry.attributes.lock, legal_hold=held)
            entry.attributes = replace(entry.attributes, lock=lock)

    async def get_acl(self, bucket: str, key: str, version_id: str = "") -> Acl:
        async with self._call("get_acl", bucket, key):
            entry = self._listed_for_access("GetObjectAcl", bucket, key, version_id)
            return Acl(self._site, (Grant(self._site, FULL_CONTROL), *entry.grants))

    async def put_acl(self, bucket: str, key: str, version_id: str, acl: Acl) -> None:
        async with self._call("put_acl", bucket, key):
            entry = self._listed_for_access("PutObjectAcl", bucket, key, version_id)
            entry.grants = tuple(g for g in acl.grants if g.grantee != self._site)

    def _listed_for_access(self, operation: str, bucket: str, key: str, version_id: str) -> Entry:
        """A version; `Unsupported` in a bucket without lists, as it is by default on AWS."""
        if not self._can.acls:
            raise Unsupported(
                f"{self._action(operation, bucket, key)}: there are no access control lists here",
                status=400,
                code="AccessControlListNotSupported",
                action=self._action(operation, bucket, key),
            )
        return self._bucket(operation, bucket).version(operation, key, version_id)

    def _lockable(self, operation: str, bucket: str, key: str, version_id: str) -> Entry:
        require_lockable(self._can.object_lock, self._action(operation, bucket, key))
        return self._bucket(operation, bucket).version(operation, key, version_id)

    # -- multipart -------------------------------------------------------------

    async def create_upload(
        self, bucket: str, key: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> str:
        async with self._call("create_upload", bucket, key):
            self._bucket("CreateMultipartUpload", bucket)
            self._require_key("CreateMultipartUpload", key)
            kept = self._admitted(self._action("CreateMultipartUpload", bucket, key), attributes)
            if not self._can.tags_on_multipart:
                kept = replace(kept, tags=())
            upload = OpenUpload(key, self._mint("upload"), self._now(), kept)
            self._uploads[bucket].add(upload)
            return upload.upload_id

    async def put_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        content_md5: bytes = b"",
    ) -> str:
        async with self._call("put_part", bucket, key):
            self._bucket("UploadPart", bucket)
            content = await self._content("UploadPart", key, body, content_md5)
            uploads = self._uploads[bucket]
            return uploads.put_part(uploads.get("UploadPart", key, upload_id), number, content)

    async def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: list[tuple[int, str]],
        *,
        condition: Condition = ALWAYS,
    ) -> Written:
        async with self._call("complete_upload", bucket, key):
            held = self._bucket("CompleteMultipartUpload", bucket)
            uploads = self._uploads[bucket]
            upload = uploads.get("CompleteMultipartUpload", key, upload_id)
            chosen = uploads.chosen(upload, parts)
            if self._can.conditional_complete:
                held.require("CompleteMultipartUpload", key, condition)
            uploads.discard(upload_id)
            bodies = [part.body for part in chosen]
            sizes = tuple(len(body) for body in bodies)
            etag = multipart_etag(chosen)
            new = New(key, b"".join(bodies), etag, upload.attributes, sizes)
            return self._write(held, new)

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        async with self._call("abort_upload", bucket, key):
            self._bucket("AbortMultipartUpload", bucket)
            self._uploads[bucket].discard(upload_id)

    async def list_parts(self, bucket: str, key: str, upload_id: str) -> list[Part]:
        async with self._call("list_parts", bucket, key):
            self._bucket("ListParts", bucket)
            return self._uploads[bucket].get("ListParts", key, upload_id).listed()

    async def list_uploads(self, bucket: str, prefix: str = "") -> list[Upload]:
        async with self._call("list_uploads", bucket, prefix):
            self._bucket("ListMultipartUploads", bucket)
            return [
                Upload(upload.key, upload.upload_id, self._time_text(upload.initiated))
                for upload in self._uploads[bucket].below(prefix)
            ]


@lru_cache(maxsize=4096)
def _text_of(seconds: float, spec: str) -> str:
    """As listings have it. Listings show the same moments again and again."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec=spec)
    return text.replace("+00:00", "Z")


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()
