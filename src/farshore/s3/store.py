"""The store protocol: what farshore asks of one site's S3, and what it gets back.

The docstrings are the contract; `tests/contract/store_suite.py` is its proof, run on
every implementation. All methods raise only `farshore.errors.StoreError` subclasses
(or `asyncio.CancelledError`). No method retries: that is `wrap.Retrying`'s work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from farshore.core.acl import Acl
from farshore.core.model import NO_ATTRIBUTES, Attributes, Version

Chunk = bytes | memoryview
"""A piece of a body. A view keeps its memory for as long as it is held: hold few."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that is not in memory: exactly `length` bytes, read once."""

    length: int
    chunks: AsyncIterator[Chunk]


Body = bytes | Stream

BucketConfig = Literal["cors", "encryption", "lifecycle", "notification", "object-lock", "tagging"]
"""A sub-resource of a bucket that holds one XML document."""


class VersionPage(NamedTuple):
    """One answer of ListObjectVersions, entries in document order.

    `next_key` and `next_version` are the markers to go on with when `truncated`.
    `prefixes` are the CommonPrefixes when a delimiter was given. `server` is what the
    answer's Server header says, `url_encoded` whether encoding-type=url was obeyed.
    """

    entries: list[Version]
    prefixes: list[str]
    truncated: bool
    next_key: str
    next_version: str
    server: str = ""
    url_encoded: bool = False


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What HEAD or GET say of one version.

    `etag` without quotes. `modified` is the Last-Modified header as Unix seconds (0.0
    when absent). `tag_count` is what the server counted (tags themselves need
    `get_tags`; `attributes.tags` is empty here). `parts_count` is 0 unless HEAD was
    asked with `part_number` and the server told. `checksum` is (algorithm, type,
    base64 value), e.g. ("CRC64NVME", "FULL_OBJECT", "…"), or None.
    `size` is the length of the whole version, or of the part asked for.
    """

    version_id: str
    etag: str
    size: int
    modified: float
    attributes: Attributes
    tag_count: int = 0
    parts_count: int = 0
    checksum: tuple[str, str, str] | None = None
    archived: bool = False


class ObjectRead(Protocol):
    """An open GET. Reading less than `info.size` bytes raises `Corrupt`."""

    @property
    def info(self) -> ObjectInfo: ...

    @property
    def body_length(self) -> int:
        """Bytes of this answer's body: the range's length when a range was asked."""
        ...

    async def read(self) -> bytes:
        """The whole body. For small objects."""
        ...

    def chunks(self) -> AsyncIterator[Chunk]:
        """The body as it comes; the socket is paused while nobody reads."""
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """`absent`: If-None-Match: *. `etag`: If-Match: "etag" (no quotes here)."""

    absent: bool = False
    etag: str = ""


ALWAYS = Condition()


class Written(NamedTuple):
    """What a PUT or a Complete answered. `etag` may be "" (some servers omit it)."""

    version_id: str
    etag: str


class Deleted(NamedTuple):
    """What a DELETE answered. `version_id` is "" where the server omits it."""

    version_id: str
    is_marker: bool


class Upload(NamedTuple):
    """An open multipart upload. `initiated` is the listing's text."""

    key: str
    upload_id: str
    initiated: str


class Part(NamedTuple):
    """A part of an open upload. `etag` without quotes."""

    number: int
    etag: str
    size: int


