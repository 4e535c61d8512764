"""Version listings: the fast reader, the XML reader and botocore read the same page."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import pytest
from botocore.parsers import create_parser
from botocore.session import Session
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farshore.core.model import Version
from farshore.errors import BadListing, Unsupported
from farshore.s3 import wire, xml
from farshore.s3.sigv4 import encode_value
from farshore.s3.store import VersionPage
from farshore.s3.wire import entries, listing

OWNER = "<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e</ID><DisplayName>{}</DisplayName></Owner>"
ORDERS = {
    "aws": "Key VersionId IsLatest LastModified ETag ChecksumAlgorithm ChecksumType Size "
    "StorageClass Owner",
    "minio": "Key LastModified ETag Size Owner StorageClass IsLatest VersionId",
    "rgw": "Key VersionId IsLatest LastModified ETag Size StorageClass Owner Type",
    "obs": "Key VersionId IsLatest LastModified ETag Size Owner StorageClass",
    "moto": "Key VersionId IsLatest LastModified ETag Size StorageClass Owner",
}
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult '
    'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>'
    "<KeyMarker/><VersionIdMarker/><MaxKeys>1000</MaxKeys>"
)
WHOLE = "<IsTruncated>false</IsTruncated>"


def answer(body: str | bytes) -> wire.Answer:
    return wire.Answer(200, {}, body if isinstance(body, bytes) else body.encode())


def page(content: str, *, frame: str = WHOLE) -> wire.Answer:
    return answer(f"{HEAD}{frame}{content}</ListVersionsResult>")


def entry(version: Version, order: str, *, extra: dict[str, str] | None = None) -> str:
    """One entry as a server of that field order writes it; empty values are left out."""
    texts = {
        "Key": escape(version.key),
        "VersionId": version.version_id,
        "IsLatest": "true" if version.is_latest else "false",
        "LastModified": version.modified,
        "ETag": "" if version.is_marker else f"&quot;{version.etag}&quot;",
        "Size": "" if version.is_marker else str(version.size),
        "StorageClass": version.storage_class,
        **(extra or {}),
    }
    fields = []
    for name in order.split():
        if name == "Owner":
            fields.append(OWNER.format("A &amp; B"))
        elif texts.get(name) or name == "Key":
            fields.append(f"<{name}>{texts[name]}</{name}>")
    kind = "DeleteMarker" if version.is_marker else "Version"
    return f"<{kind}>{''.join(fields)}</{kind}>"


def some(
    key: str = "k", *, marker: bool = False, size: int = 5, storage_class: str = "STANDARD"
) -> Version:
    etag = "" if marker else "d41d8cd98f00b204e9800998ecf8427e"
    moment = "2024-01-01T00:00:00.000Z"
    if marker:
        return Version(key, "v2", True, True, "", 0, moment, "")
    return Version(key, "v1", False, True, etag, size, moment, storage_class)


def both(read: wire.Answer) -> VersionPage:
    """The page by both readers, which must agree; the fast one must have done its work."""
    assert entries.scan(read.body) is not None, "the fast reader gave up"
    fast = wire.parse_list_versions(read)
    assert fast == listing.read_page(read.body)
    return fast


@pytest.mark.parametrize("server", ORDERS)
@pytest.mark.parametrize("pretty", [False, True])
def test_servers_orders_are_read_fast_and_right(server: str, pretty: bool) -> None:
    wanted = [
        some("a", marker=True),
        some("a"),
        some("b", size=0),
        some("b/<&>'\"ü", size=2**40),
        some("c", storage_class=""),
        some("d", marker=True),
    ]
    odd = {"ChecksumAlgorithm": "CRC64NVME", "Type": "Normal"}
    rows = "".join(
        entry(v, ORDERS[server], extra=odd if i % 2 else {}) for i, v in enumerate(wanted)
    )
    text = f"{HEAD}{WHOLE}{rows}</ListVersionsResult>"
    read = answer(text.replace("><", ">\r\n  <") if pretty else text)
    assert both(read) == VersionPage(wanted, [], False, "", "")


def test_entries_between_which_the_template_grows_are_still_read_fast() -> None:
    """Checksums begin somewhere in the page, where no sample was taken."""
    rows = [
        entry(
            some(f"k{n:03}"), ORDERS["aws"], extra={"ChecksumAlgorithm": "SHA1"} if n == 7 else {}
        )
        for n in range(40)
    ]
    assert len(both(page("".join(rows))).entries) == 40


def test_the_order_of_optional_neighbours_is_learnt_from_the_entry_that_has_both() -> None:
    """No sample shows which of two optional fields comes first."""
    for first, second in (("StorageClass", "Type"), ("Type", "StorageClass")):
        order = f"{first} {second} Key VersionId IsLatest LastModified ETag Size"
        rows = [entry(some(f"k{n:03}", storage_class=""), order) for n in range(40)]
        rows[0] = entry(some("k000"), order)
        rows[39] = entry(some("k039", storage_class=""), order, extra={"Type": "Normal"})
        rows[7] = entry(some("k007"), order, extra={"Type": "Normal"})
        classes = [version.storage_class for version in both(page("".join(rows))).entries]
        assert [n for n, name in enumerate(classes) if name] == [0, 7]


def test_a_field_may_repeat_or_be_empty() -> None:
    row = entry(some(), ORDERS["aws"], extra={"ChecksumAlgorithm": "SHA1"})
    row = row.replace("<ChecksumType>", "<ChecksumAlgorithm/><ChecksumType>")
    row = row.replace("<StorageClass>STANDARD</StorageClass>", "<StorageClass/>")
    assert both(page(row + entry(some("l"), ORDERS["aws"]))).entries[0].storage_class == ""


@pytest.mark.parametrize(
    "change",
    [
        ("<Version>", "<Version a='b'>"),
        ("<Key>", "<!-- c --><Key>"),
        ("<Key>k", "<Key><![CDATA[k]]>"),
        ("<Key>k", "<Key>&#x6b;"),
        ("</Version>", "</Version>stray text"),
        ("<VersionId>v1</VersionId>", "<VersionId>v1</VersionId><VersionId>v9</VersionId>"),
        ("<Owner>", "<Owner><Deep><Deeper/></Deep>"),
        ("<Version>", "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes><Version>"),
    ],
)
def test_an_irregular_page_is_read_by_the_xml_parser(change: tuple[str, str]) -> None:
    content = entry(some("j"), ORDERS["aws"]) + entry(some(), ORDERS["aws"]).replace(*change, 1)
    read = page(content + entry(some("l"), ORDERS["aws"]))
    assert entries.scan(read.body) is None
    assert wire.parse_list_versions(read).entries == [some("j"), some("k"), some("l")]


def test_entries_that_are_not_the_roots_children_are_no_entries() -> None:
    row = entry(some(), ORDERS["aws"])
    for content in (f"<Inner>{row}</Inner>", f"<!-- {row} -->", f"<![CDATA[{row}]]>"):
        assert wire.parse_list_versions(page(content)).entries == []


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16"])
def test_another_encoding_is_left_to_the_xml_parser(encoding: str) -> None:
    # In ISO-8859-1 these two characters are the two bytes that UTF-8 has for "é".
    text = f"{HEAD}{WHOLE}{entry(some('Ã©'), ORDERS['aws'])}</ListVersionsResult>"
    body = text.replace("UTF-8", encoding).encode(encoding)
    assert wire.parse_list_versions(answer(body)).entries == [some("Ã©")]


def test_keys_are_decoded_only_when_the_answer_says_so() -> None:
    row = entry(some("100%25+%C3%BC"), ORDERS["aws"])
    assert both(page(row)).entries[0].key == "100%25+%C3%BC"
    url = WHOLE + "<EncodingType>url</EncodingType>"
    assert both(page(row, frame=url)).entries[0].key == "100% ü"


def test_every_name_of_a_url_encoded_page_is_decoded() -> None:
    frame = (
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>a%2Bb+c%0D</NextKeyMarker><NextVersionIdMarker>a+%2B</NextVersionIdMarker>"
    )
    rows = entry(some("%00%0A"), ORDERS["aws"])
    prefixes = "<CommonPrefixes><Prefix>p%20q/</Prefix></CommonPrefixes>"
    read = both(page(rows + prefixes, frame=frame))
    entry_ = some("\0\n")
    assert read == VersionPage([entry_], ["p q/"], True, "a+b c\r", "a+%2B", url_encoded=True)


def test_a_carriage_return_arrives_by_reference() -> None:
    row = entry(some("k"), ORDERS["aws"]).replace("<Key>k<", "<Key>a&#13;&#xA;&#9;b&apos;<")
    assert both(page(row)).entries[0].key == "a\r\n\tb'"


@pytest.mark.parametrize("fast", [True, False])
def test_keys_out_of_order_are_named(fast: bool) -> None:
    rows = "".join(entry(some(key), ORDERS["aws"]) for key in ("a", "c", "b"))
    read = page(rows if fast else rows + "<!-- -->")
    with pytest.raises(BadListing) as caught:
        wire.parse_list_versions(read)
    assert "'b' comes after 'c'" in str(caught.value)


def test_keys_are_in_order_of_their_bytes() -> None:
    """UTF-16 order would put U+10000 before U+FFFD; S3's order does not."""
    rows = [entry(some(key), ORDERS["aws"]) for key in ("B", "a", "\ufffd", "\U00010000")]
    assert len(both(page("".join(rows))).entries) == 4
    with pytest.raises(BadListing):
        wire.parse_list_versions(page("".join(reversed(rows))))


