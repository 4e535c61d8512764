"""Reading one entry that is held in memory: what HEAD says, ranges, and an open GET."""

from __future__ import annotations

import base64
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import NoReturn

from farshore.errors import BadRequest, Unsupported
from farshore.s3.store import ObjectInfo, ObjectRead
from farshore.testing.store.bucket import Entry

CHUNK_BYTES = 64 * 1024
ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")


def info_of(entry: Entry, *, versioned: bool, checksums: bool) -> ObjectInfo:
    """What HEAD and GET tell of an entry; a never versioned bucket tells no version id."""
    carried = entry.attributes
    return ObjectInfo(
        version_id=entry.version_id if versioned else "",
        etag=entry.etag,
        size=len(entry.body),
        modified=float(int(entry.modified)),
        attributes=replace(carried, tags=()) if carried.tags else carried,
        tag_count=len(carried.tags),
        checksum=_crc32(entry.body) if checksums else None,
        archived=carried.storage_class in ARCHIVE_CLASSES,
    )


def part_info(info: ObjectInfo, entry: Entry, number: int, action: str) -> ObjectInfo:
    """The same for one part. A plain object is one part, whose number S3 does not tell."""
    sizes = entry.part_sizes or (info.size,)
    if not 1 <= number <= len(sizes):
        _unsatisfiable(action, "InvalidPartNumber", f"there is no part {number}")
    return replace(info, size=sizes[number - 1], parts_count=len(entry.part_sizes))


def content_of(entry: Entry, first: int, last: int | None, action: str) -> bytes:
    """The bytes `first`..`last` inclusive. `Unsupported` for an archived version."""
    if entry.attributes.storage_class in ARCHIVE_CLASSES:
        raise Unsupported(
            f"{action}: the version is archived",
            hint="Restore it first, then copy it.",
            status=403,
            code="InvalidObjectState",
            action=action,
        )
    if not first and last is None:
        return entry.body
    if first >= len(entry.body) or (last is not None and last < first):
        _unsatisfiable(action, "InvalidRange", f"there are no bytes {first}-{last}")
    return entry.body[first : None if last is None else last + 1]


def _unsatisfiable(action: str, code: str, reason: str) -> NoReturn:
    raise BadRequest(f"{action}: {reason} ({code})", status=416, code=code, action=action)


def _crc32(content: bytes) -> tuple[str, str, str]:
    value = zlib.crc32(content).to_bytes(4, "big")
    return ("CRC32", "FULL_OBJECT", base64.b64encode(value).decode())


class MemoryRead:
    """An open version: the bytes as they were when it was opened."""

    def __init__(self, info: ObjectInfo, body: bytes) -> None:
        self._info = info
        self._body = body

    @property
    def info(self) -> ObjectInfo:
        return self._info

    @property
    def body_length(self) -> int:
        return len(self._body)

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), CHUNK_BYTES):
            yield self._body[start : start + CHUNK_BYTES]


class Opening:
    """An `async with` that opens a version when it is entered."""

    def __init__(self, open_version: Callable[[], Awaitable[ObjectRead]]) -> None:
        self._open_version = open_version

    async def __aenter__(self) -> ObjectRead:
        return await self._open_version()

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held open."""
