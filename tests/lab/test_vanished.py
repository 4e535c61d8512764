"""Buckets that a pattern picks come and go while the daemon runs."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from farshore.lab.pairfile import CONTROL_BUCKET
from tests.lab.daemon import Daemon, configure, eventually, reasons, status
from tests.lab.farshore_cli import Farshore


def make(s3: Any, bucket: str) -> None:
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def keys(s3: Any, bucket: str) -> list[str]:
    page = s3.list_object_versions(Bucket=bucket)
    return [row["Key"] for row in page.get("Versions", []) if not row["Key"].startswith(".")]


def copied(s3: Any, bucket: str) -> bool:
    return keys(s3, bucket) == ["k"]


def test_a_pattern_waits_for_its_first_bucket_and_misses_the_last(farshore: Farshore) -> None:
    stem, name = f"{farshore.bucket}-p", f"pair-{farshore.bucket}"
    configure(farshore, buckets=[(f"{stem}*", f"{stem}*")], name=name)
    east, west = farshore.s3("east"), farshore.s3("west")
    one, two = f"{stem}1", f"{stem}2"
    with Daemon(farshore) as daemon:
        eventually(lambda: b"pattern" in daemon.ask("/readyz").body, 60, "it waits, and says so")
        for bucket in (one, two):
            make(west, bucket)
            make(east, bucket)
            east.put_object(Bucket=bucket, Key="k", Body=b"1")
        eventually(lambda: daemon.ask("/readyz").code == 200, 60, "taken up")
        for bucket in (one, two):
            eventually(partial(copied, west, bucket), 60, f"{bucket} is copied")
        for row in east.list_object_versions(Bucket=two).get("Versions", []):
            east.delete_object(Bucket=two, Key=row["Key"], VersionId=row["VersionId"])
        east.delete_bucket(Bucket=two)
        told = f"{two} is gone from east; west keeps 1 version"
        eventually(lambda: any(told in line for line in daemon.said), 60, "the daemon says so")
        eventually(lambda: "bucket-vanished" in reasons(status(farshore)[1]), 60, "the status, too")
        east.put_object(Bucket=one, Key="later", Body=b"1")
        eventually(lambda: "later" in keys(west, one), 60, "the other bucket goes on")
        daemon.terminate()
    verified = json.loads(farshore.run("verify", "--json").stdout)
    assert verified["vanished"] == [told]
    assert f"{told}." in farshore.run("backfill").stderr
    assert farshore.run("apply", "--forget", one, "--yes", "--json").code == 2
    farshore.json("apply", "--forget", two, "--yes")
    assert "bucket-vanished" not in reasons(status(farshore)[1])
    assert keys(west, two) == ["k"], "the target keeps everything"
    assert west.get_object(Bucket=CONTROL_BUCKET, Key=f"pairs/{name}.json")["ContentLength"]
