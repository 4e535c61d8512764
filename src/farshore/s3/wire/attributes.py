"""What a version carries beside its bytes, to and from headers.

Sources: the S3 API reference of PutObject, CreateMultipartUpload, HeadObject and
GetObject.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache

from farshore.core.model import CARRIED_HEADERS, NO_LOCK, Attributes, Lock
from farshore.errors import BadRequest, Corrupt, Unsupported
from farshore.s3.sigv4 import encode_value
from farshore.s3.store import ObjectInfo
from farshore.s3.wire.encoded import is_moment
from farshore.s3.wire.request import Answer, Pairs, bare_etag

META = "x-amz-meta-"
_AMZ = "x-amz-"
_SSE = "x-amz-server-side-encryption"
_SSE_KMS_KEY = f"{_SSE}-aws-kms-key-id"
_SSE_C = f"{_SSE}-customer-algorithm"
_CHECKSUM = "x-amz-checksum-"
_CHECKSUM_WORDS = frozenset({"type", "algorithm", "mode"})
_CHECKSUM_ORDER = ("CRC64NVME", "SHA256", "SHA1", "CRC32C", "CRC32")
"""Which checksum to report when a server gives several."""

DATES_CACHED_MAX = 1024
"""Dates are whole seconds, and many objects are written in one."""

_ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_CARRIED = frozenset(CARRIED_HEADERS)
_DEFAULT_CLASSES = frozenset({"", "STANDARD"})
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
).fullmatch


def attribute_headers(attributes: Attributes) -> Pairs:
    """The headers of a PUT or CreateMultipartUpload that carries these attributes.

    `Unsupported` for SSE-C, whose key we do not have. `BadRequest` for a content header
    that is not one of `CARRIED_HEADERS`. Values are checked when they are signed.
    """
    return (
        *_content_headers(attributes.headers),
        *[(META + name.lower(), value) for name, value in attributes.metadata],
        *_tagging(attributes.tags),
        *_storage_class(attributes.storage_class),
        *_lock_headers(attributes.lock),
        *_encryption_headers(attributes.encryption, attributes.kms_key),
    )


def _content_headers(headers: Pairs) -> Pairs:
    sent = []
    for name, value in headers:
        if name not in _CARRIED:
            raise BadRequest(f"{name!a} is not a header that a version carries")
        kept = _without_chunked(value) if name == "content-encoding" else value
        if kept or not value:
            sent.append((name, kept))
    return tuple(sent)


def _without_chunked(value: str) -> str:
    """A Content-Encoding less `aws-chunked`, which describes a transfer, not the object."""
    if "aws-chunked" not in value:
        return value
    codings = [coding.strip() for coding in value.split(",")]
    return ",".join([c for c in codings if c and c != "aws-chunked"])


def _tagging(tags: Pairs) -> Pairs:
    """x-amz-tagging with %20 for a space: RGW does not decode "+"."""
    if not tags:
        return ()
    pairs = [f"{encode_value(name)}={encode_value(value)}" for name, value in tags]
    return (("x-amz-tagging", "&".join(pairs)),)


def _storage_class(name: str) -> Pairs:
    return () if name in _DEFAULT_CLASSES else (("x-amz-storage-class", name),)


def _lock_headers(lock: Lock) -> Pairs:
    sent: Pairs = ()
    if lock.mode and lock.retain_until:
        sent = (
            ("x-amz-object-lock-mode", lock.mode),
            ("x-amz-object-lock-retain-until-date", lock.retain_until),
        )
    return (*sent, ("x-amz-object-lock-legal-hold", "ON")) if lock.legal_hold else sent


def _encryption_headers(encryption: str, kms_key: str) -> Pairs:
    if not encryption:
        return ()
    if encryption == "SSE-C":
        raise Unsupported(
            "an object under a customer's own key (SSE-C) cannot be written",
            hint="only the holder of that key can copy it",
        )
    if kms_key and encryption.startswith("aws:kms"):
        return ((_SSE, encryption), (_SSE_KMS_KEY, kms_key))
    return ((_SSE, encryption),)


def parse_info(answer: Answer, *, part: bool = False) -> ObjectInfo:
    """What the headers of a HEAD or GET say. `part`: asked by part number, so that the
    length is the part's, not the total of a Content-Range.

    `Corrupt` when the answer has no length; `Unsupported` when the server says that it
    left metadata out (x-amz-missing-meta).
    """
    headers = answer.headers
    amz = {name: value for name, value in headers.items() if name.startswith(_AMZ)}
    storage_class = amz.get("x-amz-storage-class", "")
    _refuse_missing_metadata(amz)
    return ObjectInfo(
        version_id=amz.get("x-amz-version-id", ""),
        etag=bare_etag(headers.get("etag", "")),
        size=_size(headers, part),
        modified=unix_seconds(headers.get("last-modified", "")),
        attributes=Attributes(
            headers=_carried(headers),
            metadata=tuple(
                sorted([(n[len(META) :], v) for n, v in amz.items() if n.startswith(META)])
            ),
            storage_class=storage_class,
            lock=_lock(amz),
            encryption=_encryption(amz),
            kms_key=amz.get(_SSE_KMS_KEY, ""),
        ),
        tag_count=_number(amz, "x-amz-tagging-count"),
        parts_count=_number(amz, "x-amz-mp-parts-count"),
        checksum=_checksum(amz),
        archived=_archived(amz, storage_class),
    )


def _refuse_missing_metadata(headers: Mapping[str, str]) -> None:
    if _number(headers, "x-amz-missing-meta"):
        raise Unsupported(
            "the server holds metadata that it cannot give as headers",
            hint="written through another API; rewrite it with plain metadata",
        )


def _carried(headers: Mapping[str, str]) -> Pairs:
    found = []
    for name in CARRIED_HEADERS:
        value = headers.get(name)
        if value is None:
            continue
        kept = _without_chunked(value) if name == "content-encoding" else value
        if kept or not value:
            found.append((name, kept))
    return tuple(found)


def _size(headers: Mapping[str, str], part: bool) -> int:
    total = headers.get("content-range", "").rpartition("/")[2]
    if total.isdecimal() and total.isascii() and not part:
        return int(total)
    if "content-length" not in headers:
        raise Corrupt("an answer does not say how long the object is")
    return _number(headers, "content-length")


def _number(headers: Mapping[str, str], name: str) -> int:
    value = headers.get(name)
    if value is None:
        return 0
    if not (value.isascii() and value.isdecimal()):
        raise Corrupt(f"the header {name} is {value!a}, not a number")
    return int(value)


def _lock(headers: Mapping[str, str]) -> Lock:
    mode = headers.get("x-amz-object-lock-mode", "")
    held = headers.get("x-amz-object-lock-legal-hold", "") == "ON"
    if not mode and not held:
        return NO_LOCK
    until = headers.get("x-amz-object-lock-retain-until-date", "")
    if until and not is_moment(until):
        raise Corrupt(f"the retention of an object ends at {until!a}, which is no time")
    return Lock(mode, until, held)


def _encryption(headers: Mapping[str, str]) -> str:
    if _SSE_C in headers:
        return "SSE-C"
    return headers.get(_SSE, "")


def _checksum(headers: Mapping[str, str]) -> tuple[str, str, str] | None:
    """(algorithm, type, value). Older servers leave the type out: "-N" marks COMPOSITE."""
    found = {
        name[len(_CHECKSUM) :].upper(): value
        for name, value in headers.items()
        if name.startswith(_CHECKSUM) and name[len(_CHECKSUM) :] not in _CHECKSUM_WORDS
    }
    if not found:
        return None
    known = [name for name in _CHECKSUM_ORDER if name in found]
    algorithm = known[0] if known else min(found)
    kind = "COMPOSITE" if "-" in found[algorithm] else "FULL_OBJECT"
    return algorithm, headers.get(f"{_CHECKSUM}type", kind), found[algorithm]


def _archived(headers: Mapping[str, str], storage_class: str) -> bool:
    """Whether the bytes need a restore first; a finished restore makes them readable."""
    if 'ongoing-request="false"' in headers.get("x-amz-restore", ""):
        return False
    return storage_class in _ARCHIVE_CLASSES or bool(headers.get("x-amz-archive-status"))


@lru_cache(maxsize=DATES_CACHED_MAX)
def unix_seconds(date: str) -> float:
    """An HTTP date as Unix seconds; 0.0 when it is absent or not a date."""
    match = _HTTP_DATE(date)
    try:
        if match and match[2] in _MONTHS:
            day, _, year, hour, minute, second = match.groups()
            clock = (int(hour), int(minute), int(second))
            return float(timegm((int(year), _MONTHS[match[2]], int(day), *clock)))
        parsed = parsedate_tz(date)
        return float(mktime_tz(parsed)) if parsed else 0.0
    except (ValueError, OverflowError):
        return 0.0
