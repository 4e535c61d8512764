"""Every operation, asked as botocore asks it, and every answer read."""

from __future__ import annotations

from base64 import b64decode
from hashlib import md5
from typing import Any

import pytest
from botocore.serialize import create_serializer
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.model import Attributes, Lock
from farshore.errors import BadListing, BadRequest, Corrupt, OutcomeUnknown
from farshore.s3 import wire, xml
from farshore.s3.store import Condition, Deleted, Part, Upload, Written

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MODEL = Session().get_service_model("s3")
FULL = Attributes(
    headers=(
        ("cache-control", "max-age=1"),
        ("content-disposition", "inline"),
        ("content-encoding", "gzip"),
        ("content-language", "de"),
        ("content-type", "text/plain"),
    ),
    metadata=(("a", "1"), ("b", "x  y")),
    storage_class="STANDARD_IA",
    lock=Lock("COMPLIANCE", "2030-01-01T00:00:00Z", True),
    encryption="aws:kms",
    kms_key="k",
)
FULL_BOTO = {
    "CacheControl": "max-age=1",
    "ContentDisposition": "inline",
    "ContentEncoding": "gzip",
    "ContentLanguage": "de",
    "ContentType": "text/plain",
    "Metadata": {"a": "1", "b": "x  y"},
    "StorageClass": "STANDARD_IA",
    "ObjectLockMode": "COMPLIANCE",
    "ObjectLockRetainUntilDate": "2030-01-01T00:00:00Z",
    "ObjectLockLegalHoldStatus": "ON",
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": "k",
}
KEY = "a//b ü.txt"
AT = {"Bucket": "bkt", "Key": KEY}
CASES: list[tuple[str, dict[str, Any], wire.Request]] = [
    ("HeadObject", {**AT, "ChecksumMode": "ENABLED"}, wire.head("bkt", KEY)),
    (
        "HeadObject",
        {**AT, "VersionId": "v", "PartNumber": 2},
        wire.head("bkt", KEY, "v", part_number=2, checksums=False),
    ),
    (
        "GetObject",
        {**AT, "VersionId": "v", "Range": "bytes=3-9", "ChecksumMode": "ENABLED"},
        wire.get("bkt", KEY, "v", first=3, last=9),
    ),
    ("GetObject", {**AT, "Range": "bytes=3-"}, wire.get("bkt", KEY, first=3, checksums=False)),
    ("PutObject", {**AT, **FULL_BOTO}, wire.put("bkt", KEY, b"", FULL)),
    (
        "PutObject",
        {**AT, "IfMatch": '"e"', "ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        wire.put("bkt", KEY, b"", condition=Condition(etag="e"), content_md5=bytes(16)),
    ),
    (
        "PutObject",
        {**AT, "IfNoneMatch": "*", "Tagging": "a%20b=c%2Bd&e=", "WebsiteRedirectLocation": "/x"},
        wire.put(
            "bkt",
            KEY,
            b"",
            Attributes(
                headers=(("x-amz-website-redirect-location", "/x"),),
                tags=(("a b", "c+d"), ("e", "")),
            ),
            condition=Condition(absent=True),
        ),
    ),
    ("DeleteObject", AT, wire.delete("bkt", KEY)),
    (
        "DeleteObject",
        {**AT, "VersionId": "v", "IfMatch": '"e"'},
        wire.delete("bkt", KEY, "v", condition=Condition(etag="e")),
    ),
    ("GetObjectTagging", {**AT, "VersionId": "v"}, wire.get_tags("bkt", KEY, "v")),
    (
        "PutObjectTagging",
        {**AT, "Tagging": {"TagSet": [{"Key": "a&b", "Value": "<ü>"}]}},
        wire.put_tags("bkt", KEY, "", (("a&b", "<ü>"),)),
    ),
    ("DeleteObjectTagging", {**AT, "VersionId": "v"}, wire.put_tags("bkt", KEY, "v", ())),
    (
        "PutObjectRetention",
        {**AT, "Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": "2030-01-01T00:00:00Z"}},
        wire.put_retention("bkt", KEY, "", "GOVERNANCE", "2030-01-01T00:00:00Z"),
    ),
    (
        "PutObjectLegalHold",
        {**AT, "VersionId": "v", "LegalHold": {"Status": "ON"}},
        wire.put_legal_hold("bkt", KEY, "v", True),
    ),
    (
        "PutObjectLegalHold",
        {**AT, "VersionId": "v", "LegalHold": {"Status": "OFF"}},
        wire.put_legal_hold("bkt", KEY, "v", False),
    ),
    ("CreateMultipartUpload", {**AT, **FULL_BOTO}, wire.create_upload("bkt", KEY, FULL)),
    (
        "UploadPart",
        {**AT, "UploadId": "u+1", "PartNumber": 3},
        wire.put_part("bkt", KEY, "u+1", 3, b""),
    ),
    (
        "CompleteMultipartUpload",
        {
            **AT,
            "UploadId": "u",
            "IfNoneMatch": "*",
            "MultipartUpload": {
                "Parts": [
                    {"PartNumber": 1, "ETag": '"e1"'},
                    {"PartNumber": 3, "ETag": '"e3"'},
                ]
            },
        },
        wire.complete_upload(
            "bkt", KEY, "u", [(1, "e1"), (3, "e3")], condition=Condition(absent=True)
        ),
    ),
    ("AbortMultipartUpload", {**AT, "UploadId": "u"}, wire.abort_upload("bkt", KEY, "u")),
    (
        "ListParts",
        {**AT, "UploadId": "u", "MaxParts": 1000, "PartNumberMarker": 7},
        wire.list_parts("bkt", KEY, "u", after=7),
    ),
    (
        "ListMultipartUploads",
        {
            "Bucket": "bkt",
            "EncodingType": "url",
            "MaxUploads": 1000,
            "Prefix": "p/",
            "KeyMarker": "k",
            "UploadIdMarker": "u",
        },
        wire.list_uploads("bkt", "p/", key_marker="k", upload_marker="u"),
    ),
    (
        "ListObjectVersions",
        {
            "Bucket": "bkt",
            "EncodingType": "url",
            "MaxKeys": 7,
            "Prefix": "p ü",
            "Delimiter": "/",
            "KeyMarker": "k",
            "VersionIdMarker": "v",
        },
        wire.list_versions(
            "bkt", prefix="p ü", key_marker="k", version_marker="v", delimiter="/", limit=7
        ),
    ),
    ("ListBuckets", {}, wire.list_buckets()),
    ("CreateBucket", {"Bucket": "bkt"}, wire.create_bucket("bkt")),
    ("CreateBucket", {"Bucket": "bkt"}, wire.create_bucket("bkt", region="us-east-1")),
    (
        "CreateBucket",
        {"Bucket": "bkt", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}},
        wire.create_bucket("bkt", region="eu-west-1"),
    ),
    ("GetBucketVersioning", {"Bucket": "bkt"}, wire.get_versioning("bkt")),
    (
        "PutBucketVersioning",
        {"Bucket": "bkt", "VersioningConfiguration": {"Status": "Enabled"}},
        wire.put_versioning("bkt", True),
    ),
    (
        "PutBucketVersioning",
        {"Bucket": "bkt", "VersioningConfiguration": {"Status": "Suspended"}},
        wire.put_versioning("bkt", False),
    ),
]