@pytest.mark.parametrize(
    "frame",
    [
        "<IsTruncated>true</IsTruncated>",
        "<IsTruncated>true</IsTruncated><NextVersionIdMarker>v</NextVersionIdMarker>",
        "<IsTruncated>perhaps</IsTruncated>",
        "",
        WHOLE + "<EncodingType>rot13</EncodingType>",
    ],
)
def test_a_page_that_cannot_be_followed_is_refused(frame: str) -> None:
    with pytest.raises(BadListing):
        wire.parse_list_versions(page(entry(some(), ORDERS["aws"]), frame=frame))


@pytest.mark.parametrize(
    "change",
    [
        ("<Key>k</Key>", ""),
        ("<Key>k</Key>", "<Key></Key>"),
        ("<Key>k</Key>", "<Key/>"),
        ("<VersionId>v1</VersionId>", ""),
        ("<VersionId>v1</VersionId>", "<VersionId></VersionId>"),
        ("<Size>5</Size>", ""),
        (">5<", ">five<"),
        (">5<", ">-5<"),
        (">5<", "><"),
        (">true<", ">yes<"),
        ("<Key>k", "<Key>\x01"),
        ("<Key>k", "<Key>k\x0c"),
        ("<VersionId>v1", "<VersionId>v1\x1f"),
        ("<DisplayName>", "<DisplayName>\x0b"),
        ("<DisplayName>", "<DisplayName>\ufffe"),
        ("<Key>k", "<Key>\uffff"),
        ("<Key>k", "<Key>&#0;"),
        ("<Key>k", "<Key>&evil;"),
        ("<Key>k", "<Key>]]>"),
        ("</Key>", "</Kez>"),
    ],
)
def test_a_broken_entry_is_refused(change: tuple[str, str]) -> None:
    """Also where no sample is taken, so that the learnt expression itself must refuse it."""
    bad = entry(some(), ORDERS["aws"]).replace(*change)
    for place in range(6):
        before = [entry(some("a"), ORDERS["aws"])] * place
        after = [entry(some("\ufff0"), ORDERS["aws"])] * (5 - place)
        with pytest.raises(BadListing) as caught:
            wire.parse_list_versions(page("".join([*before, bad, *after])))
        assert "out of order" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    row = page(entry(some("KEY"), ORDERS["aws"])).body
    with pytest.raises(BadListing):
        wire.parse_list_versions(answer(row.replace(b"KEY", b"\xff")))
    url = page(entry(some("%FF"), ORDERS["aws"]), frame=WHOLE + "<EncodingType>url</EncodingType>")
    with pytest.raises(BadListing):
        wire.parse_list_versions(url)


