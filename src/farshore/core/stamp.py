"""The stamp: where a replica comes from, in one user-metadata header of the replica.

Listings never show it; HEAD and GET do. It makes a retry idempotent and stops loops
without a database: a version that carries a stamp is not a native of its site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from farshore.core.model import NULL_VERSION, Attributes, Version

STAMP_NAME = "farshore-origin"
"""Name of the user-metadata entry (header `x-amz-meta-farshore-origin`), and of the tag."""

METADATA_LIMIT_BYTES = 2048
"""All user metadata together, names and values (S3's documented limit)."""

TAGS_LIMIT = 10
"""Tags on one version (S3's documented limit)."""


class Stamp(NamedTuple):
    """The origin of a replica.

    `time` is the origin's LastModified as its listing had it. `etag` is the origin's
    ETag: it tells apart the successive contents of a null version, and proves the
    content where the target's own ETag is no MD5.
    """

    site: str
    version_id: str
    time: str
    etag: str

    def encode(self) -> str:
        """One line of ASCII without spaces: `site;version;time;etag`."""
        return ";".join(self)


def decode(text: str) -> Stamp | None:
    """The stamp in a metadata value, or None when the value is not one of ours."""
    fields = text.split(";")
    if len(fields) != len(Stamp._fields) or not fields[0] or not fields[1]:
        return None
    return Stamp(*fields)


def of(version: Version, site: str) -> Stamp:
    """The stamp that a replica of `version`, native of `site`, carries."""
    return Stamp(site, version.version_id, version.modified, version.etag)


def find(attributes: Attributes, tags: Sequence[tuple[str, str]] = ()) -> Stamp | None:
    """The stamp of a version: in its metadata, or else in its tags."""
    for name, value in (*attributes.metadata, *tags):
        if name == STAMP_NAME:
            return decode(value)
    return None


def without(attributes: Attributes) -> Attributes:
    """The same attributes as the origin had them: no stamp in metadata or tags."""
    if not any(name == STAMP_NAME for name, _ in (*attributes.metadata, *attributes.tags)):
        return attributes
    return replace(
        attributes,
        metadata=tuple(pair for pair in attributes.metadata if pair[0] != STAMP_NAME),
        tags=tuple(pair for pair in attributes.tags if pair[0] != STAMP_NAME),
    )


def attach(attributes: Attributes, stamp: Stamp) -> tuple[Attributes, str]:
    """Put the stamp where there is room; answers (attributes, "metadata" | "tag" | "none").

    "none": both are full. Such a replica is known by its position, size and ETag
    alone, and is counted.
    """
    bare = without(attributes)
    entry = (STAMP_NAME, stamp.encode())
    stamped = (*bare.metadata, entry)
    if metadata_size(stamped) <= METADATA_LIMIT_BYTES:
        return replace(bare, metadata=stamped), "metadata"
    if len(bare.tags) < TAGS_LIMIT:
        return replace(bare, tags=(*bare.tags, entry)), "tag"
    return bare, "none"


def metadata_size(metadata: Sequence[tuple[str, str]]) -> int:
    """Bytes that S3 counts: every name (without its prefix) and every value."""
    return sum([len(name) + len(value) for name, value in metadata])


def names(stamp: Stamp, version: Version) -> bool:
    """Whether `stamp` was made for this very version (of the stamp's own site).

    A null version is overwritten in place, so its content decides (S3-SEMANTICS,
    "Null versions").
    """
    if stamp.version_id != version.version_id:
        return False
    return version.version_id != NULL_VERSION or (
        stamp.etag == version.etag and stamp.time == version.modified
    )