def tree(body: bytes) -> object:
    """An XML body without its order of siblings of different names."""

    def shape(element: xml.Element) -> object:
        inner = [shape(child) for child in element.children]
        return element.name, element.text, sorted(inner, key=str)

    return shape(xml.read(body)) if body else None


def serialised(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = create_serializer("rest-xml").serialize_to_request(
        params, MODEL.operation_model(operation)
    )
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_requests_are_those_of_botocore(case: tuple[str, dict[str, Any], wire.Request]) -> None:
    operation, params, ours = case
    theirs = serialised(operation, params)
    # botocore's path holds the sub-resource ("/{Bucket}?versioning").
    resource = theirs["url_path"].partition("?")[2]
    query = {n: str(v) for n, v in theirs["query_string"].items()}
    for pair in filter(None, resource.split("&")):
        query[pair.partition("=")[0]] = pair.partition("=")[2]
    query.pop("x-id", None)
    assert ours.method == theirs["method"]
    assert dict(ours.query) == query
    assert isinstance(ours.body, bytes)
    assert tree(ours.body) == tree(theirs["body"])
    sent = dict(ours.headers)
    if ours.body:
        assert sent.pop("content-md5")
        assert sent.pop("content-type") == "application/xml"
    headers = {name.lower(): str(value) for name, value in theirs["headers"].items()}
    assert sent == headers
    assert ours.action.startswith(operation)


def test_an_xml_body_goes_with_its_md5() -> None:
    request = wire.put_versioning("bkt", True)
    assert isinstance(request.body, bytes)
    digest = md5(request.body, usedforsecurity=False).digest()
    assert b64decode(dict(request.headers)["content-md5"]) == digest


REFUSED = [
    lambda: wire.get("bkt", ""),
    lambda: wire.delete("bkt", ""),
    lambda: wire.put("bkt", "", b""),
    lambda: wire.create_upload("bkt", ""),
    lambda: wire.put_part("bkt", "", "u", 1, b""),
    lambda: wire.put_part("bkt", "k", "", 1, b""),
    lambda: wire.put_part("bkt", "k", "u", 0, b""),
    lambda: wire.put_part("bkt", "k", "u", 10_001, b""),
    lambda: wire.abort_upload("bkt", "k", ""),
    lambda: wire.complete_upload("bkt", "k", "u", []),
    lambda: wire.complete_upload("bkt", "k", "u", [(2, "a"), (1, "b")]),
    lambda: wire.complete_upload("bkt", "k", "u", [(1, "a"), (1, "b")]),
    lambda: wire.get("bkt", "k", first=-1),
    lambda: wire.get("bkt", "k", first=5, last=4),
    lambda: wire.list_versions("bkt", version_marker="v"),
    lambda: wire.put_tags("bkt", "k", "", (("a", "\x01"),)),
    lambda: wire.put_tags("bkt", "k", "", (("\ud800", "b"),)),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_requests_that_would_mean_something_else_are_refused(number: int) -> None:
    with pytest.raises(BadRequest):
        REFUSED[number]()


def answer(body: str = "", headers: dict[str, str] | None = None, status: int = 200) -> wire.Answer:
    return wire.Answer(status, headers or {}, body.encode())


def test_a_put_and_a_delete_answer_ids() -> None:
    headers = {"x-amz-version-id": "v", "etag": '"e"', "x-amz-delete-marker": "true"}
    assert wire.parse_put(answer("", headers)) == Written("v", "e")
    assert wire.parse_put(answer()) == Written("", "")
    assert wire.parse_delete(answer("", headers)) == Deleted("v", True)
    assert wire.parse_delete(answer()) == Deleted("", False)


@given(st.dictionaries(st.text("aé&<>\r\n\t 𝒳", max_size=5), st.text("bü\"'&\r ", max_size=5)))
def test_tags_come_back_as_they_went_out(tags: dict[str, str]) -> None:
    """The body of a PUT is what a GET answers."""
    pairs = tuple(sorted(tags.items()))
    request = wire.put_tags("bkt", "k", "", pairs)
    assert isinstance(request.body, bytes)
    if pairs:
        assert wire.parse_get_tags(wire.Answer(200, {}, request.body)) == pairs


def test_no_tags_have_two_forms() -> None:
    assert wire.parse_get_tags(answer(f"<Tagging {NS}><TagSet/></Tagging>")) == ()
    refused = answer("<Error><Code>NoSuchTagSet</Code></Error>", status=404)
    request = wire.get_tags("bkt", "k")
    wire.raise_for_status(refused, request, "west")
    assert wire.parse_get_tags(refused) == ()


def test_an_upload_is_opened_and_its_parts_have_etags() -> None:
    root = "InitiateMultipartUploadResult"
    body = f"<{root} {NS}><UploadId>u/1+</UploadId></{root}>"
    assert wire.parse_create_upload(answer(body)) == "u/1+"
    assert wire.parse_put_part(answer("", {"etag": '"e"'})) == "e"
    with pytest.raises(Corrupt):
        wire.parse_create_upload(answer("<InitiateMultipartUploadResult/>"))
    with pytest.raises(Corrupt):
        wire.parse_put_part(answer())


def test_an_upload_is_finished() -> None:
    root = "CompleteMultipartUploadResult"
    done = f"\n  <{root} {NS}><ETag>&quot;e-2&quot;</ETag></{root}>"
    headers = {"x-amz-version-id": "v"}
    assert wire.parse_complete_upload(answer(done, headers)) == Written("v", "e-2")
    empty = answer(f"<{root}><ETag/></{root}>")
    assert wire.parse_complete_upload(empty) == Written("", "")


@pytest.mark.parametrize("body", ["", "   ", "<CompleteMultipartUp", "<Other/>", "<Error/>"])
def test_an_end_without_a_result_is_unknown(body: str) -> None:
    with pytest.raises(OutcomeUnknown):
        wire.parse_complete_upload(answer(body))


def parts_page(*numbers: int, tail: str = "") -> wire.Answer:
    rows = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>&#34;e{n}&#34;</ETag><Size>{n}</Size></Part>"
        for n in numbers
    )
    return answer(f"<ListPartsResult {NS}>{rows}{tail}</ListPartsResult>")


def test_parts_are_listed() -> None:
    page = wire.parse_list_parts(parts_page(1, 3))
    assert page == wire.PartPage([Part(1, "e1", 1), Part(3, "e3", 3)], False, 0)
    # SeaweedFS shows a part that was replaced beside its replacement.
    assert [part.number for part in wire.parse_list_parts(parts_page(1, 1, 2)).parts] == [1, 1, 2]
    more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>3</NextPartNumberMarker>"
    assert wire.parse_list_parts(parts_page(1, 3, tail=more)).next_number == 3


@pytest.mark.parametrize(
    "page",
    [
        parts_page(3, 1),
        parts_page(1, tail="<IsTruncated>true</IsTruncated>"),
        parts_page(
            3,
            tail="<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>",
        ),
        parts_page(
            tail="<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
        ),
        parts_page(1, tail="<IsTruncated>maybe</IsTruncated>"),
        answer(f"<ListPartsResult {NS}><Part><PartNumber>x</PartNumber></Part></ListPartsResult>"),
        answer("<ListPartsResult>"),
        answer("<SomethingElse/>"),
    ],
)
def test_a_listing_of_parts_that_cannot_be_followed_is_refused(page: wire.Answer) -> None:
    with pytest.raises(BadListing):
        wire.parse_list_parts(page)


def uploads_page(inner: str) -> wire.Answer:
    return answer(f"<ListMultipartUploadsResult {NS}>{inner}</ListMultipartUploadsResult>")


def test_uploads_are_listed() -> None:
    row = "<Upload><Key>a%20b</Key><UploadId>u</UploadId><Initiated>t</Initiated></Upload>"
    assert wire.parse_list_uploads(uploads_page(row)).uploads == [Upload("a%20b", "u", "t")]
    frame = (
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>a%20b</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
    )
    page = wire.parse_list_uploads(uploads_page(frame + row))
    assert page == wire.UploadPage([Upload("a b", "u", "t")], True, "a b", "u")
    with pytest.raises(BadListing):
        wire.parse_list_uploads(uploads_page("<IsTruncated>true</IsTruncated>"))


def test_buckets_are_listed_by_name() -> None:
    rows = "<Bucket><Name>b</Name></Bucket><Bucket><Name>a</Name></Bucket>"
    body = (
        f"<ListAllMyBucketsResult {NS}><Owner/><Buckets>{rows}</Buckets></ListAllMyBucketsResult>"
    )
    assert wire.parse_list_buckets(answer(body)) == ["a", "b"]


@pytest.mark.parametrize("state", ["", "Enabled", "Suspended"])
def test_versioning_is_read(state: str) -> None:
    inner = f"<Status>{state}</Status>" if state else ""
    body = f"<VersioningConfiguration {NS}>{inner}</VersioningConfiguration>"
    assert wire.parse_get_versioning(answer(body)) == state


def test_an_unknown_state_of_versioning_is_refused() -> None:
    body = "<VersioningConfiguration><Status>Perhaps</Status></VersioningConfiguration>"
    with pytest.raises(Corrupt):
        wire.parse_get_versioning(answer(body))


def test_an_action_is_one_printable_line() -> None:
    assert wire.get("bkt", "files/ü.txt").action == "GetObject bkt/files/ü.txt"
    assert "\n" not in wire.get("bkt", "a\nINFO forged").action