class Store(Protocol):
    """One site's S3, with one principal's credentials."""

    @property
    def site(self) -> str:
        """The site's name in the configuration, for messages."""
        ...

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
        """One page, raw: what the server said in the order it said it.

        Keys are decoded. Entries out of order within the page raise `BadListing`.
        """
        ...

    async def head(
        self, bucket: str, key: str, version_id: str = "", *, part_number: int = 0
    ) -> ObjectInfo:
        """`Gone` when it is not there; `Gone.is_marker` when a marker is (if the server says)."""
        ...

    def get(
        self,
        bucket: str,
        key: str,
        version_id: str = "",
        *,
        first: int = 0,
        last: int | None = None,
    ) -> AbstractAsyncContextManager[ObjectRead]:
        """Open a version, or its bytes `first`..`last` inclusive when `last` is given."""
        ...

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
        """Write a version. `content_md5` (16 raw bytes) is sent so that the server verifies.

        `Precondition` when the condition does not hold (If-Match under a marker
        included); `Corrupt` when the server found another MD5; `OutcomeUnknown` when the
        request was sent and no answer came.
        """
        ...

    async def delete(
        self, bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
    ) -> Deleted:
        """Without `version_id`: add a marker. With one: purge that version."""
        ...

    async def get_tags(
        self, bucket: str, key: str, version_id: str = ""
    ) -> tuple[tuple[str, str], ...]:
        """The version's tags, sorted."""
        ...

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        """Replace the version's tags; an empty tuple removes them."""
        ...

    async def put_retention(
        self, bucket: str, key: str, version_id: str, mode: str, retain_until: str
    ) -> None:
        """Set the version's retention. `retain_until` is ISO 8601."""
        ...

    async def put_legal_hold(self, bucket: str, key: str, version_id: str, held: bool) -> None:
        """Set or clear the version's legal hold."""
        ...

    async def get_acl(self, bucket: str, key: str, version_id: str = "") -> Acl:
        """The version's access control list."""
        ...

    async def put_acl(self, bucket: str, key: str, version_id: str, acl: Acl) -> None:
        """Replace the version's access control list. `acl.owner` must be its owner already."""
        ...

    async def create_upload(
        self, bucket: str, key: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> str:
        """Start a multipart upload; answers its id."""
        ...

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
        """Write one part (1..10000); answers its ETag. Writing a number again replaces it."""
        ...

    async def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: list[tuple[int, str]],
        *,
        condition: Condition = ALWAYS,
    ) -> Written:
        """Finish an upload. Errors inside a 200 answer are raised like any other."""
        ...

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give an upload up; one that is not there is no error."""
        ...

    async def list_parts(self, bucket: str, key: str, upload_id: str) -> list[Part]:
        """All parts so far, by number. `Gone` when the upload is not there.

        SeaweedFS lists a replaced part beside its replacement: tell them by ETag.
        """
        ...

    async def list_uploads(self, bucket: str, prefix: str = "") -> list[Upload]:
        """All open uploads below a prefix."""
        ...

    async def list_buckets(self) -> list[str]:
        """Names of the buckets that these credentials can see, sorted."""
        ...

    async def create_bucket(self, bucket: str) -> None:
        """Make a bucket; one that is already ours is no error."""
        ...

    async def get_versioning(self, bucket: str) -> str:
        """ "" (never set), "Enabled" or "Suspended". `BucketMissing` when it is not there."""
        ...

    async def put_versioning(self, bucket: str, enabled: bool) -> None:
        """Enable, or suspend, versioning."""
        ...

    async def get_bucket_policy(self, bucket: str) -> str:
        """The bucket's policy document as the server gives it; "" where there is none.

        Servers may give another text than they were given (SeaweedFS drops what it does
        not use): compare as JSON. `Unsupported` where the server has no policies.
        """
        ...

    async def put_bucket_policy(self, bucket: str, document: str) -> None:
        """Replace the bucket's policy. `BadRequest` for one that the server does not take."""
        ...

    async def delete_bucket_policy(self, bucket: str) -> None:
        """Take the bucket's policy away; where there is none that is no error."""
        ...

    async def get_bucket_config(self, bucket: str, kind: BucketConfig) -> str:
        """A sub-resource's document as the server gives it; "" where there is none.

        `Unsupported` where the server does not know it; then nothing is known of it.
        """
        ...

    async def put_bucket_config(self, bucket: str, kind: BucketConfig, document: str) -> None:
        """Replace a sub-resource. `BadRequest` for a document that the server does not take,
        `Unsupported` where it has none of that kind."""
        ...

    async def get_identity(self) -> str:
        """What the server calls the owner of these credentials, "" where it does not say.

        From ListBuckets: a user's name on SeaweedFS and Ceph RGW, on AWS the account's id,
        which all users of the account share.
        """
        ...

    async def server_time_offset(self) -> float:
        """The server's clock minus ours in seconds, from its Date header (resolution 1 s)."""
        ...

    def presign(
        self, method: str, bucket: str, key: str, version_id: str = "", *, expires_s: int = 900
    ) -> str:
        """A URL that carries its own signature (SigV4 query form)."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
