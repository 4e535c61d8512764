"""What a version carries: out as headers, back from headers, nothing lost."""

from __future__ import annotations

from email.utils import formatdate
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farshore.core.model import CARRIED_HEADERS, NO_LOCK, Attributes, Lock
from farshore.errors import BadRequest, Corrupt, Unsupported
from farshore.s3 import wire
from farshore.s3.wire.attributes import unix_seconds

# Header values as a server can answer them: one character per byte, no outer blanks.
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20).map(
    lambda text: text.replace("\x7f", "").strip(" \t")
)
NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=12)


def pairs(names: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    return st.dictionaries(names, VALUE, max_size=4).map(lambda d: tuple(sorted(d.items())))


LOCKS = st.one_of(
    st.just(NO_LOCK),
    st.builds(
        Lock,
        st.sampled_from(["GOVERNANCE", "COMPLIANCE"]),
        st.just("2030-01-01T00:00:00Z"),
        st.booleans(),
    ),
    st.just(Lock(legal_hold=True)),
)
ENCRYPTIONS = st.sampled_from(
    [("", ""), ("AES256", ""), ("aws:kms", "arn:aws:kms:x:1:key/k"), ("aws:kms:dsse", "k")]
)


@st.composite
def carried(draw: st.DrawFn) -> Attributes:
    encryption, kms_key = draw(ENCRYPTIONS)
    return Attributes(
        headers=draw(pairs(st.sampled_from(CARRIED_HEADERS))),
        metadata=draw(pairs(NAME)),
        storage_class=draw(st.sampled_from(["", "STANDARD_IA", "GLACIER_IR"])),
        lock=draw(LOCKS),
        encryption=encryption,
        kms_key=kms_key,
    )


def answered(headers: tuple[tuple[str, str], ...], length: int = 3) -> wire.Answer:
    """What a server that keeps everything answers to a HEAD of what it was sent."""
    return wire.Answer(200, {"content-length": str(length), **dict(headers)}, b"")


@given(carried())
@example(Attributes(headers=(("content-encoding", "gzip"),)))
@example(Attributes(headers=(("content-encoding", ""),)))
def test_attributes_come_back_as_they_went_out(attributes: Attributes) -> None:
    headers = wire.attribute_headers(attributes)
    assert wire.parse_info(answered(headers)).attributes == attributes
    assert len(dict(headers)) == len(headers)


@given(pairs(st.text(min_size=1, max_size=8)), st.text(max_size=8))
def test_tags_are_percent_encoded_and_never_with_plus(
    more: tuple[tuple[str, str], ...], value: str
) -> None:
    tags = (*more, ("a b+c", value))
    (name, sent), *rest = wire.attribute_headers(Attributes(tags=tags))
    assert (name, rest) == ("x-amz-tagging", [])
    assert "+" not in sent
    assert " " not in sent
    found = [tuple(map(unquote, pair.split("="))) for pair in sent.split("&")]
    assert found == list(tags)


def test_the_standard_class_is_not_named() -> None:
    assert wire.attribute_headers(Attributes(storage_class="STANDARD")) == ()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("gzip, br", "gzip, br"),
    ],
)
def test_the_transfers_own_coding_is_left_out(sent: str, kept: str | None) -> None:
    wanted = () if kept is None else (("content-encoding", kept),)
    headers = (("content-encoding", sent),)
    assert wire.attribute_headers(Attributes(headers=headers)) == wanted
    assert wire.parse_info(answered(headers)).attributes.headers == wanted


@pytest.mark.parametrize("name", ["host", "content-length", "Content-Type", "x-amz-acl", ""])
def test_only_headers_that_belong_to_a_version_are_sent(name: str) -> None:
    with pytest.raises(BadRequest):
        wire.attribute_headers(Attributes(headers=((name, "v"),)))


def test_a_customers_own_key_cannot_be_written() -> None:
    with pytest.raises(Unsupported):
        wire.attribute_headers(Attributes(encryption="SSE-C"))


