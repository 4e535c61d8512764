"""Single abilities, each asked for with real requests on a key of its own.

A check answers yes or no. A server that refuses a request has said no; a server that
cannot be reached or fails has said nothing, and the probe ends without a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import md5

from farshore.core import acl
from farshore.core.model import NO_ATTRIBUTES
from farshore.errors import Corrupt, Denied, Gone, Precondition, StoreError, Unsupported
from farshore.s3.probe.scratch import BODY, Scratch
from farshore.s3.store import ALWAYS, Condition

RACERS = 8
"""Conditional creations of one key at the same moment, of which one may win."""

PART_BYTES = 5 * 1024 * 1024
"""The least size of a part that is not the last."""

ABSENT = Condition(absent=True)
TAGS = (("probe", "first"),)
OTHER_TAGS = (("probe", "second"),)
HARMLESS = acl.Grant(acl.LOG_DELIVERY, "READ_ACP")
OTHER_ETAG = "0" * 32

Check = Callable[[Scratch, str], Awaitable[bool]]
"""Asks one thing, on a key (or below it) that nobody else uses."""


async def check_all(scratch: Scratch) -> tuple[dict[str, bool], list[str]]:
    """Every ability by the name of its field in `Capabilities`, and a sentence per refusal."""
    able: dict[str, bool] = {}
    evidence: list[str] = []
    for name, check in CHECKS.items():
        try:
            able[name] = await check(scratch, f"{scratch.prefix}{name}")
        except StoreError as error:
            if error.retryable or isinstance(error, Denied) or error.exit_code != 1:
                raise
            able[name] = False
            evidence.append(f"{name}: {error.message}")
    return able, evidence


async def tells_current_marker(scratch: Scratch) -> bool:
    """Whether HEAD of a deleted key says that there is a delete marker."""
    key = scratch.prefix + "marker_told"
    await scratch.store.put(scratch.bucket, key, BODY)
    await scratch.store.delete(scratch.bucket, key)
    return await _is_told(scratch, key, "")


async def conditional_create(scratch: Scratch, key: str) -> bool:
    """One of several racers wins; and none where the key exists."""
    won = await asyncio.gather(*(_created(scratch, key) for _ in range(RACERS)))
    return sum(won) == 1 and not await _created(scratch, key)


async def conditional_replace(scratch: Scratch, key: str) -> bool:
    await scratch.store.put(scratch.bucket, key, BODY)
    etag = (await scratch.store.head(scratch.bucket, key)).etag
    if await _holds(_put(scratch, key, Condition(etag=OTHER_ETAG))):
        return False
    return await _holds(_put(scratch, key, Condition(etag=etag)))


async def conditional_complete(scratch: Scratch, key: str) -> bool:
    """Complete with If-None-Match: refused where the key exists, taken where it does not."""
    if not await _holds(_uploaded(scratch, key, [BODY], ABSENT)):
        return False
    return not await _holds(_uploaded(scratch, key, [BODY], ABSENT))


async def conditional_delete(scratch: Scratch, key: str) -> bool:
    await scratch.store.put(scratch.bucket, key, BODY)
    etag = (await scratch.store.head(scratch.bucket, key)).etag
    wrong = scratch.store.delete(scratch.bucket, key, condition=Condition(etag=OTHER_ETAG))
    if await _holds(wrong):
        return False
    return await _holds(scratch.store.delete(scratch.bucket, key, condition=Condition(etag=etag)))


async def stacked_markers(scratch: Scratch, key: str) -> bool:
    await scratch.store.put(scratch.bucket, key, BODY)
    for _ in range(2):
        await scratch.store.delete(scratch.bucket, key)
    page = await scratch.store.list_versions(scratch.bucket, prefix=key)
    return sum(entry.is_marker for entry in page.entries) == 2


async def marker_by_id(scratch: Scratch, key: str) -> bool:
    await scratch.store.put(scratch.bucket, key, BODY)
    await scratch.store.delete(scratch.bucket, key)
    page = await scratch.store.list_versions(scratch.bucket, prefix=key)
    markers = [entry for entry in page.entries if entry.is_marker]
    return bool(markers) and await _is_told(scratch, key, markers[0].version_id)


async def etag_is_md5(scratch: Scratch, key: str) -> bool:
    await scratch.store.put(scratch.bucket, key, BODY)
    return (await scratch.store.head(scratch.bucket, key)).etag == _md5(BODY).hex()


async def content_md5_verified(scratch: Scratch, key: str) -> bool:
    """A wrong Content-MD5 is refused, and the right one is taken."""
    await scratch.store.put(scratch.bucket, key, BODY, content_md5=_md5(BODY))
    try:
        await scratch.store.put(scratch.bucket, key, BODY, content_md5=_md5(b"other"))
    except Corrupt:
        return True
    return False


async def checksums(scratch: Scratch, key: str) -> bool:
    """HEAD tells a checksum of an object that was written without one."""
    await scratch.store.put(scratch.bucket, key, BODY)
    return (await scratch.store.head(scratch.bucket, key)).checksum is not None


async def part_number(scratch: Scratch, key: str) -> bool:
    await _uploaded(scratch, key, [bytes(PART_BYTES), BODY], ALWAYS)
    info = await scratch.store.head(scratch.bucket, key, part_number=2)
    return info.parts_count == 2 and info.size == len(BODY)


async def tags_per_version(scratch: Scratch, key: str) -> bool:
    """Two versions keep different tags, and changing one's leaves the other's alone."""
    for tags in (TAGS, OTHER_TAGS):
        await scratch.store.put(scratch.bucket, key, BODY, replace(NO_ATTRIBUTES, tags=tags))
    page = await scratch.store.list_versions(scratch.bucket, prefix=key)
    newer, older = (entry.version_id for entry in page.entries)
    changed = (("probe", "changed"),)
    await scratch.store.put_tags(scratch.bucket, key, older, changed)
    kept = [await scratch.store.get_tags(scratch.bucket, key, v) for v in (newer, older)]
    return kept == [OTHER_TAGS, changed]


async def tags_on_multipart(scratch: Scratch, key: str) -> bool:
    await _uploaded(scratch, key, [BODY], ALWAYS, TAGS)
    return await scratch.store.get_tags(scratch.bucket, key) == TAGS


async def object_lock(scratch: Scratch, key: str) -> bool:
    """A legal hold is kept, in this bucket: the lock is a bucket's property too."""
    await scratch.store.put(scratch.bucket, key, BODY)
    version_id = (await scratch.store.head(scratch.bucket, key)).version_id
    try:
        await scratch.store.put_legal_hold(scratch.bucket, key, version_id, True)
    except Denied as error:
        # The right to lock is apart from the right to write: a replicator may well lack it.
        raise Unsupported(error.message, action=error.action) from error
    try:
        info = await scratch.store.head(scratch.bucket, key, version_id)
    finally:
        await scratch.store.put_legal_hold(scratch.bucket, key, version_id, False)
    return info.attributes.lock.legal_hold


