"""Copy one version: read it by id on the source, append its replica on the target.

The common case is one GET and one PUT. Where ETags are MD5s on the source and the
target verifies Content-MD5, the bytes are proved end to end without hashing them here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple

from farshore.clock import Clock
from farshore.core import stamp
from farshore.core.model import Attributes, Lock, Version
from farshore.engine.side import Side
from farshore.errors import BadRequest, Corrupt, Unsupported
from farshore.s3.store import ALWAYS, Chunk, Condition, ObjectInfo, ObjectRead, Stream, Written

IN_MEMORY_BYTES = 1024 * 1024
"""Bodies up to this size are read whole: one buffer, one write."""

_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Copied:
    """A replica that stands. `stamped` is "metadata", "tag" or "none"."""

    version_id: str
    etag: str
    size: int
    stamped: str


class Ahead(NamedTuple):
    """A version that was read before anybody asked for its copy. `seconds`: how long that took."""

    version_id: str
    info: ObjectInfo
    body: bytes
    seconds: float


def condition_above(target: Side, above: Version | None) -> Condition:
    """The condition that makes a write fail when the target's top is not what we saw.

    A marker counts as nothing (S3; `ConditionSuite` shows it on every server). None is
    possible where the server ignores conditions: there the lease and the single lane of
    the key are what keeps writers apart.
    """
    can = target.capabilities
    if above is None or above.is_marker:
        return Condition(absent=True) if can.conditional_create else ALWAYS
    if not above.etag:
        return ALWAYS
    return Condition(etag=above.etag) if can.conditional_replace else ALWAYS


def holds_after(condition: Condition, copied: Copied) -> bool:
    """Whether the write has left its own condition true: the bytes beneath are the same.

    Should the request have arrived twice (a proxy sends a PUT again whose answer it lost:
    RFC 9110, 9.2.2), then nothing stopped the second one. Whoever wrote looks once more.
    """
    return condition.etag != "" and condition.etag == copied.etag


async def copy_single(
    source: Side,
    target: Side,
    version: Version,
    above: Version | None,
    clock: Clock,
    ahead: Ahead | None = None,
) -> Copied:
    """Copy a version that was written in one PUT. `ahead`: it, if it was read already.

    Raises `Unsupported` for what cannot be read (SSE-C, archived), `Corrupt` when the
    bytes are not those of the source's ETag; otherwise what the stores raise.

    No body is open while the tags are asked for: as many copies as there are connections
    would wait for each other for ever. A large body with tags is opened again after that.
    """
    if ahead is not None:
        dressed = await dress(source, version, ahead.info, clock)
        return await _append(
            source, target, _Replica(version, above, ahead.info, *dressed), ahead.body
        )
    async with _Opened(source, version) as opened:
        info = opened.info
        refuse_unreadable(version, info)
        small = opened.body_length <= IN_MEMORY_BYTES
        if not small and not info.tag_count:
            replica = _Replica(version, above, info, *await dress(source, version, info, clock))
            return await _append(source, target, replica, opened)
        body = await opened.read() if small else b""
    replica = _Replica(version, above, info, *await dress(source, version, info, clock))
    if small:
        return await _append(source, target, replica, body)
    async with _Opened(source, version) as opened:
        return await _append(source, target, replica, opened)


class _Replica(NamedTuple):
    """What is about to be written, and on top of what. `stamped` is as in `Copied`."""

    version: Version
    above: Version | None
    info: ObjectInfo
    attributes: Attributes
    stamped: str


async def _append(
    source: Side, target: Side, replica: _Replica, content: bytes | ObjectRead
) -> Copied:
    """Write the replica, its bytes proved on the way or before they are acknowledged."""
    version, attributes = replica.version, replica.attributes
    expected = md5_of(source, version.etag, replica.info)
    proved_by_server = bool(expected) and target.capabilities.content_md5_verified
    digest = hashlib.md5(usedforsecurity=False)
    body: bytes | Stream
    if isinstance(content, bytes):
        body = content
        if not proved_by_server:
            digest.update(body)
            expected = _agreed(expected, digest.digest(), version)
    elif proved_by_server:
        body = Stream(content.body_length, content.chunks())
    else:
        body = Stream(content.body_length, _hashed(content, digest, expected, version))
    try:
        with target.writing(version, replica.above):
            written = await target.store.put(
                target.bucket,
                version.key,
                body,
                attributes,
                condition=condition_above(target, replica.above),
                content_md5=expected,
            )
    except Corrupt as error:
        if error.code == "BadDigest":
            raise _other_bytes(source, target, version) from error
        raise
    await check_etag(target, version, written, (expected or digest.digest()).hex(), attributes)
    return Copied(written.version_id, written.etag, version.size, replica.stamped)


def _other_bytes(source: Side, target: Side, version: Version) -> Corrupt:
    """The target computed another MD5 than the source's ETag: who is to blame is open."""
    return Corrupt(
        f"{version.key!r} version {version.version_id}: the bytes that reached {target.site} are "
        f"not those of {source.site}'s ETag {version.etag}; they were damaged at {source.site} "
        "or on the way",
        hint="Nothing was written. Try again; if it stays, read the object on the source.",
    )


