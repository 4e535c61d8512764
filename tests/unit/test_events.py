"""Events in every form that servers send: which hints they give, and what is refused."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.errors import Corrupt
from farshore.feed.events import (
    ENVELOPES_MAX,
    KEY_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    RECORDS_MAX,
    hints_from,
)
from farshore.feed.hint import Hint

VERSION = "671591e6209888d42e55b591eaf13808"
VERSION_SECONDS = 1795368458.863990


def hints(document: Any) -> list[Hint]:
    return hints_from(json.dumps(document))


def keys(document: Any) -> list[str]:
    return [hint.key for hint in hints(document)]


def record(
    key: str = "k", *, source: str = "aws:s3", name: str = "ObjectCreated:Put", **more: Any
) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": source,
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-22T14:02:11.400Z",
        "eventName": name,
        "userIdentity": {"principalId": "EXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "all",
            "bucket": {"name": "files", "arn": "arn:aws:s3:::files"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "versionId": "v", **more},
        },
    }


def aws(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def minio(key: str, decoded: str) -> dict[str, Any]:
    """As MinIO posts it: the key is encoded in the record, and plain beside it."""
    one = record(key, source="minio:s3", name="s3:ObjectCreated:Put", sequencer="17A2B3C4D5E6F708")
    return {"EventName": "s3:ObjectCreated:Put", "Key": f"files/{decoded}", "Records": [one]}


def eventbridge(key: str = "k", kind: str = "Object Created", **more: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-22T14:02:11Z",
        "region": "ca-central-1",
        "resources": ["arn:aws:s3:::files"],
        "detail": {
            "version": "0",
            "bucket": {"name": "files"},
            "object": {"key": key, "size": 5, "etag": "e", "sequencer": "00617F08299329D189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            **more,
        },
    }


def sns(inner: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:files",
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(inner),
        "Timestamp": "2026-11-22T14:02:12.000Z",
        "SignatureVersion": "1",
    }


def seaweed(
    path: str, event_type: str = "create", *, old: Any = None, new: Any = None, parent: str = ""
) -> dict[str, Any]:
    """As recorded from SeaweedFS 4.48: Go leaves out what is empty."""
    message: dict[str, Any] = {"signatures": [1672129913]}
    if old is not None:
        message["old_entry"] = old
    if new is not None:
        message["new_entry"] = new
        message["new_parent_path"] = parent or path.rpartition("/")[0]
    return {"key": path, "event_type": event_type, "message": message}


def entry(name: str, *, size: int = 5, directory: bool = False, **extended: str) -> dict[str, Any]:
    attributes = {"mtime": 1795368458, "file_mode": 432, "crtime": 1795368458, "mime": "text/plain"}
    made: dict[str, Any] = {"name": name, "attributes": attributes, "extended": {}}
    if directory:
        made["is_directory"] = True
    elif size:
        attributes["file_size"] = size
        made["chunks"] = [{"file_id": "1,02e3", "size": size, "e_tag": "XUFAKrxLKna5cZ2REBfFkg=="}]
    for header, value in extended.items():
        made["extended"][header.replace("_", "-")] = b64encode(value.encode()).decode()
    return made


def version(size: int = 5, **extended: str) -> dict[str, Any]:
    return entry(
        f"v_{VERSION}", size=size, directory=False, Seaweed_X_Amz_Version_Id=VERSION, **extended
    )


VERSION_PATH = f"/buckets/files/dir/a +%20b.txt.versions/v_{VERSION}"
KEY = "dir/a +%20b.txt"


class TestRecords:
    """The classic form."""

    def test_a_record_of_aws(self) -> None:
        (hint,) = hints(aws(record("red+flower%2B%C3%BC/%25.jpg", sequencer="0055AED6DCD90281E5")))
        assert hint == Hint(
            "files",
            "red flower+ü/%.jpg",
            1795356131.4,
            "0055AED6DCD90281E5".ljust(32, "0"),
            1024,
            ("v",),
        )

    @pytest.mark.parametrize(
        ("name", "more", "versions"),
        [
            ("ObjectCreated:CompleteMultipartUpload", {}, ("v",)),
            ("s3:ObjectCreated:Put", {}, ("v",)),
            ("ObjectCreated:Put", {"versionId": "null"}, ()),
            ("ObjectCreated:Put", {"versionId": None}, ()),
            ("ObjectCreated:Put", {"versionId": "x" * 2000}, ()),
            ("ObjectCreated:Put", {"versionId": "a\nb"}, ()),
            ("ObjectRemoved:Delete", {}, ()),
            ("ObjectRemoved:DeleteMarkerCreated", {}, ()),
            ("LifecycleExpiration:Delete", {}, ()),
            ("ObjectTagging:Put", {}, ()),
        ],
    )
    def test_only_a_version_that_was_written_is_named(
        self, name: str, more: dict[str, Any], versions: tuple[str, ...]
    ) -> None:
        (hint,) = hints(aws(record(name=name, **more)))
        assert hint.versions == versions

    def test_of_two_readings_of_a_key_neither_names_a_version(self) -> None:
        found = hints(aws(record("a+b", source="ceph:s3")))
        assert [hint.versions for hint in found] == [(), ()]

    def test_minio_encodes_the_slash_too(self) -> None:
        (hint,) = hints(minio("dir%2Fa+%2B%2520b.txt", "dir/a +%20b.txt"))
        assert (hint.bucket, hint.key) == ("files", "dir/a +%20b.txt")
        assert hint.sequence.startswith("17A2B3C4D5E6F7080")

    def test_minio_without_records(self) -> None:
        short = {"EventName": "s3:ObjectRemoved:Delete", "Key": "files/a +%20b/c"}
        assert hints(short) == [Hint("files", "a +%20b/c")]

    def test_rgw_does_not_encode_and_both_readings_are_hinted(self) -> None:
        one = record("a+b%20c", source="ceph:s3", size="1024", metadata=[], tags=[])
        one |= {"eventTime": "2019-11-22 13:47:35.124724Z", "eventId": "1574430455.124724.e"}
        found = hints(aws(one))
        assert [hint.key for hint in found] == ["a+b%20c", "a b c"]
        assert {(hint.size, hint.at) for hint in found} == {(1024, 1574430455.124724)}
        assert keys(aws(record("plain/key", source="ceph:s3"))) == ["plain/key"]
        assert keys(aws(record("%FF", source="ceph:s3"))) == ["%FF"]

    @pytest.mark.parametrize(
        "name",
        [
            "ObjectCreated:CompleteMultipartUpload",
            "ObjectRemoved:Delete",
            "ObjectRemoved:DeleteMarkerCreated",
            "LifecycleExpiration:Delete",
            "s3:LifecycleExpiration:DeleteMarkerCreated",
            "ObjectLifecycle:Expiration:NonCurrent",
            "ObjectTagging:Put",
            "ObjectTagging:Delete",
            "ObjectAcl:Put",
            "ObjectRestore:Completed",
            "s3:ObjectCreated:PutRetention",
            "s3:ObjectCreated:PutLegalHold",
            "IntelligentTiering",
        ],
    )
    def test_every_change_is_told(self, name: str) -> None:
        one = record("k", name=name)
        del one["s3"]["object"]["size"]
        assert [(hint.key, hint.size) for hint in hints(aws(one))] == [("k", 0)]

    @pytest.mark.parametrize(
        "name", ["s3:ObjectAccessed:Get", "ObjectAccessed:Head", "s3:Scanner:ManyVersions"]
    )
    def test_reads_are_not(self, name: str) -> None:
        assert hints(aws(record("k", name=name))) == []
        assert hints({"EventName": name, "Key": "files/k"}) == []

    def test_many_records_keep_their_order(self) -> None:
        assert keys(aws(record("b"), record("a"), record("b"))) == ["b", "a", "b"]

    @pytest.mark.parametrize("time", [None, "", 5, "yesterday", "0001-01-01T00:00:00+23:59"])
    def test_a_time_that_cannot_be_read_is_no_time(self, time: object) -> None:
        (hint,) = hints(aws(record("k") | {"eventTime": time}))
        assert hint.at == 0.0

    def test_sequencers_compare_as_texts(self) -> None:
        earlier, later = hints(aws(record(sequencer="0055aed6"), record(sequencer="0055AED6DC")))
        assert earlier.sequence < later.sequence
        assert len(earlier.sequence) == len(later.sequence)
        assert hints(aws(record(sequencer="0" * 100)))[0].sequence == ""

    @pytest.mark.parametrize("size", [None, -1, True, "x", 1.5, 2**63, "9" * 30])
    def test_a_size_that_cannot_be_is_none(self, size: object) -> None:
        assert hints(aws(record(size=size)))[0].size == 0

    def test_nothing_to_tell(self) -> None:
        test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "files"}
        assert hints(test_event) == hints({"Records": []}) == hints({"Records": None}) == []
        assert hints(aws(record(""))) == []  # MinIO tells of buckets, too


class TestEnvelopes:
    """EventBridge and SNS."""

    def test_eventbridge_does_not_encode(self) -> None:
        assert hints(eventbridge("a+b%20c d")) == [
            Hint("files", "a+b%20c d", 1795356131.0, "00617F08299329D189".ljust(32, "0"), 5)
        ]

    @pytest.mark.parametrize("kind", ["Object Deleted", "Object Tags Added", "Object ACL Updated"])
    def test_every_kind_of_eventbridge(self, kind: str) -> None:
        assert keys(eventbridge("k", kind, reason="Lifecycle Expiration")) == ["k"]

    def test_sns_around_either(self) -> None:
        assert keys(sns(aws(record("a+b")))) == ["a b"]
        assert keys(sns(eventbridge("a+b"))) == ["a+b"]

    def test_envelopes_end(self) -> None:
        nested: Any = aws(record("k"))
        for _ in range(ENVELOPES_MAX):
            nested = sns(nested)
        assert keys(nested) == ["k"]
        with pytest.raises(Corrupt, match="envelope"):
            hints(sns(nested))


class TestSeaweed:
    """What the filer's webhook posts, as recorded."""

    def test_a_new_version(self) -> None:
        (hint,) = hints(seaweed(VERSION_PATH, new=version()))
        assert (hint.bucket, hint.key, hint.size) == ("files", KEY, 5)
        assert hint.at == pytest.approx(VERSION_SECONDS, abs=0.01)

    def test_a_delete_marker(self) -> None:
        marker = version(0, Seaweed_X_Amz_Delete_Marker="true")
        assert [(h.key, h.size) for h in hints(seaweed(VERSION_PATH, new=marker))] == [(KEY, 0)]

    def test_a_null_marker(self) -> None:
        null = entry("v_null", size=0, Seaweed_X_Amz_Version_Id="null")
        (hint,) = hints(seaweed("/buckets/files/mp.versions/v_null", new=null))
        assert (hint.key, hint.at) == ("mp", 1795368458.0)

    def test_tags(self) -> None:
        tagged = seaweed(VERSION_PATH, "update", old=version(), new=version(X_Amz_Tagging_a="b"))
        assert [(h.key, h.at, h.size) for h in hints(tagged)] == [(KEY, 0.0, 0)]

    def test_a_purge(self) -> None:
        assert keys(seaweed(VERSION_PATH, "delete", old=version())) == [KEY]

    def test_being_no_longer_the_newest_is_no_change(self) -> None:
        demoted = version(Seaweed_X_Amz_Noncurrent_Since_Ns="1795368460677757285")
        assert hints(seaweed(VERSION_PATH, "update", old=version(), new=demoted)) == []
        assert hints(seaweed(VERSION_PATH, "update", old=demoted, new=version())) == []

    def test_a_plain_file(self) -> None:
        path = "/buckets/files/plain.txt"
        assert [(h.key, h.size) for h in hints(seaweed(path, new=entry("plain.txt")))] == [
            ("plain.txt", 5)
        ]
        assert keys(seaweed(path, "delete", old=entry("plain.txt"))) == ["plain.txt"]

    def test_a_key_that_looks_like_a_version_is_itself(self) -> None:
        path = "/buckets/files/mine.versions/v_1"
        assert keys(seaweed(path, new=entry("v_1"))) == ["mine.versions/v_1"]
        null = entry("v_1", Seaweed_X_Amz_Version_Id="null")
        assert keys(seaweed(path, new=null)) == ["mine.versions/v_1"]

    def test_keys_that_are_directories(self) -> None:
        folder = entry("trailing", directory=True, Seaweed_X_Amz_ETag="d41d8cd9")
        held = seaweed("/buckets/files/trailing", new=folder)
        assert keys(held) == ["trailing"]
        held["message"]["new_entry"]["attributes"]["mime"] = "httpd/unix-directory"
        assert keys(held) == ["trailing/"]

    def test_a_rename_concerns_two_keys(self) -> None:
        moved = seaweed(
            "/buckets/files/a/old",
            "rename",
            old=entry("old"),
            new=entry("new"),
            parent="/buckets/files/b",
        )
        assert keys(moved) == ["a/old", "b/new"]

    def test_the_end_of_a_keys_directory(self) -> None:
        folder = entry("k.versions", directory=True)
        assert keys(seaweed("/buckets/files/k.versions", "delete", old=folder)) == ["k"]

    @pytest.mark.parametrize(
        "path",
        [
            "/buckets",
            "/buckets/files",
            "/buckets/files/dir",
            "/buckets/files/k.versions",
            "/buckets/files/.uploads/91f6_5a4a",
            "/buckets/.system/owners",
            "/topics/.system",
        ],
    )
    def test_directories_are_no_keys(self, path: str) -> None:
        assert hints(seaweed(path, new=entry(path.rpartition("/")[2], directory=True))) == []

    @pytest.mark.parametrize(
        "path", ["/buckets/files/.uploads/91f6_5a4a/0001.part", "/buckets/.system/x", "/etc/x"]
    )
    def test_files_that_are_no_keys(self, path: str) -> None:
        assert hints(seaweed(path, new=entry(path.rpartition("/")[2]))) == []