def test_a_page_cut_anywhere_is_refused() -> None:
    body = page(entry(some("a"), ORDERS["aws"]) + entry(some("b", marker=True), ORDERS["aws"])).body
    assert len(both(answer(body)).entries) == 2
    for cut in range(len(body)):
        with pytest.raises(BadListing):
            wire.parse_list_versions(answer(body[:cut]))


def test_a_listing_of_something_else_is_unsupported() -> None:
    body = f"<ListBucketResult>{WHOLE}</ListBucketResult>"
    with pytest.raises(Unsupported):
        wire.parse_list_versions(answer(body))


BOMB = (
    '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>'
    f"<ListVersionsResult>{WHOLE}<Name>&y;</Name></ListVersionsResult>"
)


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        BOMB.replace("<Name>", entry(some(), ORDERS["aws"]) + "<Name>"),
        '<!DOCTYPE a SYSTEM "file:///etc/hostname"><ListVersionsResult/>',
        "<a>" * (xml.DEPTH_MAX + 1) + "</a>" * (xml.DEPTH_MAX + 1),
        "<a>" + "<b/>" * (xml.ELEMENTS_MAX + 1) + "</a>",
        " " * (xml.BODY_BYTES_MAX + 1),
        "",
        "not xml",
    ],
    ids=["entity", "entity-and-entry", "external", "deep", "many", "large", "empty", "text"],
)
def test_hostile_xml_is_refused(body: str) -> None:
    with pytest.raises(BadListing):
        wire.parse_list_versions(answer(body))


# --- the two readers as a property ---------------------------------------------------

XML_TEXT = st.text(
    st.one_of(
        st.sampled_from("ab/%+&<>\"' \t\n~.-"),
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"),
    ),
    max_size=12,
)


