"""A backfill between two real SeaweedFS regions, judged by boto3 and by `verify --deep`."""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farshore.core.model import Attributes
from farshore.lab.odd_keys import ODD_KEYS, Fate
from farshore.s3.client import S3Client
from tests.lab import witness
from tests.lab.farshore_cli import Farshore
from tests.lab.replicas import LEAST, prove_equal, upload_parts

SHAPES: dict[str, Sequence[bytes | None]] = {
    "one": [b"1"],
    "three versions": [b"1", b"22", b"333"],
    "markers between": [b"1", None, b"2", None, b"3"],
    "marker on marker": [b"1", None, None],
    "marker first": [None, b"1"],
    "markers first and last": [None, None, b"1", None],
    "only a marker": [None],
    "equal in a row": [b"same", b"same", b"same"],
    "equal apart": [b"same", b"other", b"same"],
    "equal around a marker": [b"same", None, b"same", None, b"same"],
    "empty": [b""],
    "empty and a marker": [b"", b"", None, b""],
    "many": [b"v%d" % number for number in range(60)],
}


def test_histories_of_all_shapes(farshore: Farshore) -> None:
    farshore.put_all(SHAPES)
    done = farshore.json("backfill")
    entries = [entry for shape in SHAPES.values() for entry in shape]
    assert done["delete_markers"] == entries.count(None)
    assert done["copied"] == len(entries) - entries.count(None)
    seen = witness.histories(farshore.s3("west"), farshore.bucket, SHAPES)
    for key, shape in SHAPES.items():
        assert [e.is_marker for e in seen[key]] == [body is None for body in reversed(shape)], key
    prove_equal(farshore, SHAPES)


def test_a_history_that_grows_between_runs_is_continued(farshore: Farshore) -> None:
    farshore.put_all({key: shape[:1] for key, shape in SHAPES.items()})
    farshore.json("backfill")
    farshore.put_all({key: shape[1:] for key, shape in SHAPES.items()})
    done = farshore.json("backfill", "--deletes-share", "1")
    assert done["copied"] + done["delete_markers"] == sum(len(s) - 1 for s in SHAPES.values())
    prove_equal(farshore, SHAPES)


def test_odd_keys(farshore: Farshore) -> None:
    """Those that SeaweedFS keeps, each with two versions and a marker between."""
    keys = [odd.key for odd in ODD_KEYS if odd.seaweed is Fate.KEPT]
    assert len(keys) > 50
    farshore.put_all({key: [b"one " + key.encode()[:40], None, b"two"] for key in keys})
    assert farshore.json("backfill")["copied"] == 2 * len(keys)
    prove_equal(farshore, keys)


def test_a_key_that_is_a_folder_for_the_server_arrives_as_it_is_shown(farshore: Farshore) -> None:
    """SeaweedFS drops the body of such a key, and keeps the ETag that the body had."""
    keys = [odd.key for odd in ODD_KEYS if odd.seaweed is Fate.EMPTIED]
    assert keys == ["trailing/"]
    farshore.put_all({"trailing/": [b""], "trailing/in": [b"1"], "full/": [b"dropped"]})
    assert farshore.json("backfill")["copied"] == 3
    prove_equal(farshore, ["trailing/", "trailing/in"])


# -- null versions -----------------------------------------------------------------------


def set_versioning(farshore: Farshore, *, enabled: bool) -> None:
    farshore.s3("east").put_bucket_versioning(
        Bucket=farshore.bucket,
        VersioningConfiguration={"Status": "Enabled" if enabled else "Suspended"},
    )


@pytest.fixture
def unversioned(farshore: Farshore) -> Farshore:
    """The source's bucket has never been versioned."""
    farshore.bucket += "-plain"
    farshore.configure()
    farshore.make_buckets(versioned=["west"])
    return farshore


def test_null_versions_from_before_versioning(unversioned: Farshore) -> None:
    unversioned.put_all({"only": [b"null"], "more": [b"null"], "hidden": [b"null"]})
    set_versioning(unversioned, enabled=True)
    unversioned.put_all({"more": [b"two", None, b"three"], "hidden": [None]})
    assert unversioned.json("backfill")["copied"] == 5
    prove_equal(unversioned, ["only", "more", "hidden"])