REFUSED: list[Any] = [
    None,
    5,
    "text",
    [],
    [aws(record("k"))],
    {},
    {"Event": "s3:OtherEvent"},
    {"Records": 5},
    {"Records": {"a": 1}},
    {"Records": [None]},
    {"Records": [{}]},
    {"Records": [{"eventName": "ObjectCreated:Put"}]},
    aws(record("k") | {"s3": None}),
    aws(record("k") | {"eventName": None}),
    aws(record("%FF%FE")),
    aws(record("k" * (KEY_BYTES_MAX + 1))),
    aws(record("\ud800")),
    eventbridge("k") | {"source": "aws.ec2"},
    eventbridge("k") | {"detail": "none"},
    eventbridge("k", bucket={"name": "a/b"}),
    eventbridge("k", bucket={"name": ""}),
    eventbridge("k", bucket={"name": "line\nbreak"}),
    eventbridge("k", object={"key": None}),
    sns("text"),
    sns(aws(record("k"))) | {"Message": 5},
    {"EventName": "s3:ObjectCreated:Put", "Key": 5},
    {"EventName": 5, "Key": "files/k"},
    {"EventName": "s3:ObjectCreated:Put", "Key": "/k"},
    {"key": 5, "event_type": "create", "message": {}},
    {"key": "/buckets/files/k", "event_type": "create", "message": "text"},
    seaweed("/buckets/files/k", new={"name": 5}),
    seaweed("/buckets/files/k", new={"name": "k", "extended": {"a": "?"}}),
    seaweed("/buckets/files/k", new={"name": "k", "extended": {"a": 5}}),
    seaweed("/buckets/files/k", new={"name": "k", "attributes": [1]}),
]


