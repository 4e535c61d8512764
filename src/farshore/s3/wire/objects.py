"""One version: read it, write it, delete it, and what can be changed on it."""

from __future__ import annotations

from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.errors import BadRequest
from farshore.s3 import xml
from farshore.s3.store import ALWAYS, Body, Condition, Deleted, Written
from farshore.s3.wire.attributes import attribute_headers
from farshore.s3.wire.request import (
    Answer,
    Pairs,
    Request,
    action,
    bare_etag,
    condition_headers,
    md5_header,
    named,
    version_query,
    xml_headers,
)

TAGS_MISSING_CODES = ("NoSuchTagSet", "NoSuchTagSetError")
"""How some servers (RGW) say that a version has no tags."""

_CHECKSUMS: Pairs = (("x-amz-checksum-mode", "ENABLED"),)


def head(
    bucket: str, key: str, version_id: str = "", *, part_number: int = 0, checksums: bool = True
) -> Request:
    """HEAD of a version, or of one of its parts; read with `parse_info`."""
    part = (("partNumber", str(part_number)),) if part_number else ()
    return Request(
        "HEAD",
        bucket,
        named(key),
        (*version_query(version_id), *part),
        _CHECKSUMS if checksums else (),
        action=action("HeadObject", bucket, key),
    )


def get(
    bucket: str,
    key: str,
    version_id: str = "",
    *,
    first: int = 0,
    last: int | None = None,
    checksums: bool = True,
) -> Request:
    """GET of a version, or of its bytes `first`..`last` (to its end when `last` is None)."""
    return Request(
        "GET",
        bucket,
        named(key),
        version_query(version_id),
        (*_range(first, last), *(_CHECKSUMS if checksums else ())),
        action=action("GetObject", bucket, key),
    )


def put(
    bucket: str,
    key: str,
    body: Body,
    attributes: Attributes = NO_ATTRIBUTES,
    *,
    condition: Condition = ALWAYS,
    content_md5: bytes = b"",
) -> Request:
    """Write a version with everything that it carries."""
    return Request(
        "PUT",
        bucket,
        named(key),
        (),
        (
            *md5_header(content_md5),
            *condition_headers(condition),
            *attribute_headers(attributes),
        ),
        body,
        action("PutObject", bucket, key),
    )


def parse_put(answer: Answer) -> Written:
    """The version id ("" in an unversioned bucket) and ETag of a PUT's answer."""
    headers = answer.headers
    return Written(headers.get("x-amz-version-id", ""), bare_etag(headers.get("etag", "")))


def delete(
    bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
) -> Request:
    """Without `version_id`: add a marker. With one: purge that version."""
    return Request(
        "DELETE",
        bucket,
        named(key),
        version_query(version_id),
        condition_headers(condition),
        action=action("DeleteObject", bucket, key),
    )


def parse_delete(answer: Answer) -> Deleted:
    """What was made, or purged: a marker or not."""
    headers = answer.headers
    is_marker = headers.get("x-amz-delete-marker", "").lower() == "true"
    return Deleted(headers.get("x-amz-version-id", ""), is_marker)


def get_tags(bucket: str, key: str, version_id: str = "") -> Request:
    """The version's tags."""
    return Request(
        "GET",
        bucket,
        named(key),
        (("tagging", ""), *version_query(version_id)),
        action=action("GetObjectTagging", bucket, key),
        done_codes=TAGS_MISSING_CODES,
    )


def parse_get_tags(answer: Answer) -> Pairs:
    """Tags, sorted; none when the server said that there is no tag set."""
    if answer.status >= 300:
        return ()
    sets = xml.read(answer.body).each("TagSet")
    return tuple(
        sorted(
            (tag.find("Key"), tag.find("Value")) for tag_set in sets for tag in tag_set.each("Tag")
        )
    )


def put_tags(bucket: str, key: str, version_id: str, tags: Pairs) -> Request:
    """Replace the version's tags; none removes them (as DELETE, which every server knows)."""
    query = (("tagging", ""), *version_query(version_id))
    if not tags:
        return Request(
            "DELETE",
            bucket,
            named(key),
            query,
            action=action("DeleteObjectTagging", bucket, key),
            done_codes=TAGS_MISSING_CODES,
        )
    rows = "".join(
        [f"<Tag>{xml.tag('Key', name)}{xml.tag('Value', value)}</Tag>" for name, value in tags]
    )
    body = xml.document("Tagging", f"<TagSet>{rows}</TagSet>")
    name = action("PutObjectTagging", bucket, key)
    return Request("PUT", bucket, named(key), query, xml_headers(body), body, name)


def put_retention(bucket: str, key: str, version_id: str, mode: str, retain_until: str) -> Request:
    """Set the version's retention; `retain_until` is ISO 8601."""
    content = xml.tag("Mode", mode) + xml.tag("RetainUntilDate", retain_until)
    body = xml.document("Retention", content)
    query = (("retention", ""), *version_query(version_id))
    name = action("PutObjectRetention", bucket, key)
    return Request("PUT", bucket, named(key), query, xml_headers(body), body, name)


def put_legal_hold(bucket: str, key: str, version_id: str, held: bool) -> Request:
    """Set or clear the version's legal hold."""
    body = xml.document("LegalHold", xml.tag("Status", "ON" if held else "OFF"))
    query = (("legal-hold", ""), *version_query(version_id))
    name = action("PutObjectLegalHold", bucket, key)
    return Request("PUT", bucket, named(key), query, xml_headers(body), body, name)


def _range(first: int, last: int | None) -> Pairs:
    if first < 0 or (last is not None and last < first):
        raise BadRequest(f"{first}..{last} is not a range of bytes")
    if last is not None:
        return (("range", f"bytes={first}-{last}"),)
    return (("range", f"bytes={first}-"),) if first else ()
