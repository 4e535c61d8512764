"""Uploads in parts between two real regions: their ETags, little memory, killed in the middle."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import time
import urllib.request
from typing import Any
from urllib.parse import quote

from farshore.lab.regions import Lab
from farshore.lab.settings import PERFECT, LinkSettings
from tests.lab import witness
from tests.lab.farshore_cli import Farshore
from tests.lab.replicas import LEAST, MIB, prove_equal, upload_parts

WAIT_SECONDS_MAX = 60.0
WAIT_STEP_SECONDS = 0.05


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
