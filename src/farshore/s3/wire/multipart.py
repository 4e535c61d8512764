"""Uploads in parts: open, write, finish, give up, list."""

from __future__ import annotations

from typing import NamedTuple

from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.errors import BadListing, BadRequest, Corrupt, OutcomeUnknown
from farshore.s3 import xml
from farshore.s3.store import ALWAYS, Body, Condition, Part, Upload, Written
from farshore.s3.wire.attributes import attribute_headers
from farshore.s3.wire.encoded import decoder, flag
from farshore.s3.wire.request import (
    Answer,
    Request,
    action,
    bare_etag,
    condition_headers,
    md5_header,
    named,
    xml_headers,
)

PART_NUMBER_MAX = 10_000
PAGE_MAX = 1000


class PartPage(NamedTuple):
    """One answer of ListParts; `next_number` is the marker to go on with when `truncated`."""

    parts: list[Part]
    truncated: bool
    next_number: int


class UploadPage(NamedTuple):
    """One answer of ListMultipartUploads, with the markers to go on with."""

    uploads: list[Upload]
    truncated: bool
    next_key: str
    next_upload: str


def create_upload(bucket: str, key: str, attributes: Attributes = NO_ATTRIBUTES) -> Request:
    """Start an upload; what the version carries is said here, not at the end."""
    name = action("CreateMultipartUpload", bucket, key)
    headers = attribute_headers(attributes)
    return Request("POST", bucket, named(key), (("uploads", ""),), headers, action=name)


def parse_create_upload(answer: Answer) -> str:
    """The upload's id; `Corrupt` when the answer has none."""
    upload_id = xml.read(answer.body).find("UploadId")
    if not upload_id:
        raise Corrupt("the server opened an upload and did not say its id")
    return upload_id


def put_part(
    bucket: str, key: str, upload_id: str, number: int, body: Body, *, content_md5: bytes = b""
) -> Request:
    """Write one part; its answer's ETag is read by `parse_put_part`."""
    if not 1 <= number <= PART_NUMBER_MAX:
        raise BadRequest(f"{number} is not a part number: 1 to {PART_NUMBER_MAX}")
    query = (("partNumber", str(number)), *_upload_query(upload_id))
    name = action("UploadPart", bucket, key)
    return Request("PUT", bucket, named(key), query, md5_header(content_md5), body, name)


def parse_put_part(answer: Answer) -> str:
    """The part's ETag; `Corrupt` without one, for the upload could not be finished."""
    etag = bare_etag(answer.headers.get("etag", ""))
    if not etag:
        raise Corrupt("the server took a part and did not answer its ETag")
    return etag


def complete_upload(
    bucket: str,
    key: str,
    upload_id: str,
    parts: list[tuple[int, str]],
    *,
    condition: Condition = ALWAYS,
) -> Request:
    """Finish an upload of these (number, ETag) parts, in rising order of number."""
    numbers = [number for number, _ in parts]
    if not parts or numbers != sorted(set(numbers)):
        raise BadRequest("an upload is finished with one or more parts in rising order")
    rows = "".join(
        [
            f"<Part><PartNumber>{number}</PartNumber>{_etag_tag(etag)}</Part>"
            for number, etag in parts
        ]
    )
    body = xml.document("CompleteMultipartUpload", rows)
    headers = (*xml_headers(body), *condition_headers(condition))
    name = action("CompleteMultipartUpload", bucket, key)
    return Request("POST", bucket, named(key), _upload_query(upload_id), headers, body, name)


def parse_complete_upload(answer: Answer) -> Written:
    """What was made. `OutcomeUnknown` when the 200 came with no result, as when a server
    broke off after it had begun to answer. Errors inside a 200: see `raise_for_status`."""
    try:
        root = xml.read(answer.body.strip())
    except Corrupt:
        root = xml.Element("")
    if root.name != "CompleteMultipartUploadResult":
        raise OutcomeUnknown(
            "the server answered the end of an upload without a result",
            hint="list the key: the version may be there",
        )
    version_id = answer.headers.get("x-amz-version-id", "")
    return Written(version_id, bare_etag(root.find("ETag")))


