"""The nouns: versions, histories, and what a version carries beside its bytes.

Text that came over the wire as header bytes (metadata, content headers) is held as
`str` decoded from latin-1, one character per byte, so that it goes out again byte
for byte. Keys are `str` decoded from UTF-8; comparing two `str` by code point gives
the same order as comparing their UTF-8 bytes, which is the order of S3 listings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

NULL_VERSION = "null"
"""The mutable version id of buckets whose versioning is off or suspended."""


class Version(NamedTuple):
    """One entry of a key's history, as a listing shows it.

    `etag` is without quotes and "" for a delete marker; `size` is in bytes, 0 for a
    marker; `modified` is the listing's LastModified as text (coarse: never order by it).
    """

    key: str
    version_id: str
    is_marker: bool
    is_latest: bool
    etag: str
    size: int
    modified: str
    storage_class: str


History = Sequence[Version]
"""All entries of one key, newest first, in the order of the listing."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Object Lock of one version. `mode` is GOVERNANCE, COMPLIANCE or ""."""

    mode: str = ""
    retain_until: str = ""
    legal_hold: bool = False


NO_LOCK = Lock()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a version carries beside its bytes.

    `headers`: the content headers of `CARRIED_HEADERS` that are present, lower-case
    names, sorted. `metadata`: user metadata without the `x-amz-meta-` prefix,
    lower-case names, sorted. `tags`: sorted (name, value) pairs. All values are text as
    the wire had it (see the module's docstring); tags are decoded UTF-8.
    `encryption` is "" | "AES256" | "aws:kms" | "aws:kms:dsse" | "SSE-C".
    """

    headers: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    storage_class: str = ""
    lock: Lock = NO_LOCK
    encryption: str = ""
    kms_key: str = ""


NO_ATTRIBUTES = Attributes()

CARRIED_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
"""Headers that belong to a version and travel with it (S3-SEMANTICS, "Headers to carry")."""