@pytest.mark.parametrize("document", REFUSED, ids=lambda document: ascii(document)[:60])
def test_what_is_no_event_is_refused(document: Any) -> None:
    with pytest.raises(Corrupt) as caught:
        hints(document)
    assert caught.value.hint


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"\xff",
        "[" * 100_000,
        '{"Records": NaN}',
        '{"Records": [' + "9" * 5000 + "]}",
        b" " * (MESSAGE_BYTES_MAX + 1),
    ],
    ids=range(8),
)
def test_what_is_no_json_is_refused(body: bytes | str) -> None:
    with pytest.raises(Corrupt):
        hints_from(body)


def test_records_are_bounded() -> None:
    with pytest.raises(Corrupt, match="records"):
        hints(aws(*[{}] * (RECORDS_MAX + 1)))


def test_a_refusal_repeats_nothing_of_the_message() -> None:
    with pytest.raises(Corrupt) as caught:
        hints({"Records": [{"eventName": "secret-in-a-forged-event"}]})
    assert "secret" not in str(caught.value) + caught.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
EXAMPLES = [
    aws(record("a+b", sequencer="00")),
    minio("a%2Fb", "a/b"),
    eventbridge("k"),
    sns(aws(record("k"))),
    seaweed(VERSION_PATH, "update", old=version(), new=version(X_Amz_Tagging_a="b")),
]


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    found = []
    for name, value in inner:
        found.append((*path, name))
        if isinstance(value, dict | list):
            found += places(value, (*path, name))
    return found


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copy


@settings(max_examples=500)
@given(st.data())
def test_one_wrong_field_gives_hints_or_our_error(data: st.DataObject) -> None:
    """Any field of any form, replaced by anything: readable hints, or `Corrupt`."""
    document = data.draw(st.sampled_from(EXAMPLES))
    path = data.draw(st.sampled_from(places(document)))
    body = json.dumps(replaced(document, path, data.draw(JSON)))
    try:
        found = hints_from(body)
    except Corrupt:
        return
    for hint in found:
        assert 0 < len(hint.key.encode()) <= KEY_BYTES_MAX
        assert hint.bucket
        assert hint.at >= 0.0
        assert hint.size >= 0


@given(st.binary(max_size=200))
def test_any_bytes_give_hints_or_our_error(body: bytes) -> None:
    with suppress(Corrupt):
        assert hints_from(body) == []


@given(st.text(min_size=1, max_size=40))
def test_any_key_comes_through(key: str) -> None:
    try:
        quoted = quote_plus(key)
    except UnicodeEncodeError:
        return
    assert keys(aws(record(quoted))) == [key]
    assert keys(eventbridge(key)) == [key]