@st.composite
def versions(draw: st.DrawFn) -> Version:
    key, version_id = draw(XML_TEXT.filter(len)), draw(st.text("abc0/+._-", min_size=1, max_size=8))
    is_latest = draw(st.booleans())
    moment = draw(st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.123Z"]))
    if draw(st.booleans()):
        return Version(key, version_id, True, is_latest, "", 0, moment, "")
    etag = draw(st.sampled_from(["d41d8cd98f00b204e9800998ecf8427e", "abc-12"]))
    size, storage_class = draw(st.integers(0, 2**50)), draw(st.sampled_from(["", "STANDARD"]))
    return Version(key, version_id, False, is_latest, etag, size, moment, storage_class)


@st.composite
def pages(draw: st.DrawFn) -> tuple[list[Version], bool, str]:
    """Entries in key order, whether keys are URL-encoded, and the page's text."""
    found = sorted(draw(st.lists(versions(), max_size=8)), key=lambda v: v.key)
    order = " ".join(draw(st.permutations(ORDERS["aws"].split())))
    url, pretty = draw(st.booleans()), draw(st.booleans())
    rows = []
    for version in found:
        shown = version._replace(key=encode_value(version.key)) if url else version
        extra = {"ChecksumType": draw(st.sampled_from(["", "COMPOSITE"]))}
        rows.append(entry(shown, order, extra=extra))
    frame = WHOLE + ("<EncodingType>url</EncodingType>" if url else "")
    text = f"{HEAD}{frame}{''.join(rows)}</ListVersionsResult>"
    return found, url, text.replace("><", "> \n<") if pretty else text


# The first page of a new template pays for compiling it: no deadline per example.
@settings(deadline=None)
@given(pages())
def test_both_readers_read_what_was_written(drawn: tuple[list[Version], bool, str]) -> None:
    wanted, _, text = drawn
    if wanted:
        both(answer(text))
    assert wire.parse_list_versions(answer(text)).entries == wanted


def outcome(body: bytes, *, slow: bool) -> VersionPage | str:
    try:
        return listing.read_page(body) if slow else wire.parse_list_versions(answer(body))
    except (BadListing, Unsupported) as error:
        return type(error).__name__


@settings(max_examples=400, deadline=None)
@given(pages(), st.data())
@example(([], False, f"{HEAD}{WHOLE}</ListVersionsResult>"), None)
def test_both_readers_agree_on_damaged_pages(
    drawn: tuple[list[Version], bool, str], data: st.DataObject | None
) -> None:
    """Whatever is cut, doubled or replaced: same page, or both refuse."""
    text = drawn[2]
    if data is not None:
        at = data.draw(st.integers(0, len(text)))
        until = min(len(text), at + data.draw(st.integers(0, 30)))
        pieces = ("", "<", "&", "&amp;", "]]>", "\r", "\x00", "\ufffe", "<Key>", "</Version>")
        more = ("<Version>", "<!--", "-->", "<a/>", "x", '"', " ", text[at : until + 40])
        text = text[:at] + data.draw(st.sampled_from(pieces + more)) + text[until:]
    body = text.encode()
    assert outcome(body, slow=False) == outcome(body, slow=True)


# --- botocore as the reference --------------------------------------------------------


def boto_entries(read: wire.Answer) -> set[tuple[object, ...]]:
    """What boto3 would show of the page: two lists, order lost."""
    model = Session().get_service_model("s3").operation_model("ListObjectVersions")
    parser: Any = create_parser("rest-xml")
    response = {"status_code": 200, "headers": {}, "body": read.body}
    parsed = parser.parse(response, model.output_shape)
    found: set[tuple[object, ...]] = set()
    for kind in ("Versions", "DeleteMarkers"):
        for row in parsed.get(kind, []):
            etag, size = row.get("ETag", "").strip('"'), row.get("Size", 0)
            marker, latest = kind == "DeleteMarkers", row["IsLatest"]
            storage = row.get("StorageClass", "")
            found.add((row["Key"], row["VersionId"], marker, latest, etag, size, storage))
    return found


@pytest.mark.parametrize("server", ORDERS)
def test_botocore_reads_the_same_entries(server: str) -> None:
    keys = ["a", "a b", "a&b", "a<b>", "a\tb", "ünï", "日本/語", "😀", "z'\"", "z%2F+"]
    wanted = [some(key, marker=marker) for key in sorted(keys) for marker in (True, False)]
    read = page("".join(entry(version, ORDERS[server]) for version in wanted))
    ours = both(read).entries
    assert ours == wanted
    assert {(*v[:6], v.storage_class) for v in ours} == boto_entries(read)
