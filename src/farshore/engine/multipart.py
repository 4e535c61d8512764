"""Copy a multipart version: the same parts, hence the same ETag, piped in parallel.

An upload that was interrupted is taken up again: parts that already stand with the
right size are kept, and the composite ETag proves all of them before anything shows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from farshore.clock import Clock
from farshore.core.model import Attributes, Version
from farshore.engine.copy import Copied, check_etag, condition_above, dress
from farshore.engine.side import Side
from farshore.errors import (
    BadRequest,
    Corrupt,
    Gone,
    OutcomeUnknown,
    Precondition,
    StateError,
    StoreError,
)
from farshore.journal.sqlite import Journal, UploadName
from farshore.s3.store import ALWAYS, ObjectInfo, Part, Stream
from farshore.tasks import together

Result = TypeVar("Result")

PARTS_AT_ONCE = 4
"""Parts of one version in flight together; each holds one bounded buffer."""

PART_ATTEMPTS = 4
PART_PAUSE_S = 0.1
"""A part that fails in passing is sent again after 0.2, 0.4 and 0.8 s."""

PART_LIMIT = 10_000
"""S3's highest part number."""

MIB = 1024 * 1024

Sleep = Callable[[float], Awaitable[None]]


def is_multipart(etag: str) -> bool:
    """Whether an ETag has the form of a multipart upload's: `<hex>-<parts>`."""
    return "-" in etag


def parts_in(etag: str) -> int:
    """The number of parts that a multipart ETag states."""
    _, _, count = etag.partition("-")
    if not count.isdigit() or not 1 <= int(count) <= PART_LIMIT:
        raise BadRequest(f"the ETag {etag!r} does not say how many parts the version has")
    return int(count)


def composite_etag(part_etags: Sequence[str]) -> str:
    """The ETag that S3 gives a multipart object: the MD5 of its parts' MD5s, and their number."""
    digest = hashlib.md5(b"".join(map(bytes.fromhex, part_etags)), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(part_etags)}"


def equal_parts(size: int, count: int, first: int) -> list[int] | None:
    """Sizes of `count` parts of which all but the last measure `first`; None if that cannot be."""
    last = size - first * (count - 1)
    if not 0 <= last <= first or (last == 0 and count > 1):
        return None
    return [first] * (count - 1) + [last]


