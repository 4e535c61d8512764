"""A backfill between two real SeaweedFS regions, judged by boto3 and by `verify --deep`."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config as BotoConfig

from farshore.config.load import load
from farshore.control.recorded import write_record
from farshore.core.model import Attributes
from farshore.lab.odd_keys import ODD_KEYS, Fate
from farshore.lab.regions import Lab
from farshore.lab.settings import PERFECT, LinkSettings
from farshore.lab.state import LabState
from farshore.s3.capabilities import Capabilities
from farshore.s3.client import S3Client
from tests.contract import servers
from tests.contract.servers import Server
from tests.lab import witness
from tests.lab.farshore_cli import Ended, Farshore

MIB = 1024 * 1024
LEAST = 5 * 1024
"""KiB of the smallest part that may be followed by another (S3, and SeaweedFS)."""

WAIT_SECONDS_MAX = 30.0
WAIT_STEP_SECONDS = 0.05

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


def prove_equal(farshore: Farshore, keys: Iterable[str], bucket: str = "") -> None:
    """boto3 sees the same on both sides, verify agrees, and a second backfill copies nothing."""
    keys = list(keys)
    assert keys
    name = bucket or farshore.bucket
    assert witness.histories(farshore.s3("west"), name, keys) == witness.histories(
        farshore.s3("east"), name, keys
    )
    assert farshore.json("verify", "--deep")["differences"] == []
    again = farshore.json("backfill")
    assert (again["copied"], again["delete_markers"], again["not_copied"]) == (0, 0, {})


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


# -- multipart ---------------------------------------------------------------------------


def upload_parts(farshore: Farshore, key: str, sizes: Sequence[int], **attributes: Any) -> None:
    """An upload whose parts measure these KiB, written by the operator at the source."""
    s3, bucket = farshore.s3("east"), farshore.bucket
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **attributes)["UploadId"]
    made = []
    for number, size in enumerate(sizes, 1):
        body = hashlib.sha256(f"{key} {number}".encode()).digest() * (size * 32)
        name = {"Bucket": bucket, "Key": key, "UploadId": upload, "PartNumber": number}
        made.append({"PartNumber": number, "ETag": s3.upload_part(Body=body, **name)["ETag"]})
    s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": made}
    )


def open_uploads(s3: Any, bucket: str) -> list[str]:
    found = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [upload["UploadId"] for upload in found]


def test_uploads_in_parts_keep_their_etag(farshore: Farshore) -> None:
    layouts = {
        "one part": [7],
        "equal and a rest": [LEAST, LEAST, 1],
        "unequal": [LEAST, LEAST + 300, LEAST + 1, 50],
        "larger last": [LEAST, LEAST + 512],
        "more than fly at once": [LEAST] * 5,
    }
    for key, sizes in layouts.items():
        upload_parts(farshore, key, sizes)
    farshore.put_all({"one part": [None, b"single"]})
    assert farshore.json("backfill")["copied"] == len(layouts) + 1
    west = farshore.s3("west")
    for key, sizes in layouts.items():
        oldest = witness.history(west, farshore.bucket, key)[-1]
        assert oldest.etag.endswith(f'-{len(sizes)}"'), key
        assert oldest.size == sum(sizes) * 1024
    assert open_uploads(west, farshore.bucket) == []
    prove_equal(farshore, layouts)


MEASURED = """
import re, sys
from farshore.cli import main
code = main.run(["backfill", "--json"])
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(code, peak[1], file=sys.stderr)
"""


def test_large_bodies_pass_through_little_memory(farshore: Farshore) -> None:
    body = hashlib.shake_256(b"large").digest(64 * MIB)
    farshore.s3("east").put_object(Bucket=farshore.bucket, Key="single", Body=body)
    upload_parts(farshore, "parts", [8 * 1024] * 8)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        cwd=farshore.folder,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=True,
    )
    code, peak_kib = map(int, done.stderr.split()[-2:])
    assert code == 0
    assert json.loads(done.stdout)["copied_bytes"] == 128 * MIB
    assert peak_kib < 120 * 1024
    east, west = farshore.s3("east"), farshore.s3("west")
    for key in ("single", "parts"):
        name = {"Bucket": farshore.bucket, "Key": key}
        ours, theirs = east.head_object(**name), west.head_object(**name)
        assert (theirs["ETag"], theirs["ContentLength"]) == (ours["ETag"], 64 * MIB)


def uploaded_parts(farshore: Farshore, site: str, upload: str) -> dict[int, str]:
    """Part number to ETag, of one open upload of the key "big"."""
    listed = farshore.s3(site).list_parts(Bucket=farshore.bucket, Key="big", UploadId=upload)
    return {part["PartNumber"]: part["ETag"] for part in listed.get("Parts", [])}


def stored_chunks(farshore: Farshore, folder: str) -> dict[str, set[str]]:
    """Name to the ids of the blobs that hold it, below a folder of the west's filer."""
    filer = farshore.lab.status().site("west").filer
    path = quote(f"/buckets/{farshore.bucket}/{folder}/")
    asked = urllib.request.Request(f"{filer}{path}", headers={"Accept": "application/json"})
    with urllib.request.urlopen(asked, timeout=WAIT_SECONDS_MAX) as answer:
        entries = json.load(answer)["Entries"]
    return {e["FullPath"]: {c["file_id"] for c in e.get("chunks") or ()} for e in entries}