async def acls(scratch: Scratch, key: str) -> bool:
    """Two versions keep lists of their own. The group that is granted something opens nothing."""
    store, bucket = scratch.store, scratch.bucket
    for _ in range(2):
        await store.put(bucket, key, BODY)
    page = await store.list_versions(bucket, prefix=key)
    newer, older = (entry.version_id for entry in page.entries)
    try:
        before = await store.get_acl(bucket, key, older)
        await store.put_acl(bucket, key, older, acl.with_groups(before, [HARMLESS]))
        kept = [acl.of_groups(await store.get_acl(bucket, key, v)) for v in (newer, older)]
        await store.put_acl(bucket, key, older, before)
        after = acl.of_groups(await store.get_acl(bucket, key, older))
    except Denied as error:
        # Whoever gives the replicator these rights wants lists to be copied; nobody must.
        raise Unsupported(error.message, action=error.action) from error
    return (kept, after) == ([frozenset(), frozenset({HARMLESS})], frozenset())


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        conditional_create,
        conditional_replace,
        conditional_complete,
        conditional_delete,
        stacked_markers,
        marker_by_id,
        etag_is_md5,
        content_md5_verified,
        checksums,
        part_number,
        tags_per_version,
        tags_on_multipart,
        object_lock,
        acls,
    )
}


async def _holds(request: Awaitable[object]) -> bool:
    """Whether a conditional request went through."""
    try:
        await request
    except Precondition:
        return False
    return True


async def _created(scratch: Scratch, key: str) -> bool:
    return await _holds(_put(scratch, key, ABSENT))


async def _put(scratch: Scratch, key: str, condition: Condition) -> None:
    await scratch.store.put(scratch.bucket, key, BODY, condition=condition)


async def _uploaded(
    scratch: Scratch,
    key: str,
    bodies: list[bytes],
    condition: Condition,
    tags: tuple[tuple[str, str], ...] = (),
) -> None:
    store, bucket = scratch.store, scratch.bucket
    upload = await store.create_upload(bucket, key, replace(NO_ATTRIBUTES, tags=tags))
    parts = [
        (number, await store.put_part(bucket, key, upload, number, body))
        for number, body in enumerate(bodies, 1)
    ]
    await store.complete_upload(bucket, key, upload, parts, condition=condition)


async def _is_told(scratch: Scratch, key: str, version_id: str) -> bool:
    try:
        await scratch.store.head(scratch.bucket, key, version_id)
    except Gone as gone:
        return gone.is_marker
    return False


def _md5(body: bytes) -> bytes:
    return md5(body, usedforsecurity=False).digest()