def test_null_versions_of_a_suspended_period_that_is_over(farshore: Farshore) -> None:
    """Where a null version stood among its elders SeaweedFS does not say: it lists it last.

    What is on top is right all the same, at every moment; and a replica that was made
    while the null version was the newest stays where it stands, and is right there.
    (A null *marker* stays the newest on SeaweedFS whatever is written after it, for its
    own clients too: so "gone" is not written again here.)
    """
    farshore.put_all({"early": [b"1", b"2"], "late": [b"1", b"2"], "gone": [b"1"]})
    set_versioning(farshore, enabled=False)
    farshore.put_all({"early": [b"null"], "gone": [None]})
    set_versioning(farshore, enabled=True)
    assert farshore.json("backfill")["copied"] == 6
    prove_equal(farshore, ["early", "late", "gone"])
    set_versioning(farshore, enabled=False)
    farshore.put_all({"late": [b"null"]})
    set_versioning(farshore, enabled=True)
    farshore.json("backfill")
    farshore.put_all({"early": [b"3"], "late": [b"3"]})
    assert farshore.json("backfill")["copied"] == 2
    west = farshore.s3("west")
    seen = {key: witness.history(west, farshore.bucket, key) for key in ("early", "late")}
    assert [e.size for e in seen["early"]] == [1, 4, 1, 1]
    assert [e.size for e in seen["late"]] == [1, 4, 1, 1]
    assert farshore.json("verify", "--deep")["differences"] == []
    assert farshore.json("backfill")["copied"] == 0


def test_a_null_version_that_was_overwritten_stays_on_the_target(farshore: Farshore) -> None:
    farshore.put_all({"k": [b"1"]})
    set_versioning(farshore, enabled=False)
    farshore.put_all({"k": [b"null one"]})
    set_versioning(farshore, enabled=True)
    farshore.json("backfill")
    set_versioning(farshore, enabled=False)
    farshore.put_all({"k": [b"the second null"]})
    set_versioning(farshore, enabled=True)
    assert farshore.json("backfill")["copied"] == 1
    assert [e.size for e in witness.history(farshore.s3("west"), farshore.bucket, "k")] == [
        15,
        8,
        1,
    ]
    found = farshore.json("verify", "--deep")
    assert (found["differences"], found["retained_on_target"]) == ([], 1)


# -- what a version carries --------------------------------------------------------------

HEADERS: dict[str, Any] = {
    "CacheControl": "max-age=60,  public",
    "ContentDisposition": "attachment; filename=\"a b.txt\"; filename*=UTF-8''%e2%82%ac",
    "ContentLanguage": "de, en",
    "ContentType": "text/csv; charset=utf-8",
    "Expires": datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC),
    "Metadata": {
        "note": "two  spaces,   three",
        "empty-looking": ".",
        "upper": "ÄÖ".encode().hex(),
    },
    "Tagging": "plus=a%2Bb&space=c%20d&empty=&%C3%BC=%E2%82%AC",
}


def test_headers_metadata_and_tags(farshore: Farshore) -> None:
    s3, bucket = farshore.s3("east"), farshore.bucket
    squeezed = gzip.compress(b"text " * 1000, mtime=0)
    s3.put_object(Bucket=bucket, Key="all", Body=b"first", **HEADERS)
    s3.put_object(Bucket=bucket, Key="all", Body=b"second, bare")
    s3.put_object(Bucket=bucket, Key="gzip", Body=squeezed, ContentEncoding="gzip")
    s3.put_object(Bucket=bucket, Key="sse", Body=b"at rest", ServerSideEncryption="AES256")
    s3.put_object(Bucket=bucket, Key="tagged later", Body=b"1")
    tags = [{"Key": "t+g", "Value": "a  b+c/=@"}, {"Key": "é", "Value": ""}]
    s3.put_object_tagging(Bucket=bucket, Key="tagged later", Tagging={"TagSet": tags})
    upload_parts(farshore, "parts", [LEAST, 3], **HEADERS)
    assert farshore.json("backfill")["copied"] == 6
    west = farshore.s3("west")
    newest, first = witness.history(west, bucket, "all")
    assert newest.tags == newest.metadata == ()
    assert first.tags == (("empty", ""), ("plus", "a+b"), ("space", "c d"), ("ü", "€"))
    assert dict(first.metadata)["x-amz-meta-note"] == "two  spaces,   three"
    assert dict(first.headers)["cache-control"] == "max-age=60,  public"
    assert len(first.headers) == 5
    (parts,) = witness.history(west, bucket, "parts")
    assert (parts.tags, parts.metadata) == (first.tags, first.metadata)
    (zipped,) = witness.history(west, bucket, "gzip")
    assert zipped.sha256 == hashlib.sha256(squeezed).hexdigest()
    (sealed,) = witness.history(west, bucket, "sse")
    assert ("x-amz-server-side-encryption", "AES256") in sealed.headers
    prove_equal(farshore, ["all", "gzip", "sse", "tagged later", "parts"])