def kill_in_the_middle(farshore: Farshore, parts: int) -> str:
    """SIGKILL a backfill when so many parts of "big" stand; answers the upload's id."""
    west = farshore.s3("west")
    running = farshore.start("backfill")
    try:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            for upload in open_uploads(west, farshore.bucket):
                if len(uploaded_parts(farshore, "west", upload)) >= parts:
                    return upload
            time.sleep(WAIT_STEP_SECONDS)  # the server has no event for it
        raise AssertionError("the upload did not begin")
    finally:
        running.kill()
        running.communicate()


def test_an_upload_that_was_killed_goes_on_with_its_parts(farshore: Farshore, lab: Lab) -> None:
    upload_parts(farshore, "big", [LEAST] * 8)
    lab.link("east", LinkSettings(rate_mbit=160))
    upload = kill_in_the_middle(farshore, 3)
    standing = uploaded_parts(farshore, "west", upload)
    assert 3 <= len(standing) < 8
    chunks = stored_chunks(farshore, f".uploads/{upload}")
    lab.link("east", PERFECT)
    assert farshore.json("backfill")["copied"] == 1
    assert open_uploads(farshore.s3("west"), farshore.bucket) == []
    (final,) = stored_chunks(farshore, "big.versions").values()
    kept = [ids for ids in chunks.values() if ids and ids <= final]
    assert len(kept) >= len(standing)
    prove_equal(farshore, ["big"])


def test_a_standing_part_that_is_wrong_is_never_shown_and_the_next_try_starts_anew(
    farshore: Farshore, lab: Lab
) -> None:
    upload_parts(farshore, "big", [LEAST] * 6)
    lab.link("east", LinkSettings(rate_mbit=160))
    upload = kill_in_the_middle(farshore, 2)
    number = min(uploaded_parts(farshore, "west", upload))
    farshore.s3("west").upload_part(
        Bucket=farshore.bucket,
        Key="big",
        UploadId=upload,
        PartNumber=number,
        Body=b"x" * (LEAST * 1024),
    )
    lab.link("east", PERFECT)
    done = farshore.json("backfill")
    assert done["copied"] == 1
    assert open_uploads(farshore.s3("west"), farshore.bucket) == []
    journal = sqlite3.connect(farshore.state_dir / "journal.sqlite")
    assert journal.execute("SELECT count(*) FROM upload").fetchone() == (0,)
    journal.close()
    prove_equal(farshore, ["big"])


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


# -- other roads -------------------------------------------------------------------------


def tls_client(lab: LabState, site: str) -> Any:
    """boto3 as the owner, through the link, trusting the lab's own authority."""
    found = lab.site(site)
    keys = found.principals["owner"]
    return boto3.client(
        "s3",
        endpoint_url=found.endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name="us-east-1",
        verify=str(lab.ca_file),
        config=BotoConfig(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            request_checksum_calculation="when_required",
        ),
    )


