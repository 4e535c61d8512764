"""Servers' answers: HTTP, XML listings and results, the filer's JSON and its events."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from itertools import pairwise
from time import process_time
from typing import Any, Self, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farshore.engine.look import written_at
from farshore.errors import Corrupt, FarshoreError, StoreError
from farshore.feed import filer_wire
from farshore.feed.events import read_event
from farshore.s3 import wire, xml
from farshore.s3.filer import HttpFiler
from farshore.s3.framing import HEAD_BYTES_MAX, SILENT_BYTES_MAX, Framing, Malformed
from farshore.s3.http import HttpPool
from tests.fuzz.inputs import (
    NESTED,
    allowed,
    answers_or_refuses,
    changed_bytes,
    changed_json,
    fuzzed,
)
from tests.unit.http_server import Peer, serve

# -- HTTP -------------------------------------------------------------------------------

GOOD = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "x"\r\nx-amz-version-id: v\r\n\r\nhello',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
)
WORDS = (
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"ffffffffffffffff\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"\x00",
)
damaged_answers = st.sampled_from(GOOD).flatmap(lambda good: changed_bytes(good, WORDS))


@fuzzed
@given(damaged_answers, st.lists(st.integers(0, 200), max_size=6), st.booleans())
def test_any_bytes_are_an_answer_or_malformed(said: bytes, cuts: list[int], bodyless: bool) -> None:
    framing = Framing(bodyless=bodyless)
    places = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
    with allowed(Malformed):
        for begin, end in pairwise(places):
            framing.feed(said[begin:end])
            assert framing.buffered <= len(said)
        framing.end()


@pytest.mark.parametrize(
    "endless",
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
)
@pytest.mark.parametrize("piece", [b"A: b\r\n", b"A", b"0", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_head_without_end_is_not_read_for_ever(endless: bytes, piece: bytes) -> None:
    """What brings neither a head nor a body is given up; a body is the reader's to bound."""
    framing = Framing(bodyless=False)
    framing.feed(endless)
    flood = piece * (512 // len(piece))
    with pytest.raises(Malformed):
        feed_all(framing, [flood] * (2 * (HEAD_BYTES_MAX + SILENT_BYTES_MAX) // len(flood)))
    assert framing.received == 0, "these are no body"


def feed_all(framing: Framing, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        framing.feed(piece)


@fuzzed
@given(damaged_answers)
async def test_a_client_gives_its_caller_an_answer_or_our_error(said: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(said)

    async with serve(script, script) as server:
        pool = HttpPool("127.0.0.1", server.port, None, idle_timeout_s=1.0)
        with allowed(StoreError):
            async with await pool.request("GET", b"/b/k", [], b"") as answer:
                await answer.read(1 << 16)
        await pool.aclose()


# -- XML --------------------------------------------------------------------------------

LISTING = (
    b'<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult '
    b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>'
    b"<KeyMarker/><VersionIdMarker/><MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated>"
    b"<NextKeyMarker>b</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>"
    b"<Version><Key>a&amp;</Key><VersionId>2</VersionId><IsLatest>true</IsLatest>"
    b"<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
    b"<Size>5</Size><StorageClass>STANDARD</StorageClass></Version>"
    b"<DeleteMarker><Key>b</Key><VersionId>1</VersionId><IsLatest>false</IsLatest>"
    b"<LastModified>2024-01-01T00:00:00.000Z</LastModified></DeleteMarker>"
    b"<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes></ListVersionsResult>"
)
ENCODINGS = (b"nosuch", b"shift_jis", b"utf-7", b"idna", b"hex", b"utf-16", b"punycode")
MARKUP = (
    b"<!DOCTYPE a [<!ENTITY e 'x'>]>",
    b"&e;",
    b"&#0;",
    b"&#xD800;",
    b"<Key>",
    b"</Key>",
    b"<![CDATA[x]]>",
    b"<?pi?>",
    b"<Size>-1</Size>",
    b"<Size>99999999999999999999999</Size>",
    b"<EncodingType>url</EncodingType>",
    b"%zz",
    *[b'<?xml version="1.0" encoding="%b"?>' % name for name in ENCODINGS],
)
OTHERS = (
    b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    b"<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag></CompleteMultipartUploadResult>",
    b"<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size></Part>"
    b"<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
    b"</ListPartsResult>",
    b"<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u</UploadId>"
    b"<Initiated>2024-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>",
    b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    b"<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList><Grant><Grantee><URI>u"
    b"</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList>"
    b"</AccessControlPolicy>",
    b"<ListAllMyBucketsResult><Owner><ID>o</ID></Owner><Buckets><Bucket><Name>b</Name></Bucket>"
    b"</Buckets></ListAllMyBucketsResult>",
    b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    b"<Error><Code>AccessDenied</Code><Message>m</Message></Error>",
)
READERS: tuple[Callable[[wire.Answer], object], ...] = (
    wire.parse_list_versions,
    wire.parse_create_upload,
    wire.parse_complete_upload,
    wire.parse_list_parts,
    wire.parse_list_uploads,
    wire.parse_get_tags,
    wire.parse_acl,
    wire.parse_list_buckets,
    wire.parse_owner,
    wire.parse_get_versioning,
    wire.parse_get_bucket_policy,
    lambda answer: wire.parse_get_bucket_config(answer, "b", "cors"),
)
bodies = st.sampled_from((LISTING, *OTHERS)).flatmap(lambda good: changed_bytes(good, MARKUP))
headers = st.dictionaries(
    st.sampled_from(["etag", "content-length", "last-modified", "x-amz-version-id", "date"]),
    st.text(max_size=10),
)


@fuzzed
@given(bodies, st.sampled_from([200, 200, 200, 204, 404, 503]), headers)
@example(b"", 200, {})
@example(NESTED, 200, {})
@example(b"<a>" * 100_000, 200, {})
def test_every_reader_of_answers_gives_a_value_or_our_error(
    body: bytes, status: int, headers: dict[str, str]
) -> None:
    answer = wire.Answer(status, headers, body)
    for read in READERS:
        answers_or_refuses(partial(read, answer))


TIMES = (b"", b"never", b"2024-13-01T00:00:00Z", b"2024-01-01T00:00:00", b"1", b"\xc2\xb2")


@fuzzed
@given(changed_bytes(LISTING, TIMES) | st.sampled_from(TIMES))
@example(b"2024-02-30T00:00:00.000Z")
def test_the_times_of_a_listing_can_be_counted_with(changed: bytes) -> None:
    good = b"2024-01-01T00:00:00.000Z"
    body = changed if changed.startswith(b"<") else LISTING.replace(good, changed, 1)
    with allowed(FarshoreError):
        for entry in wire.parse_list_versions(wire.Answer(200, {}, body)).entries:
            assert written_at(entry) < 1e12
    for time in TIMES:
        with pytest.raises(Corrupt, match=r"the time|no LastModified|cannot be read"):
            wire.parse_list_versions(wire.Answer(200, {}, LISTING.replace(good, time, 1)))


@pytest.mark.parametrize("until", ["never", "2024-02-30T00:00:00Z", "2030-01-01"])
def test_a_retention_until_no_time_is_our_error(until: str) -> None:
    said = {
        "content-length": "1",
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": until,
    }
    with pytest.raises(Corrupt, match="no time"):
        wire.parse_info(wire.Answer(200, said, b""))


HEADERS = (
    "etag",
    "content-length",
    "last-modified",
    "x-amz-version-id",
    "x-amz-delete-marker",
    "content-type",
    "x-amz-meta-a",
    "x-amz-mp-parts-count",
    "x-amz-tagging-count",
    "content-range",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-checksum-crc32",
    "x-amz-object-lock-legal-hold",
    "x-amz-storage-class",
    "x-amz-restore",
)


@fuzzed
@given(
    st.dictionaries(
        st.sampled_from(HEADERS),
        st.text(st.characters(max_codepoint=255), max_size=20),
    )
)
def test_any_headers_give_an_object_or_our_error(found: dict[str, str]) -> None:
    for part in (False, True):
        answers_or_refuses(partial(wire.parse_info, wire.Answer(200, found, b""), part=part))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoding_that_python_cannot_use_is_our_error(encoding: bytes) -> None:
    body = LISTING.replace(b"UTF-8", encoding)
    with pytest.raises(Corrupt):
        xml.read(body)
    for reader in READERS:
        with allowed(FarshoreError):
            reader(wire.Answer(200, {}, body))


def test_text_between_many_children_is_joined_once() -> None:
    """It was copied at each of them: this body, a thirtieth of what may come, took 4 s."""
    piece = b"x" * 150 + b"<b/>"
    begun = process_time()
    root = xml.read(b"<a>" + piece * 50_000 + b"</a>")
    assert process_time() - begun < 2
    assert (len(root.text), len(root.children)) == (150 * 50_000, 50_000)


LAUGHS = (
    b"<!DOCTYPE lolz [<!ENTITY lol 'lol'>"
    + b"".join(b"<!ENTITY l%d '%s'>" % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    + b"]><a>&l9;</a>"
)


@pytest.mark.parametrize(
    "body",
    [
        LAUGHS,
        b"<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/a.dtd'><a/>",
        b"<!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><a>&f;</a>",
        b"<!DOCTYPE a [<!ENTITY % p SYSTEM 'file:///etc/passwd'>%p;]><a/>",
        b"<a>&undeclared;</a>",
        b"<a>" * 100 + b"</a>" * 100,
        b"<a>" + b"<b/>" * 200_001 + b"</a>",
        gzip.compress(b"<a>" + b" " * 10_000_000 + b"</a>"),  # never unpacked
    ],
)
def test_xml_that_expands_or_reads_is_refused(body: bytes) -> None:
    with pytest.raises(Corrupt):
        xml.read(body)
    with pytest.raises(FarshoreError):
        wire.parse_list_versions(wire.Answer(200, {}, body))


# -- the filer --------------------------------------------------------------------------

ENTRY: dict[str, Any] = {
    "FullPath": "/buckets/b/k",
    "Mtime": "2024-01-01T00:00:00Z",
    "Mode": 432,
    "Mime": "text/plain",
    "Md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
    "FileSize": 5,
    "Extended": {"Seaweed-X-Amz-Version-Id": "MDAwMTAyMDM=", "X-Amz-Storage-Class": "QQ=="},
}
PAGE = {"Path": "/buckets/b", "Entries": [ENTRY], "ShouldDisplayLoadMore": False}


class Said:
    """An answer of the filer, and the pool that gives it to every request."""

    status = 200

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def request(self, *_request: object, **_options: object) -> Said:
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing is open."""


async def listed_by_filer(body: bytes) -> None:
    filer = HttpFiler(cast(HttpPool, Said(body)), site="east")
    with allowed(StoreError):
        async for _ in filer.names("b", ""):
            break
    with allowed(StoreError):
        await filer.history("b", "k")


@fuzzed
@given(changed_json(PAGE) | changed_json(ENTRY))
@example({**PAGE, "Entries": [{**ENTRY, "Mode": "x"}]})
@example({**PAGE, "Entries": [{}]})
@example({**PAGE, "Entries": "k"})
@example({**PAGE, "Entries": [{**ENTRY, "Extended": {"Seaweed-X-Amz-Version-Id": "%"}}]})
async def test_the_filers_json_gives_names_or_our_error(document: Any) -> None:
    await listed_by_filer(json.dumps(document).encode())


async def test_json_that_is_too_deep_is_no_listing() -> None:
    await listed_by_filer(NESTED)


# -- events -----------------------------------------------------------------------------


@fuzzed
@given(st.binary(max_size=200))
def test_any_bytes_of_the_filers_events_give_changes_or_our_error(said: bytes) -> None:
    answers_or_refuses(lambda: list(filer_wire.changes(said)))


EVENT = {
    "EventName": "s3:ObjectCreated:Put",
    "Key": "b/k",
    "Records": [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": "2024-01-01T00:00:00.000Z",
            "s3": {
                "bucket": {"name": "b"},
                "object": {"key": "k", "size": 1, "versionId": "v", "sequencer": "0A"},
            },
        }
    ],
}
SNS = {"Type": "Notification", "Message": json.dumps(EVENT), "TopicArn": "arn:aws:sns:a:b:c"}
BRIDGE = {
    "detail-type": "Object Created",
    "source": "aws.s3",
    "time": "2024-01-01T00:00:00Z",
    "detail": {"bucket": {"name": "b"}, "object": {"key": "k", "size": 1, "version-id": "v"}},
}
SEAWEED = {
    "event_type": "create",
    "key": "/buckets/b/k",
    "message": {
        "new_entry": {"name": "k", "attributes": {"file_size": 1, "mtime": 1}, "extended": {}},
        "new_parent_path": "/buckets/b",
    },
}


@fuzzed
@given(st.sampled_from([EVENT, SNS, BRIDGE, SEAWEED]).flatmap(changed_json))
def test_a_changed_event_gives_hints_or_our_error(document: Any) -> None:
    answers_or_refuses(lambda: read_event(json.dumps(document)))


def test_an_event_that_is_too_deep_is_refused() -> None:
    answers_or_refuses(lambda: read_event(NESTED))
    with pytest.raises(Corrupt):
        read_event(NESTED)
