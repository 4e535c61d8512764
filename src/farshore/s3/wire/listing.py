"""ListObjectVersions: the page as the server wrote it, entries in document order.

Two readers give the same page. `entries.scan` is fast: a regular expression, learnt from
the page's own entries, has to consume all of them without a gap. What it does not
consume in full goes to `read_page`, which is slower and reads any well-formed XML.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from operator import le

from farshore.core.model import Version
from farshore.errors import BadListing, BadRequest, Corrupt, Unsupported
from farshore.s3 import xml
from farshore.s3.store import VersionPage
from farshore.s3.wire.encoded import decoder, flag, is_moment
from farshore.s3.wire.entries import KINDS, REQUIRED, Row, scan, unescape
from farshore.s3.wire.request import Answer, Request, action

LIMIT_MAX = 1000
"""Servers cap a page at this many entries, whatever is asked."""

SIZE_DIGITS_MAX = 19
_ROOT = "ListVersionsResult"


def list_versions(
    bucket: str,
    *,
    prefix: str = "",
    key_marker: str = "",
    version_marker: str = "",
    delimiter: str = "",
    limit: int = LIMIT_MAX,
) -> Request:
    """One page of at most `limit` entries, from the markers on."""
    if version_marker and not key_marker:
        raise BadRequest("a version marker means nothing without its key marker")
    query = [("versions", ""), ("encoding-type", "url"), ("max-keys", str(limit))]
    given = (
        ("prefix", prefix),
        ("key-marker", key_marker),
        ("version-id-marker", version_marker),
        ("delimiter", delimiter),
    )
    query += [(name, value) for name, value in given if value]
    name = action("ListObjectVersions", bucket, prefix)
    return Request("GET", bucket, "", tuple(query), action=name)


def parse_list_versions(answer: Answer) -> VersionPage:
    """The page. `BadListing` when it is malformed, out of key order, or cut short without
    saying where to go on; `Unsupported` when it is not a listing of versions."""
    scanned = scan(answer.body)
    if scanned is None:
        page = read_page(answer.body)
    else:
        page = _page(scanned.frame, scanned.rows, unescape)
    return page._replace(server=answer.headers.get("server", ""))


def read_page(body: bytes) -> VersionPage:
    """The page by way of the XML parser alone: slower, and right for any well-formed page."""
    try:
        root = xml.read(body)
    except Corrupt as error:
        raise BadListing(
            f"a listing cannot be read: {error.message}",
            hint="the answer was cut short or rewritten on its way; ask again",
        ) from None
    rows = [_row(child) for child in root.children if child.name in KINDS]
    return _page(root, rows, str)


def _row(entry: xml.Element) -> Row:
    """An entry's fields as `entries.scan` would give them, checked the same way."""
    find, is_marker = entry.find, entry.name == "DeleteMarker"
    key, version_id, modified = find("Key"), find("VersionId"), find("LastModified")
    missing = REQUIRED.difference(child.name for child in entry.children)
    # An empty version id would turn a purge into a new marker, an empty key into no request.
    missing |= {name for name in ("Key", "VersionId") if not find(name)}
    if missing - {"Size"} or (missing and not is_marker):
        raise BadListing(f"a listing's entry for {key!a} has no {min(missing)}")
    latest = find("IsLatest")
    flag(latest, "IsLatest")
    if is_marker:
        return entry.name, key, version_id, latest, "", "", modified, ""
    size = find("Size")
    if not (size.isascii() and size.isdecimal() and len(size) <= SIZE_DIGITS_MAX):
        raise BadListing(f"a listing's entry for {key!a} has the size {size!a}")
    etag, storage_class = find("ETag").strip('"'), find("StorageClass")
    return entry.name, key, version_id, latest, etag, size, modified, storage_class


def _page(frame: xml.Element, rows: list[Row], resolve: Callable[[str], str]) -> VersionPage:
    if frame.name != _ROOT:
        raise Unsupported(
            f"the server answered {frame.name!a} where {_ROOT} was asked for",
            hint="this server does not list versions",
        )
    decode = decoder(frame.find("EncodingType"))
    entries = _entries(rows, lambda text: decode(resolve(text)))
    _refuse_disorder(entries)
    prefixes = [decode(row.find("Prefix")) for row in frame.each("CommonPrefixes")]
    truncated = flag(frame.find("IsTruncated"), "IsTruncated")
    url_encoded = frame.find("EncodingType") == "url"
    page = VersionPage(entries, prefixes, truncated, "", "", url_encoded=url_encoded)
    if not truncated:
        return page
    next_key = decode(frame.find("NextKeyMarker"))
    if not next_key:
        raise BadListing(
            "a listing is cut short and does not say where to go on",
            hint="this server's pages cannot be followed: probe it",
        )
    return page._replace(next_key=next_key, next_version=frame.find("NextVersionIdMarker"))


def _entries(rows: list[Row], read_key: Callable[[str], str]) -> list[Version]:
    """Versions in order. A key is decoded once for all of its versions."""
    entries: list[Version] = []
    raw, key = "", ""
    make, append = Version._make, entries.append
    for kind, raw_key, version_id, latest, etag, size, modified, storage_class in rows:
        if raw_key != raw:
            raw, key = raw_key, read_key(raw_key)
        is_marker, is_latest = kind == "DeleteMarker", latest == "true"
        if not is_moment(modified):
            raise BadListing(f"a listing's entry for {key!a} has the time {modified!a}")
        length = int(size) if size else 0
        append(make((key, version_id, is_marker, is_latest, etag, length, modified, storage_class)))
    return entries


def _refuse_disorder(entries: list[Version]) -> None:
    """Keys must ascend: merging two listings rests on it."""
    keys = [entry.key for entry in entries]
    if all(map(le, keys, keys[1:])):
        return
    before, after = next(pair for pair in pairwise(keys) if pair[0] > pair[1])
    raise BadListing(
        f"a listing is out of order: {after!a} comes after {before!a}",
        hint="this server's listings cannot be merged: probe it",
    )