def likely_parts(size: int, count: int) -> list[int]:
    """Part sizes for a server that does not tell: the smallest whole MiB that gives `count`."""
    exact = -(-size // count)
    rounded = -(-exact // MIB) * MIB
    return equal_parts(size, count, rounded) or equal_parts(size, count, exact) or [size]


async def part_sizes(source: Side, version: Version) -> list[int]:
    """The sizes of the version's parts, in order, as the source tells them."""
    count = parts_in(version.etag)
    if not source.capabilities.part_number:
        return likely_parts(version.size, count)
    gate = asyncio.Semaphore(PARTS_AT_ONCE)

    async def size_of(number: int) -> int:
        async with gate:
            return (await _part_info(source, version, number)).size

    sizes = await _results_of([size_of(number) for number in range(1, count + 1)])
    if sum(sizes) != version.size:
        raise Corrupt(
            f"{version.key!r} version {version.version_id}: its parts add up to {sum(sizes)} "
            f"bytes, the listing says {version.size}"
        )
    return sizes


async def _results_of(work: Sequence[Coroutine[None, None, Result]]) -> list[Result]:
    """All results, in order. The first failure ends the others, and is raised."""
    async with together() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]


async def _part_info(source: Side, version: Version, number: int) -> ObjectInfo:
    return await source.store.head(
        source.bucket, version.key, version.version_id, part_number=number
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """One upload that is being filled: part n is bytes starts[n-1] … of the version."""

    source: Side
    target: Side
    version: Version
    upload_id: str
    sizes: list[int]
    starts: list[int]
    sleep: Sleep

    async def copy_part(self, number: int) -> str:
        size, start = self.sizes[number - 1], self.starts[number - 1]
        version = self.version
        if not size:  # no range of bytes is empty: a range without an end would be the whole
            return await self.target.store.put_part(
                self.target.bucket, version.key, self.upload_id, number, b""
            )
        async with self.source.store.get(
            self.source.bucket,
            version.key,
            version.version_id,
            first=start,
            last=start + size - 1,
        ) as opened:
            return await self.target.store.put_part(
                self.target.bucket,
                version.key,
                self.upload_id,
                number,
                Stream(opened.body_length, opened.chunks()),
            )


async def copy_multipart(
    source: Side,
    target: Side,
    version: Version,
    above: Version | None,
    clock: Clock,
    journal: Journal,
    sleep: Sleep = asyncio.sleep,
) -> Copied:
    """Copy a version that was uploaded in parts. Raises as `copy_single` does."""
    info = await source.store.head(source.bucket, version.key, version.version_id)
    attributes, stamped = await dress(source, version, info, clock)
    sizes = await part_sizes(source, version)
    name = UploadName(
        target.site, target.bucket, version.key, f"{source.site};{version.version_id}"
    )
    upload_id, standing = await _open(target, name, attributes, journal)
    starts = [0, *accumulate(sizes)][: len(sizes)]
    job = _Job(source, target, version, upload_id, sizes, starts, sleep)
    etags = await _fill(job, standing)
    condition = (
        condition_above(target, above) if target.capabilities.conditional_complete else ALWAYS
    )
    try:
        if _comparable(source, target, attributes):
            _prove(version, etags)
        written = await target.store.complete_upload(
            target.bucket, version.key, upload_id, list(enumerate(etags, 1)), condition=condition
        )
    except (Corrupt, Precondition):
        await target.store.abort_upload(target.bucket, version.key, upload_id)
        journal.forget_upload(name)
        raise
    journal.forget_upload(name)
    if attributes.tags and not target.capabilities.tags_on_multipart:
        await target.store.put_tags(target.bucket, version.key, written.version_id, attributes.tags)
    await check_etag(target, version, written, _expected(etags), attributes)
    return Copied(written.version_id, written.etag or version.etag, version.size, stamped)


def _comparable(source: Side, target: Side, attributes: Attributes) -> bool:
    return (
        source.capabilities.etag_is_md5
        and source.capabilities.part_number
        and target.capabilities.etag_is_md5
        and not attributes.encryption.startswith("aws:kms")
    )


def _prove(version: Version, etags: Sequence[str]) -> None:
    """The parts' MD5s, as the target counted them, must give the source's ETag."""
    found = composite_etag(etags)
    if found != version.etag:
        raise Corrupt(
            f"{version.key!r} version {version.version_id}: the parts on the target give ETag "
            f"{found}, the source's is {version.etag}",
            hint="Nothing shows on the target; the upload was not completed. Try again.",
        )


def _expected(etags: Sequence[str]) -> str:
    return composite_etag(etags) if all(len(e) == 32 for e in etags) else ""


async def _open(
    target: Side, name: UploadName, attributes: Attributes, journal: Journal
) -> tuple[str, list[Part]]:
    """The upload that was begun for this version, or a new one, and the parts it has."""
    upload_id = journal.recall_upload(name)
    if upload_id:
        try:
            return upload_id, await target.store.list_parts(target.bucket, name.key, upload_id)
        except Gone:
            journal.forget_upload(name)  # completed or expired meanwhile: begin anew
    upload_id = await target.store.create_upload(target.bucket, name.key, attributes)
    try:
        journal.remember_upload(name, upload_id)
    except StateError:
        # Nobody could take it up again: leave none behind that costs money for ever.
        await target.store.abort_upload(target.bucket, name.key, upload_id)
        raise
    return upload_id, []


async def _fill(job: _Job, standing: list[Part]) -> list[str]:
    """Copy the parts that do not stand yet; answers all ETags in order."""
    done = _usable(standing, job.sizes)
    gate = asyncio.Semaphore(PARTS_AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            done[number] = await _persist(job, number)

    await _results_of([one(n) for n in range(1, len(job.sizes) + 1) if n not in done])
    return [done[number] for number in range(1, len(job.sizes) + 1)]


def _usable(standing: list[Part], sizes: list[int]) -> dict[int, str]:
    """ETags of the parts that stand with the right size, by number.

    SeaweedFS lists a replaced part beside its replacement: which of two is the one that
    counts cannot be known, so that number is sent again.
    """
    seen = Counter(part.number for part in standing)
    return {
        part.number: part.etag
        for part in standing
        if seen[part.number] == 1
        and part.number <= len(sizes)
        and part.size == sizes[part.number - 1]
    }


async def _persist(job: _Job, number: int) -> str:
    """Copy one part; writing a part again replaces it, so any passing fault may be retried."""
    for attempt in range(1, PART_ATTEMPTS + 1):
        try:
            return await job.copy_part(number)
        except StoreError as error:
            passing = error.retryable or isinstance(error, OutcomeUnknown | Corrupt)
            if not passing or attempt == PART_ATTEMPTS:
                raise
            await job.sleep(max(error.retry_after, PART_PAUSE_S * 2**attempt))
    raise AssertionError("unreachable: the last attempt returns or raises")
