"""What a site holds, read by boto3 and an XML parser alone: nothing of farshore's.

Each key is listed by its own prefix (one page is complete on SeaweedFS), in the order of
the document, which boto3's own parser would lose.
"""

from __future__ import annotations

import hashlib
import ssl
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests.lab.farshore_cli import HANDS, STAMP_NAME

SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
LIST_SECONDS_MAX = 30

CARRIED = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-server-side-encryption",
    "x-amz-website-redirect-location",
)


class Row(NamedTuple):
    """A line of the listing. A marker has no ETag."""

    version_id: str
    is_marker: bool
    is_latest: bool
    etag: str = ""


class Seen(NamedTuple):
    """All that must be the same on both sides. A marker is nothing but a marker."""

    is_marker: bool
    size: int = 0
    etag: str = ""
    sha256: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


MARKER = Seen(True)


def rows(s3: Any, bucket: str, key: str, trust: ssl.SSLContext | None = None) -> list[Row]:
    """The key's entries, newest first. SeaweedFS lists a null version last; the one that it
    calls the latest is the newest."""
    url = s3.generate_presigned_url(
        "list_object_versions", Params={"Bucket": bucket, "Prefix": key, "EncodingType": "url"}
    )
    with urllib.request.urlopen(url, timeout=LIST_SECONDS_MAX, context=trust) as answer:
        page = ElementTree.fromstring(answer.read())
    assert page.findtext(f"{SPACE}IsTruncated") == "false", key
    decode = unquote if page.find(f"{SPACE}EncodingType") is not None else str
    found = [
        Row(
            entry.findtext(f"{SPACE}VersionId", ""),
            entry.tag == f"{SPACE}DeleteMarker",
            entry.findtext(f"{SPACE}IsLatest") == "true",
            entry.findtext(f"{SPACE}ETag", "").strip('"'),
        )
        for entry in page
        if entry.tag in (f"{SPACE}Version", f"{SPACE}DeleteMarker")
        and decode(entry.findtext(f"{SPACE}Key", "")) == key
    ]
    return sorted(found, key=lambda row: not row.is_latest)


def history(s3: Any, bucket: str, key: str, trust: ssl.SSLContext | None = None) -> list[Seen]:
    """The key's whole history, newest first, every byte read."""
    return [
        MARKER if row.is_marker else _read(s3, bucket, key, row.version_id)
        for row in rows(s3, bucket, key, trust)
    ]


def histories(s3: Any, bucket: str, keys: Iterable[str]) -> dict[str, list[Seen]]:
    """The histories of all these keys."""
    wanted = sorted(keys)
    with ThreadPoolExecutor(HANDS) as hands:
        return dict(zip(wanted, hands.map(lambda k: history(s3, bucket, k), wanted), strict=True))


def _read(s3: Any, bucket: str, key: str, version_id: str) -> Seen:
    got = s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)
    digest, size = hashlib.sha256(), 0
    for chunk in got["Body"].iter_chunks(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    raw = got["ResponseMetadata"]["HTTPHeaders"]
    tagging = s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=version_id)
    return Seen(
        False,
        size,
        got["ETag"],
        digest.hexdigest(),
        tuple((name, raw[name]) for name in CARRIED if name in raw),
        tuple(sorted((k, v) for k, v in raw.items() if _is_own_metadata(k))),
        tuple(sorted((tag["Key"], tag["Value"]) for tag in tagging["TagSet"])),
    )


def _is_own_metadata(name: str) -> bool:
    return name.startswith("x-amz-meta-") and name != f"x-amz-meta-{STAMP_NAME}"