def abort_upload(bucket: str, key: str, upload_id: str) -> Request:
    """Give an upload up; one that is not there passes."""
    return Request(
        "DELETE",
        bucket,
        named(key),
        _upload_query(upload_id),
        action=action("AbortMultipartUpload", bucket, key),
        done_codes=("NoSuchUpload",),
    )


def list_parts(bucket: str, key: str, upload_id: str, *, after: int = 0) -> Request:
    """One page of an upload's parts, those above number `after`."""
    marker = (("part-number-marker", str(after)),) if after else ()
    query = (("max-parts", str(PAGE_MAX)), *_upload_query(upload_id), *marker)
    return Request("GET", bucket, named(key), query, action=action("ListParts", bucket, key))


def parse_list_parts(answer: Answer) -> PartPage:
    """Parts by rising number; `BadListing` when they are not, or when the page is cut.

    SeaweedFS 4.48 shows a part that was replaced beside its replacement, in no order:
    a number may come twice, and Complete takes either by its ETag.
    """
    root = _listing(answer, "ListPartsResult")
    parts = [
        Part(
            _whole(row.find("PartNumber"), "PartNumber"),
            bare_etag(row.find("ETag")),
            _whole(row.find("Size"), "Size"),
        )
        for row in root.each("Part")
    ]
    numbers = [part.number for part in parts]
    if numbers != sorted(numbers):
        raise BadListing("a listing of parts is not in rising order of number")
    if not flag(root.find("IsTruncated") or "false", "IsTruncated"):
        return PartPage(parts, False, 0)
    return PartPage(parts, True, _next_number(root, numbers))


def _next_number(root: xml.Element, numbers: list[int]) -> int:
    """The marker to go on with. It must lead on, or the caller would ask for ever."""
    following = _whole(root.find("NextPartNumberMarker"), "NextPartNumberMarker")
    if not numbers or following < numbers[-1]:
        raise BadListing("a listing of parts is cut short and does not say where to go on")
    return following


def list_uploads(
    bucket: str, prefix: str = "", *, key_marker: str = "", upload_marker: str = ""
) -> Request:
    """One page of the open uploads below a prefix, from the markers on."""
    query = [("uploads", ""), ("encoding-type", "url"), ("max-uploads", str(PAGE_MAX))]
    if prefix:
        query.append(("prefix", prefix))
    if key_marker:
        query.append(("key-marker", key_marker))
        if upload_marker:
            query.append(("upload-id-marker", upload_marker))
    name = action("ListMultipartUploads", bucket)
    return Request("GET", bucket, "", tuple(query), action=name)


def parse_list_uploads(answer: Answer) -> UploadPage:
    """Open uploads in the server's order, keys decoded."""
    root = _listing(answer, "ListMultipartUploadsResult")
    decode = decoder(root.find("EncodingType"))
    uploads = [
        Upload(decode(row.find("Key")), row.find("UploadId"), row.find("Initiated"))
        for row in root.each("Upload")
    ]
    if not flag(root.find("IsTruncated") or "false", "IsTruncated"):
        return UploadPage(uploads, False, "", "")
    next_key = decode(root.find("NextKeyMarker"))
    if not next_key:
        raise BadListing("a listing of uploads is cut short and does not say where to go on")
    return UploadPage(uploads, True, next_key, root.find("NextUploadIdMarker"))


def _upload_query(upload_id: str) -> tuple[tuple[str, str], ...]:
    """Names the upload; never "", which would turn a request about an upload into another."""
    if not upload_id:
        raise BadRequest("a request about an upload needs its id: it is empty")
    return (("uploadId", upload_id),)


def _etag_tag(etag: str) -> str:
    return xml.tag("ETag", f'"{etag}"')


def _listing(answer: Answer, root_name: str) -> xml.Element:
    try:
        root = xml.read(answer.body)
    except Corrupt as error:
        raise BadListing(error.message) from None
    if root.name != root_name:
        raise BadListing(f"a listing is {root.name!a}, not {root_name}")
    return root


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise BadListing(f"a listing has {text!a} for {name}, not a number")
    return int(text)