async def test_metadata_bytes_that_are_no_ascii(farshore: Farshore) -> None:
    """boto3 cannot write them; it can read them."""
    east = farshore.lab.status().site("east")
    client = S3Client("east", east.endpoint, east.principals["owner"])
    raw = "zwölf  € 日本".encode().decode("latin-1")
    await client.put(farshore.bucket, "raw", b"1", Attributes(metadata=(("word", raw),)))
    await client.aclose()
    assert farshore.json("backfill")["copied"] == 1
    (seen,) = witness.history(farshore.s3("west"), farshore.bucket, "raw")
    assert dict(seen.metadata)["x-amz-meta-word"] == raw
    prove_equal(farshore, ["raw"])


def test_what_only_its_client_can_read_is_counted_each_time_and_blocks_nothing(
    farshore: Farshore,
) -> None:
    s3, bucket = farshore.s3("east"), farshore.bucket
    sealed = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    shapes = {"between": "plain sealed plain", "oldest": "sealed plain"}
    shapes |= {"newest": "plain sealed", "alone": "sealed"}
    for key, shape in shapes.items():
        for number, word in enumerate(shape.split()):
            extra = sealed if word == "sealed" else {}
            s3.put_object(Bucket=bucket, Key=key, Body=b"%d" % number, **extra)
    for copied in (4, 0):
        ended = farshore.run("backfill", "--json")
        document = json.loads(ended.stdout)
        assert ended.code == 1
        assert document["copied"] == copied
        assert document["not_copied"] == {"UNSUPPORTED": 4}
        assert document["causes"] == {"SSE-C": 4}
    west = farshore.s3("west")
    seen = witness.histories(west, bucket, shapes)
    assert {key: len(found) for key, found in seen.items()} == {
        key: shape.split().count("plain") for key, shape in shapes.items()
    }
    assert farshore.run("verify").code == 4


def test_object_lock(farshore: Farshore) -> None:
    bucket = f"{farshore.bucket}-locked"
    for site in ("east", "west"):
        farshore.s3(site).create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    farshore.configure(buckets=[(bucket, bucket)])
    s3 = farshore.s3("east")
    until = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)

    def put(key: str, **lock: Any) -> None:
        md5 = b64encode(hashlib.md5(key.encode()).digest()).decode()
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), ContentMD5=md5, **lock)

    put("governed", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    put("held", ObjectLockLegalHoldStatus="ON")
    put(
        "both",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
    )
    put("free")
    assert farshore.json("backfill")["copied"] == 4
    (both,) = witness.history(farshore.s3("west"), bucket, "both")
    assert ("x-amz-object-lock-mode", "COMPLIANCE") in both.headers
    assert ("x-amz-object-lock-legal-hold", "ON") in both.headers
    prove_equal(farshore, ["governed", "held", "both", "free"], bucket)


# -- what is meant -----------------------------------------------------------------------


def test_a_prefix_leaves_the_rest_alone(farshore: Farshore) -> None:
    keys = ["photos/1", "photos/2", "photos-old/1", "photo", "z"]
    farshore.put_all({key: [b"1", b"2"] for key in keys})
    assert farshore.json("backfill", "--prefix", "photos/")["copied"] == 4
    west = witness.histories(farshore.s3("west"), farshore.bucket, keys)
    assert [key for key, found in west.items() if found] == ["photos/1", "photos/2"]
    assert farshore.json("verify", "--deep", "--prefix", "photos/")["versions"] == 4
    assert farshore.run("verify").code == 4
    farshore.json("backfill")
    prove_equal(farshore, keys)


def test_two_buckets_one_by_a_pattern_under_another_name(farshore: Farshore) -> None:
    ours, theirs = f"{farshore.bucket}-mail", f"far-{farshore.bucket}-mail"
    for site, bucket in (("east", ours), ("west", theirs)):
        farshore.s3(site).create_bucket(Bucket=bucket)
        farshore.s3(site).put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
        )
    plain = farshore.bucket
    farshore.configure(buckets=[(plain, plain), (f"{plain}-*", f"far-{plain}-*")])
    farshore.put_all({"k": [b"plain"], "only here": [b"1"]})
    mail = Farshore(farshore.folder, farshore.lab, ours)
    mail.put_all({"k": [b"mail", None], "only there": [b"1", b"2"]})
    done = farshore.json("backfill")
    assert (done["copied"], done["delete_markers"]) == (5, 1)
    keys = ["k", "only here", "only there"]
    assert witness.histories(farshore.s3("west"), theirs, keys) == witness.histories(
        farshore.s3("east"), ours, keys
    )
    prove_equal(farshore, ["k", "only here"])
