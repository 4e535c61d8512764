"""Behaviour that is put around a store, and the first of it: trying again.

`Wrapper` forwards the whole protocol through one method, so a wrapper says what it adds
and nothing else. They nest: `Retrying(Limited(S3Client(…), gate))` paces retries too
(`Limited` is in `pace`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, NoReturn, Self, TypeVar

from farshore.core.acl import Acl
from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.errors import (
    BadListing,
    Corrupt,
    KeysEnded,
    OutcomeUnknown,
    ServerFault,
    StoreError,
    Throttled,
    Unreachable,
)
from farshore.s3.connection import Closable
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
    Stream,
    Upload,
    VersionPage,
    Written,
)

T = TypeVar("T")


class Operation(NamedTuple):
    """One call: the protocol's method name, and whether doing it twice is as doing it once.

    `key`: of an object, or the prefix of a listing; "" for what is about a bucket.
    """

    name: str
    repeatable: bool
    bucket: str = ""
    key: str = ""
    body: Body = b""
    condition: Condition = ALWAYS


def _again(name: str, bucket: str = "", key: str = "", body: Body = b"") -> Operation:
    return Operation(name, True, bucket, key, body)


class Wrapper:
    """A store that forwards to another. Override `around`, `sending` or `reading`."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    async def around(self, operation: Operation, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call; `call` may be awaited more than once, or not at all."""
        return await call()

    def sending(self, body: Body) -> Body:
        """The body as it goes in."""
        return body

    def reading(self, read: ObjectRead) -> ObjectRead:
        """The open GET as it comes out."""
        return read

    @property
    def site(self) -> str:
        return self._inner.site

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
        return await self.around(
            _again("list_versions", bucket, prefix),
            lambda: self._inner.list_versions(
                bucket,
                prefix=prefix,
                key_marker=key_marker,
                version_marker=version_marker,
                delimiter=delimiter,
                limit=limit,
            ),
        )

    async def head(
        self, bucket: str, key: str, version_id: str = "", *, part_number: int = 0
    ) -> ObjectInfo:
        return await self.around(
            _again("head", bucket, key),
            lambda: self._inner.head(bucket, key, version_id, part_number=part_number),
        )

    def get(
        self,
        bucket: str,
        key: str,
        version_id: str = "",
        *,
        first: int = 0,
        last: int | None = None,
    ) -> AbstractAsyncContextManager[ObjectRead]:
        return _Opening(
            self,
            _again("get", bucket, key),
            lambda: self._inner.get(bucket, key, version_id, first=first, last=last),
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
        sent = self.sending(body)
        return await self.around(
            Operation("put", False, bucket, key, sent, condition),
            lambda: self._inner.put(
                bucket, key, sent, attributes, condition=condition, content_md5=content_md5
            ),
        )

    async def delete(
        self, bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
    ) -> Deleted:
        return await self.around(
            Operation("delete", bool(version_id), bucket, key, b"", condition),
            lambda: self._inner.delete(bucket, key, version_id, condition=condition),
        )

    async def get_tags(
        self, bucket: str, key: str, version_id: str = ""
    ) -> tuple[tuple[str, str], ...]:
        return await self.around(
            _again("get_tags", bucket, key), lambda: self._inner.get_tags(bucket, key, version_id)
        )

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        await self.around(
            _again("put_tags", bucket, key),
            lambda: self._inner.put_tags(bucket, key, version_id, tags),
        )

    async def put_retention(
        self, bucket: str, key: str, version_id: str, mode: str, retain_until: str
    ) -> None:
        await self.around(
            _again("put_retention", bucket, key),
            lambda: self._inner.put_retention(bucket, key, version_id, mode, retain_until),
        )

    async def put_legal_hold(self, bucket: str, key: str, version_id: str, held: bool) -> None:
        await self.around(
            _again("put_legal_hold", bucket, key),
            lambda: self._inner.put_legal_hold(bucket, key, version_id, held),
        )

    async def get_acl(self, bucket: str, key: str, version_id: str = "") -> Acl:
        return await self.around(
            _again("get_acl", bucket, key), lambda: self._inner.get_acl(bucket, key, version_id)
        )

    async def put_acl(self, bucket: str, key: str, version_id: str, acl: Acl) -> None:
        await self.around(
            _again("put_acl", bucket, key),
            lambda: self._inner.put_acl(bucket, key, version_id, acl),
        )

    async def create_upload(
        self, bucket: str, key: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> str:
        return await self.around(
            Operation("create_upload", False, bucket, key),
            lambda: self._inner.create_upload(bucket, key, attributes),
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
        sent = self.sending(body)
        return await self.around(
            _again("put_part", bucket, key, sent),
            lambda: self._inner.put_part(
                bucket, key, upload_id, number, sent, content_md5=content_md5
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
        return await self.around(
            Operation("complete_upload", False, bucket, key, b"", condition),
            lambda: self._inner.complete_upload(bucket, key, upload_id, parts, condition=condition),
        )

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        await self.around(
            _again("abort_upload", bucket, key),
            lambda: self._inner.abort_upload(bucket, key, upload_id),
        )

    async def list_parts(self, bucket: str, key: str, upload_id: str) -> list[Part]:
        return await self.around(
            _again("list_parts", bucket, key),
            lambda: self._inner.list_parts(bucket, key, upload_id),
        )

    async def list_uploads(self, bucket: str, prefix: str = "") -> list[Upload]:
        return await self.around(
            _again("list_uploads", bucket, prefix), lambda: self._inner.list_uploads(bucket, prefix)
        )

    async def list_buckets(self) -> list[str]:
        return await self.around(_again("list_buckets"), self._inner.list_buckets)

    async def create_bucket(self, bucket: str) -> None:
        await self.around(
            _again("create_bucket", bucket), lambda: self._inner.create_bucket(bucket)
        )

    async def get_versioning(self, bucket: str) -> str:
        return await self.around(
            _again("get_versioning", bucket), lambda: self._inner.get_versioning(bucket)
        )

    async def put_versioning(self, bucket: str, enabled: bool) -> None:
        await self.around(
            _again("put_versioning", bucket), lambda: self._inner.put_versioning(bucket, enabled)
        )

    async def get_bucket_policy(self, bucket: str) -> str:
        return await self.around(
            _again("get_bucket_policy", bucket), lambda: self._inner.get_bucket_policy(bucket)
        )

    async def put_bucket_policy(self, bucket: str, document: str) -> None:
        await self.around(
            _again("put_bucket_policy", bucket),
            lambda: self._inner.put_bucket_policy(bucket, document),
        )

    async def delete_bucket_policy(self, bucket: str) -> None:
        await self.around(
            _again("delete_bucket_policy", bucket), lambda: self._inner.delete_bucket_policy(bucket)
        )

    async def get_bucket_config(self, bucket: str, kind: BucketConfig) -> str:
        return await self.around(
            _again("get_bucket_config", bucket), lambda: self._inner.get_bucket_config(bucket, kind)
        )

    async def put_bucket_config(self, bucket: str, kind: BucketConfig, document: str) -> None:
        await self.around(
            _again("put_bucket_config", bucket),
            lambda: self._inner.put_bucket_config(bucket, kind, document),
        )

    async def get_identity(self) -> str:
        return await self.around(_again("get_identity"), self._inner.get_identity)

    async def server_time_offset(self) -> float:
        return await self.around(_again("server_time_offset"), self._inner.server_time_offset)

    def presign(
        self, method: str, bucket: str, key: str, version_id: str = "", *, expires_s: int = 900
    ) -> str:
        return self._inner.presign(method, bucket, key, version_id, expires_s=expires_s)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Opening:
    """`async with` around a GET: opening goes through `around`, reading does not."""

    def __init__(
        self,
        wrapper: Wrapper,
        operation: Operation,
        opener: Callable[[], AbstractAsyncContextManager[ObjectRead]],
    ) -> None:
        self._wrapper = wrapper
        self._operation = operation
        self._opener = opener
        self._opened: AbstractAsyncContextManager[ObjectRead] | None = None

    async def __aenter__(self) -> ObjectRead:
        try:
            read = await self._wrapper.around(self._operation, self._open)
        except BaseException as error:  # nobody else can close what was opened
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._wrapper.reading(read)

    async def _open(self) -> ObjectRead:
        opening = self._opener()
        read = await opening.__aenter__()
        self._opened = opening
        return read

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)


# Trying again.


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts_max` attempts; between them a random time that doubles each time.

    The pause before attempt n+1 is between half and all of `delay_s_first` × 2^(n-1),
    never above `delay_s_max`, and no shorter than the server's Retry-After within that.
    Where no answer comes at all, each attempt may last as long as the line's own timeout:
    then none begins later than `silence_s_max` after the first.
    """

    attempts_max: int = 5
    delay_s_first: float = 0.2
    delay_s_max: float = 20.0
    silence_s_max: float = 45.0

    def allows(self, attempt: int, spent_s: float, error: StoreError) -> bool:
        """Whether another attempt may follow number `attempt`, `spent_s` after the first."""
        silent = isinstance(error, Unreachable | OutcomeUnknown)
        return attempt < self.attempts_max and not (silent and spent_s > self.silence_s_max)

    def delay_s(self, attempt: int, error: StoreError, rng: random.Random) -> float:
        """The pause after the failure of attempt number `attempt` (from 1)."""
        exponent = min(attempt - 1, 32)  # beyond that only delay_s_max counts
        delay = min(self.delay_s_first * 2.0**exponent, self.delay_s_max)
        return max(delay * rng.uniform(0.5, 1.0), min(error.retry_after, self.delay_s_max))


PATIENT = RetryPolicy()


class Retrying(Wrapper):
    """Tries again where that is safe, and says `OutcomeUnknown` where it is not.

    Repeatable operations (reads, settings, parts, purges by version id) are tried again
    on every retryable error, on an unknown outcome and on an answer cut short. Those that
    add something each time (put, delete without a version, create and complete an
    upload) only where nothing can have happened: `Unreachable`, `Throttled` and `KeysEnded`.
    A 5xx on those is raised as `OutcomeUnknown`: look, then decide. A body that is a stream is
    never sent twice: once a byte of it was taken, the error stands.
    """

    def __init__(
        self,
        inner: Store,
        policy: RetryPolicy = PATIENT,
        *,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_retry: Callable[[Operation, StoreError, float], None] | None = None,
    ) -> None:
        super().__init__(inner)
        self._policy = policy
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._on_retry = on_retry

    async def around(self, operation: Operation, call: Callable[[], Awaitable[T]]) -> T:
        attempt = 1
        began = asyncio.get_running_loop().time()
        while True:
            try:
                return await call()
            except StoreError as error:
                spent = asyncio.get_running_loop().time() - began
                if not self._policy.allows(attempt, spent, error) or not _may_repeat(
                    operation, error
                ):
                    _raise_as_seen(operation, error)
                delay = self._policy.delay_s(attempt, error, self._rng)
                if self._on_retry is not None:
                    self._on_retry(operation, error, delay)
            await self._sleep(delay)
            attempt += 1

    def sending(self, body: Body) -> Body:
        return Stream(body.length, _Watched(body.chunks)) if isinstance(body, Stream) else body


def _may_repeat(operation: Operation, error: StoreError) -> bool:
    if _is_used(operation.body):
        return False
    if not operation.repeatable:
        return error.retryable and isinstance(error, Unreachable | Throttled | KeysEnded)
    cut_short = isinstance(error, Corrupt) and not isinstance(error, BadListing)
    return error.retryable or cut_short or isinstance(error, OutcomeUnknown)


def _raise_as_seen(operation: Operation, error: StoreError) -> NoReturn:
    """A 5xx on what must not be repeated leaves the outcome unknown; else the error stands."""
    if operation.repeatable or not isinstance(error, ServerFault):
        raise error
    raise OutcomeUnknown(
        error.message,
        hint="it may have happened: look before trying again",
        status=error.status,
        code=error.code,
        action=error.action,
        retry_after=error.retry_after,
    ) from error


class Through:
    """Chunks that come from other chunks; closing closes those."""

    def __init__(self, chunks: AsyncIterator[Chunk]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        if isinstance(self._chunks, Closable):
            await self._chunks.aclose()


class _Watched(Through):
    """Knows whether any chunk was asked for."""

    used = False

    async def __anext__(self) -> Chunk:
        self.used = True
        return await anext(self._chunks)


def _is_used(body: Body) -> bool:
    chunks = body.chunks if isinstance(body, Stream) else None
    return isinstance(chunks, _Watched) and chunks.used