def test_everything_that_a_head_says_is_read() -> None:
    headers = {
        "content-length": "5242880",
        "content-type": "text/plain",
        "etag": '"abc-2"',
        "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT",
        "x-amz-version-id": "v1",
        "x-amz-tagging-count": "3",
        "x-amz-mp-parts-count": "2",
        "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=",
        "x-amz-checksum-type": "FULL_OBJECT",
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-meta-b": "2",
        "x-amz-meta-a": "1",
    }
    info = wire.parse_info(wire.Answer(206, headers, b""))
    assert info.version_id == "v1"
    assert info.etag == "abc-2"
    assert info.size == 5242880
    assert info.modified == 1445412480.0
    assert (info.tag_count, info.parts_count) == (3, 2)
    assert info.checksum == ("CRC64NVME", "FULL_OBJECT", "AAAAAAAAAAA=")
    assert info.attributes.encryption == "SSE-C"
    assert info.attributes.metadata == (("a", "1"), ("b", "2"))
    assert info.attributes.headers == (("content-type", "text/plain"),)
    assert not info.archived


@pytest.mark.parametrize(
    ("given_headers", "wanted"),
    [
        ({}, None),
        ({"x-amz-checksum-type": "COMPOSITE"}, None),
        ({"x-amz-checksum-crc32": "AA=="}, ("CRC32", "FULL_OBJECT", "AA==")),
        ({"x-amz-checksum-crc32": "AA==-7"}, ("CRC32", "COMPOSITE", "AA==-7")),
        (
            {"x-amz-checksum-crc32": "a", "x-amz-checksum-sha256": "b"},
            ("SHA256", "FULL_OBJECT", "b"),
        ),
        ({"x-amz-checksum-xxhash3": "a"}, ("XXHASH3", "FULL_OBJECT", "a")),
    ],
)
def test_checksums(given_headers: dict[str, str], wanted: tuple[str, str, str] | None) -> None:
    assert wire.parse_info(answered(tuple(given_headers.items()))).checksum == wanted


@pytest.mark.parametrize(
    ("given_headers", "archived"),
    [
        ({"x-amz-storage-class": "GLACIER"}, True),
        ({"x-amz-storage-class": "DEEP_ARCHIVE"}, True),
        ({"x-amz-storage-class": "GLACIER_IR"}, False),
        (
            {
                "x-amz-storage-class": "INTELLIGENT_TIERING",
                "x-amz-archive-status": "ARCHIVE_ACCESS",
            },
            True,
        ),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="true"'}, True),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="false"'}, False),
    ],
)
def test_what_needs_a_restore(given_headers: dict[str, str], archived: bool) -> None:
    assert wire.parse_info(answered(tuple(given_headers.items()))).archived is archived


def test_a_range_tells_the_whole_length_and_a_part_its_own() -> None:
    headers = {"content-length": "5", "content-range": "bytes 3-7/100"}
    answer = wire.Answer(206, headers, b"")
    assert wire.parse_info(answer).size == 100
    assert wire.parse_info(answer, part=True).size == 5


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-length": "-1"},
        {"content-length": "five"},
        {"content-length": "²"},
        {"content-length": "1", "x-amz-tagging-count": "x"},
    ],
)
def test_numbers_that_are_none_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Corrupt):
        wire.parse_info(wire.Answer(200, headers, b""))


def test_metadata_that_the_server_withholds_is_not_lost_in_silence() -> None:
    with pytest.raises(Unsupported):
        wire.parse_info(answered((("x-amz-missing-meta", "1"),)))


@given(st.integers(0, 4_000_000_000))
def test_http_dates(seconds: int) -> None:
    assert unix_seconds(formatdate(seconds, usegmt=True)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Wed, 21 Oct 0000 07:28:00 GMT",
        "Wed, 99 Foo 2015 07:28:00 GMT",
        "0",
        "\x00",
    ],
)
def test_what_is_no_date_is_zero(text: str) -> None:
    assert unix_seconds(text) == 0.0


@given(st.text(max_size=30))
def test_no_date_however_odd_breaks_an_answer(text: str) -> None:
    assert isinstance(unix_seconds(text), float)


def test_other_forms_of_dates_are_read() -> None:
    assert unix_seconds("Wednesday, 21-Oct-15 07:28:00 GMT") == 1445412480.0