def _agreed(expected: bytes, found: bytes, version: Version) -> bytes:
    if expected and found != expected:
        raise Corrupt(
            f"{version.key!r} version {version.version_id}: the bytes that came have MD5 "
            f"{found.hex()}, the source's ETag is {version.etag}",
            hint="Nothing was written. Try again; if it stays, read the object on the source.",
        )
    return found


async def _hashed(
    opened: ObjectRead, digest: hashlib._Hash, expected: bytes, version: Version
) -> AsyncIterator[Chunk]:
    """Pass the body on and hash it; the last chunk is held back until the hash agrees."""
    held: Chunk = b""
    async for chunk in opened.chunks():
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    _agreed(expected, digest.digest(), version)
    yield held


def md5_of(source: Side, etag: str, info: ObjectInfo) -> bytes:
    """The MD5 that the source's ETag is, or b"" where it is none."""
    encrypted = info.attributes.encryption.startswith("aws:kms")
    if encrypted or not source.capabilities.etag_is_md5 or not _MD5.fullmatch(etag):
        return b""
    return bytes.fromhex(etag)


async def dress(
    source: Side, version: Version, info: ObjectInfo, clock: Clock
) -> tuple[Attributes, str]:
    """What the replica carries: everything of the original, and the stamp."""
    refuse_unreadable(version, info)
    attributes = info.attributes
    if info.tag_count:
        tags = await source.store.get_tags(source.bucket, version.key, version.version_id)
        attributes = replace(attributes, tags=tags)
    lock = _live_lock(attributes.lock, clock.now())
    if lock is not attributes.lock or attributes.kms_key:
        attributes = replace(attributes, lock=lock, kms_key="")
    return stamp.attach(attributes, stamp.of(version, source.site))


async def require_readable(source: Side, version: Version) -> None:
    """`Unsupported` when the version cannot be read for a replica; reads no body."""
    async with _Opened(source, version) as opened:
        refuse_unreadable(version, opened.info)


class _Opened:
    """Open a version by its id. A 400 to that means a key that only the client has (SSE-C)."""

    __slots__ = ("_reading", "_version")

    def __init__(self, source: Side, version: Version) -> None:
        self._version = version
        self._reading = source.store.get(source.bucket, version.key, version.version_id)

    async def __aenter__(self) -> ObjectRead:
        try:
            return await self._reading.__aenter__()
        except BadRequest as error:
            raise Unsupported(
                f"{self._version.key!r} version {self._version.version_id} cannot be read without "
                "its client's encryption key (SSE-C): the source answers "
                f"{error.code or error.status}",
                status=error.status,
                code="SSE-C",
                action=error.action,
            ) from error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._reading.__aexit__(kind, error, trace)


def refuse_unreadable(version: Version, info: ObjectInfo) -> None:
    """SSE-C needs the client's key, an archived body needs a restore: neither is a failure."""
    if info.attributes.encryption == "SSE-C":
        raise Unsupported(
            f"{version.key!r} version {version.version_id} is encrypted with a key that only "
            "its client has (SSE-C)",
            hint="Write it again with SSE-S3 or SSE-KMS if it must be replicated.",
        )
    if info.archived:
        raise Unsupported(
            f"{version.key!r} version {version.version_id} is archived ({version.storage_class})",
            hint="Restore it on the source, then run the backfill again.",
        )


def _live_lock(lock: Lock, now: float) -> Lock:
    """Retention must end in the future to be accepted; an expired one cannot be replayed."""
    if not lock.retain_until or _unix(lock.retain_until) > now:
        return lock
    return replace(lock, mode="", retain_until="")


def _unix(moment: str) -> float:
    parsed = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


async def check_etag(
    target: Side, version: Version, written: Written, expected: str, attributes: Attributes
) -> None:
    """Compare what the target says it stored; take a wrong replica away again at once."""
    if not target.capabilities.etag_is_md5 or attributes.encryption.startswith("aws:kms"):
        return
    if written.etag == expected:
        return
    stored = await target.store.head(target.bucket, version.key, written.version_id)
    if stored.etag == expected or stored.attributes.encryption.startswith("aws:kms"):
        return  # under the bucket's own default SSE-KMS no ETag is an MD5
    found = stored.etag
    if written.version_id:
        await target.store.delete(target.bucket, version.key, written.version_id)
    raise Corrupt(
        f"{version.key!r} version {version.version_id}: the target stored ETag {found}, "
        f"expected {expected}",
        hint="The wrong replica was removed. Try again; if it stays, check network and disks.",
    )
