"""The buckets of a site in memory, and the endpoint that they are reached by.

What is in the buckets is `memory.MemoryStore`'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from urllib.parse import quote, urlencode

from farshore.clock import Clock
from farshore.errors import BucketMissing
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import BucketConfig
from farshore.testing.store.bucket import Bucket
from farshore.testing.store.call import Call, Hook, Hooked
from farshore.testing.store.policed import require_markup, require_policy
from farshore.testing.store.upload import Uploads

EVERYTHING = Capabilities(
    server="memory",
    listing="plain",
    encoding_type_url=True,
    sub_second_modified=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_complete=True,
    conditional_delete=True,
    stacked_markers=True,
    marker_by_id=True,
    etag_is_md5=True,
    content_md5_verified=True,
    checksums=True,
    part_number=True,
    tags_per_version=True,
    tags_on_multipart=True,
    object_lock=True,
)
"""What S3 itself can do. Use `dataclasses.replace` to take single abilities away.

Access control lists are off, as they are in every new bucket of S3.
"""

WITH_ACLS = replace(EVERYTHING, acls=True)
"""A bucket in which they have been switched on."""

IDENTITY = "memory"
"""Whom the store takes its callers for, unless `policed.Policed` says another."""


class MemoryBuckets:
    """One site. `part_bytes_min` is S3's least part size (5 MiB there; 0 suits tests)."""

    def __init__(
        self,
        site: str,
        *,
        clock: Clock,
        capabilities: Capabilities = EVERYTHING,
        seed: int = 0,
        hook: Hook | None = None,
        part_bytes_min: int = 0,
        clock_offset_seconds: float = 0.0,
    ) -> None:
        self._site = site
        self._clock = clock
        self._can = capabilities
        self._seed = seed
        self._part_bytes_min = part_bytes_min
        self._offset_seconds = clock_offset_seconds
        self._buckets: dict[str, Bucket] = {}
        self._uploads: dict[str, Uploads] = {}
        self._minted = 0
        self._calls = 0
        self.hook = hook

    @property
    def site(self) -> str:
        return self._site

    # -- buckets ---------------------------------------------------------------

    async def list_buckets(self) -> list[str]:
        async with self._call("list_buckets", "", ""):
            return sorted(self._buckets)

    async def create_bucket(self, bucket: str) -> None:
        async with self._call("create_bucket", bucket, ""):
            if bucket not in self._buckets:
                self._buckets[bucket] = Bucket(self._site, bucket, self._can)
                self._uploads[bucket] = Uploads(f"{bucket} at {self._site}", self._part_bytes_min)

    async def get_versioning(self, bucket: str) -> str:
        async with self._call("get_versioning", bucket, ""):
            return self._bucket("GetBucketVersioning", bucket).versioning

    async def put_versioning(self, bucket: str, enabled: bool) -> None:
        async with self._call("put_versioning", bucket, ""):
            state = "Enabled" if enabled else "Suspended"
            self._bucket("PutBucketVersioning", bucket).versioning = state

    async def get_bucket_policy(self, bucket: str) -> str:
        async with self._call("get_bucket_policy", bucket, ""):
            return self._bucket("GetBucketPolicy", bucket).policy

    async def put_bucket_policy(self, bucket: str, document: str) -> None:
        async with self._call("put_bucket_policy", bucket, ""):
            held = self._bucket("PutBucketPolicy", bucket)
            require_policy(document, self._action("PutBucketPolicy", bucket, ""))
            held.policy = document

    async def delete_bucket_policy(self, bucket: str) -> None:
        async with self._call("delete_bucket_policy", bucket, ""):
            self._bucket("DeleteBucketPolicy", bucket).policy = ""

    async def get_bucket_config(self, bucket: str, kind: BucketConfig) -> str:
        async with self._call("get_bucket_config", bucket, ""):
            return self._bucket("GetBucketConfig", bucket).configs.get(kind, "")

    async def put_bucket_config(self, bucket: str, kind: BucketConfig, document: str) -> None:
        async with self._call("put_bucket_config", bucket, ""):
            held = self._bucket("PutBucketConfig", bucket)
            require_markup(document, self._action("PutBucketConfig", bucket, ""))
            held.configs[kind] = document

    async def get_identity(self) -> str:
        async with self._call("get_identity", "", ""):
            return IDENTITY

    def _bucket(self, operation: str, bucket: str) -> Bucket:
        if bucket not in self._buckets:
            raise BucketMissing(
                f"{operation}: there is no bucket {bucket} at {self._site}",
                hint="Create the bucket, or mend its name in the configuration.",
                status=404,
                code="NoSuchBucket",
                action=f"{operation} {bucket} at {self._site}",
            )
        return self._buckets[bucket]

    # -- the endpoint ----------------------------------------------------------

    async def server_time_offset(self) -> float:
        async with self._call("server_time_offset", "", ""):
            return self._offset_seconds

    def presign(
        self, method: str, bucket: str, key: str, version_id: str = "", *, expires_s: int = 900
    ) -> str:
        """A stable name for the request; nothing listens to it."""
        query = {"method": method, "expires": str(expires_s)}
        if version_id:
            query["versionId"] = version_id
        return f"memory://{self._site}/{bucket}/{quote(key, safe='')}?{urlencode(query)}"

    async def aclose(self) -> None:
        """Nothing is held open; what was stored stays."""

    def _call(self, operation: str, bucket: str, key: str) -> Hooked:
        self._calls += 1
        return Hooked(self.hook, Call(operation, bucket, key, self._calls))

    def _now(self) -> float:
        return self._clock.now() + self._offset_seconds

    def _mint(self, kind: str) -> str:
        """The next 32 hex digits of this site's seed: unique, and in no order."""
        self._minted += 1
        text = f"{self._seed}/{self._site}/{kind}/{self._minted}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _action(self, operation: str, bucket: str, key: str) -> str:
        return f"{operation} {bucket}/{key} at {self._site}"
