"""Faults on purpose: a wrapper over any store that fails as networks and servers do.

The kinds of faults and the scripts live in `scripts`; they can be imported from
here as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from farshore.core.acl import Acl
from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.errors import Corrupt
from farshore.s3.store import (
    ALWAYS,
    Body,
    BucketConfig,
    Chunk,
    Condition,
    Deleted,
    ObjectInfo,
    ObjectRead,
    Part,
    Store,
    Upload,
    VersionPage,
    Written,
)
from farshore.testing.store.call import Call
from farshore.testing.store.scripts import (
    AlterBody,
    Crash,
    Crashed,
    CutBody,
    CutListing,
    DisorderedListing,
    Fail,
    Fault,
    Hang,
    LoseEntries,
    Rates,
    Script,
    at,
    first_of,
    lost_answer,
    on,
    seeded,
    server_fault,
    throttled,
    unreachable,
)

__all__ = [
    "AlterBody",
    "Crash",
    "Crashed",
    "CutBody",
    "CutListing",
    "DisorderedListing",
    "Fail",
    "Fault",
    "Faulty",
    "Hang",
    "LoseEntries",
    "Rates",
    "Script",
    "at",
    "first_of",
    "lost_answer",
    "on",
    "seeded",
    "server_fault",
    "throttled",
    "unreachable",
]

T = TypeVar("T")

CALLS_KEPT_MAX = 100_000


class Faulty:
    """A store whose calls fail as the script says. `calls` are the latest calls, in order.

    `aclose` and `presign` never fail: they ask the server nothing.
    """

    def __init__(self, store: Store, script: Script) -> None:
        self._store = store
        self.script = script
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT_MAX)
        self._number = 0

    @property
    def site(self) -> str:
        return self._store.site

    # -- the wrapping ----------------------------------------------------------

    def _next(self, operation: str, bucket: str, key: str) -> Fault | None:
        self._number += 1
        self.calls.append(Call(operation, bucket, key, self._number))
        return self.script(operation, bucket, key, self._number)

    async def _through(
        self, operation: str, bucket: str, key: str, act: Callable[[], Awaitable[T]]
    ) -> T:
        fault = self._next(operation, bucket, key)
        return await self._around(fault, f"{operation} {bucket}/{key} at {self.site}", act)

    async def _around(self, fault: Fault | None, action: str, act: Callable[[], Awaitable[T]]) -> T:
        """The act between what is due ahead of it and what is due after it."""
        await _due(fault, action, after=False)
        answer = await act()
        await _due(fault, action, after=True)
        return answer

    # -- operations with a fault of their own ----------------------------------

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
        fault = self._next("list_versions", bucket, prefix)
        page = await self._around(
            fault,
            f"list_versions {bucket}/{prefix} at {self.site}",
            lambda: self._store.list_versions(
                bucket,
                prefix=prefix,
                key_marker=key_marker,
                version_marker=version_marker,
                delimiter=delimiter,
                limit=limit,
            ),
        )
        return _spoilt(page, fault)

    def get(
        self,
        bucket: str,
        key: str,
        version_id: str = "",
        *,
        first: int = 0,
        last: int | None = None,
    ) -> AbstractAsyncContextManager[ObjectRead]:
        inner = self._store.get(bucket, key, version_id, first=first, last=last)
        return _FaultyOpening(self, inner, bucket, key)

    # -- everything else -------------------------------------------------------

    async def head(
        self, bucket: str, key: str, version_id: str = "", *, part_number: int = 0
    ) -> ObjectInfo:
        return await self._through(
            "head",
            bucket,
            key,
            lambda: self._store.head(bucket, key, version_id, part_number=part_number),
        )

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
        return await self._through(
            "put",
            bucket,
            key,
            lambda: self._store.put(
                bucket, key, body, attributes, condition=condition, content_md5=content_md5
            ),
        )

    async def delete(
        self, bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
    ) -> Deleted:
        return await self._through(
            "delete",
            bucket,
            key,
            lambda: self._store.delete(bucket, key, version_id, condition=condition),
        )

    async def get_tags(
        self, bucket: str, key: str, version_id: str = ""
    ) -> tuple[tuple[str, str], ...]:
        return await self._through(
            "get_tags", bucket, key, lambda: self._store.get_tags(bucket, key, version_id)
        )

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        await self._through(
            "put_tags", bucket, key, lambda: self._store.put_tags(bucket, key, version_id, tags)
        )

    async def put_retention(
        self, bucket: str, key: str, version_id: str, mode: str, retain_until: str
    ) -> None:
        await self._through(
            "put_retention",
            bucket,
            key,
            lambda: self._store.put_retention(bucket, key, version_id, mode, retain_until),
        )

    async def put_legal_hold(self, bucket: str, key: str, version_id: str, held: bool) -> None:
        await self._through(
            "put_legal_hold",
            bucket,
            key,
            lambda: self._store.put_legal_hold(bucket, key, version_id, held),
        )

    async def get_acl(self, bucket: str, key: str, version_id: str = "") -> Acl:
        return await self._through(
            "get_acl", bucket, key, lambda: self._store.get_acl(bucket, key, version_id)
        )

    async def put_acl(self, bucket: str, key: str, version_id: str, acl: Acl) -> None:
        await self._through(
            "put_acl", bucket, key, lambda: self._store.put_acl(bucket, key, version_id, acl)
        )

    async def create_upload(
        self, bucket: str, key: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> str:
        return await self._through(
            "create_upload",
            bucket,
            key,
            lambda: self._store.create_upload(bucket, key, attributes),
        )

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
        return await self._through(
            "put_part",
            bucket,
            key,
            lambda: self._store.put_part(
                bucket, key, upload_id, number, body, content_md5=content_md5
            ),
        )

    async def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: list[tuple[int, str]],
        *,
        condition: Condition = ALWAYS,
    ) -> Written:
        return await self._through(
            "complete_upload",
            bucket,
            key,
            lambda: self._store.complete_upload(bucket, key, upload_id, parts, condition=condition),
        )

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        await self._through(
            "abort_upload", bucket, key, lambda: self._store.abort_upload(bucket, key, upload_id)
        )

    async def list_parts(self, bucket: str, key: str, upload_id: str) -> list[Part]:
        return await self._through(
            "list_parts", bucket, key, lambda: self._store.list_parts(bucket, key, upload_id)
        )

    async def list_uploads(self, bucket: str, prefix: str = "") -> list[Upload]:
        return await self._through(
            "list_uploads", bucket, prefix, lambda: self._store.list_uploads(bucket, prefix)
        )

    async def list_buckets(self) -> list[str]:
        return await self._through("list_buckets", "", "", self._store.list_buckets)

    async def create_bucket(self, bucket: str) -> None:
        await self._through("create_bucket", bucket, "", lambda: self._store.create_bucket(bucket))

    async def get_versioning(self, bucket: str) -> str:
        return await self._through(
            "get_versioning", bucket, "", lambda: self._store.get_versioning(bucket)
        )

    async def put_versioning(self, bucket: str, enabled: bool) -> None:
        await self._through(
            "put_versioning", bucket, "", lambda: self._store.put_versioning(bucket, enabled)
        )

    async def get_bucket_policy(self, bucket: str) -> str:
        return await self._through(
            "get_bucket_policy", bucket, "", lambda: self._store.get_bucket_policy(bucket)
        )

    async def put_bucket_policy(self, bucket: str, document: str) -> None:
        await self._through(
            "put_bucket_policy", bucket, "", lambda: self._store.put_bucket_policy(bucket, document)
        )

    async def delete_bucket_policy(self, bucket: str) -> None:
        await self._through(
            "delete_bucket_policy", bucket, "", lambda: self._store.delete_bucket_policy(bucket)
        )

    async def get_bucket_config(self, bucket: str, kind: BucketConfig) -> str:
        return await self._through(
            "get_bucket_config", bucket, "", lambda: self._store.get_bucket_config(bucket, kind)
        )

    async def put_bucket_config(self, bucket: str, kind: BucketConfig, document: str) -> None:
        await self._through(
            "put_bucket_config",
            bucket,
            "",
            lambda: self._store.put_bucket_config(bucket, kind, document),
        )

    async def get_identity(self) -> str:
        return await self._through("get_identity", "", "", self._store.get_identity)

    async def server_time_offset(self) -> float:
        return await self._through("server_time_offset", "", "", self._store.server_time_offset)

    def presign(
        self, method: str, bucket: str, key: str, version_id: str = "", *, expires_s: int = 900
    ) -> str:
        return self._store.presign(method, bucket, key, version_id, expires_s=expires_s)

    async def aclose(self) -> None:
        await self._store.aclose()


async def _due(fault: Fault | None, action: str, *, after: bool) -> None:
    """Do what the fault asks for at this moment."""
    if not isinstance(fault, Fail | Crash | Hang) or fault.after != after:
        return
    if isinstance(fault, Hang):
        await fault.event.wait()
    elif isinstance(fault, Crash):
        raise Crashed(f"{action}: crashed {'after' if after else 'before'} the effect")
    else:
        raise fault.error(action)


def _spoilt(page: VersionPage, fault: Fault | None) -> VersionPage:
    """The page as the fault leaves it; its markers stay those of the whole page."""
    if isinstance(fault, CutListing):
        kept = page.entries[: fault.keep]
        return page._replace(entries=kept, truncated=False, next_key="", next_version="")
    if isinstance(fault, LoseEntries):
        return page._replace(entries=page.entries[fault.count :])
    if isinstance(fault, DisorderedListing):
        return page._replace(entries=page.entries[::-1])
    return page


class _FaultyOpening:
    """The opening of a GET between what is due ahead of it and after it."""

    def __init__(
        self,
        owner: Faulty,
        inner: AbstractAsyncContextManager[ObjectRead],
        bucket: str,
        key: str,
    ) -> None:
        self._owner = owner
        self._inner = inner
        self._about = (bucket, key)

    async def __aenter__(self) -> ObjectRead:
        bucket, key = self._about
        fault = self._owner._next("get", bucket, key)
        action = f"get {bucket}/{key} at {self._owner.site}"
        await _due(fault, action, after=False)
        read = await self._inner.__aenter__()
        try:
            await _due(fault, action, after=True)
        except BaseException as error:
            await self._inner.__aexit__(type(error), error, error.__traceback__)
            raise
        if isinstance(fault, CutBody | AlterBody) and read.body_length:
            return _FaultyRead(read, fault, action)
        return read

    async def __aexit__(self, *error: object) -> bool | None:
        return await self._inner.__aexit__(*error)  # type: ignore[arg-type]  # passed as it came


class _FaultyRead:
    """An open GET whose body is cut short or altered."""

    def __init__(self, read: ObjectRead, fault: CutBody | AlterBody, action: str) -> None:
        self._read = read
        self._fault = fault
        self._action = action

    @property
    def info(self) -> ObjectInfo:
        return self._read.info

    @property
    def body_length(self) -> int:
        return self._read.body_length

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[Chunk]:
        if isinstance(self._fault, CutBody):
            async for chunk in self._cut(min(self._fault.keep, self.body_length - 1)):
                yield chunk
        else:
            async for chunk in self._altered(self._fault.position % self.body_length):
                yield chunk

    async def _cut(self, end: int) -> AsyncIterator[Chunk]:
        """The first `end` bytes, then `Corrupt`: what a broken connection looks like."""
        passed = 0
        async for chunk in self._read.chunks():
            yield chunk[: end - passed]
            passed += len(chunk)
            if passed >= end:
                break
        raise Corrupt(
            f"{self._action}: {end} of {self.body_length} bytes came", action=self._action
        )

    async def _altered(self, position: int) -> AsyncIterator[Chunk]:
        """The whole body, the byte at `position` flipped."""
        passed = 0
        async for chunk in self._read.chunks():
            place = position - passed
            if 0 <= place < len(chunk):
                altered = bytearray(chunk)
                altered[place] ^= 0xFF
                yield bytes(altered)
            else:
                yield chunk
            passed += len(chunk)