def test_over_tls(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        lab.up(tls=True)
        farshore = Farshore(tmp_path, lab, "files")

        def run(*words: str) -> Ended:
            ended = farshore.run(*words)
            assert ended.code == 0, ended
            return ended

        run("apply", "--yes")
        status = lab.status()
        assert status.site("east").endpoint.startswith("https://")
        clients = {site: tls_client(status, site) for site in ("east", "west")}
        for body in (b"1", b"2" * MIB):
            clients["east"].put_object(Bucket="files", Key="k", Body=body)
        clients["east"].delete_object(Bucket="files", Key="k")
        run("backfill")
        trust = ssl.create_default_context(cafile=status.ca_file)
        seen = {site: witness.history(s3, "files", "k", trust) for site, s3 in clients.items()}
        assert seen["west"] == seen["east"]
        assert len(seen["west"]) == 3
        run("verify", "--deep")
        assert json.loads(run("backfill", "--json").stdout)["copied"] == 0


@pytest.fixture
def moto_target(farshore: Farshore) -> Iterator[Server]:
    """The west is moto's server: another vendor, of whose abilities nothing is recorded."""
    with servers.moto() as moto:
        west = {"operator": '{ env = "WEST" }', "replicator": '{ env = "WEST" }'}
        farshore.configure(sites={"west": {"endpoint": moto.endpoint}}, credentials={"west": west})
        site = farshore.lab.status().site("west")
        kept = [
            line
            for line in farshore.config.read_text().splitlines()
            if site.filer not in line and not line.startswith("filer_grpc")
        ]
        farshore.config.write_text("\n".join(kept))
        yield moto


MOTO_KEYS = {"WEST_ACCESS_KEY_ID": "test", "WEST_SECRET_ACCESS_KEY": "test"}


def plain_client(server: Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.credentials.access_key,
        aws_secret_access_key=server.credentials.secret_key,
        region_name="us-east-1",
    )


async def record(farshore: Farshore, server: Server, capabilities: Capabilities) -> None:
    """What a probe would have recorded: moto's own takes minutes."""
    site = load(farshore.config).target
    client = S3Client("west", server.endpoint, server.credentials)
    await client.create_bucket(site.control_bucket)
    await client.put_versioning(site.control_bucket, True)
    await write_record(client, site, capabilities)
    await client.aclose()


async def test_another_vendor_of_which_nothing_is_known_but_its_listing(
    farshore: Farshore, moto_target: Server
) -> None:
    """The least capabilities: no conditions, no checksums, no part numbers. (moto lists
    markers apart from versions, so there are none here.)"""
    await record(farshore, moto_target, Capabilities(listing="plain", probed_at="by hand"))
    west = plain_client(moto_target)
    west.create_bucket(Bucket=farshore.bucket)
    west.put_bucket_versioning(
        Bucket=farshore.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    histories = {"a": [b"1", b"22", b"1"], "a-b": [b""], "é/x": [b"1" * MIB, b"2"]}
    farshore.put_all(histories)
    farshore.s3("east").put_object_tagging(
        Bucket=farshore.bucket, Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "a+b c"}]}
    )
    upload_parts(farshore, "parts", [LEAST, 1])
    assert farshore.json("backfill", env=MOTO_KEYS)["copied"] == 7
    assert farshore.json("verify", "--deep", env=MOTO_KEYS)["differences"] == []
    for key, bodies in histories.items():
        listed = west.list_object_versions(Bucket=farshore.bucket, Prefix=key)["Versions"]
        ids = [row["VersionId"] for row in listed if row["Key"] == key]
        read = [
            west.get_object(Bucket=farshore.bucket, Key=key, VersionId=version)["Body"].read()
            for version in ids
        ]
        assert read == bodies[::-1], key
    tags = west.get_object_tagging(Bucket=farshore.bucket, Key="a")["TagSet"]
    assert tags == [{"Key": "k", "Value": "a+b c"}]
    parts = west.head_object(Bucket=farshore.bucket, Key="parts")
    assert (
        parts["ETag"]
        == farshore.s3("east").head_object(Bucket=farshore.bucket, Key="parts")["ETag"]
    )
    assert farshore.json("backfill", env=MOTO_KEYS)["copied"] == 0


async def test_an_endpoint_without_a_complete_listing_is_refused_with_evidence(
    farshore: Farshore, moto_target: Server
) -> None:
    await record(farshore, moto_target, Capabilities(server="moto", probed_at="by hand"))
    for command in ("backfill", "verify", "repair"):
        refused = farshore.run(command, "--json", env=MOTO_KEYS)
        assert refused.code == 5, refused
        assert "west" in refused.error["message"]
        assert "without losing some" in refused.error["message"]
        assert "farshore probe" in refused.error["hint"]
