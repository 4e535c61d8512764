"""Verify and repair on two real regions: the target is damaged on purpose, by its operator."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab import witness
from tests.lab.farshore_cli import STAMP_NAME, Farshore

SHAPE: list[bytes | None] = [b"one", b"two", b"three"]
TAGS = [{"Key": "kind", "Value": "other"}]


class Hand:
    """The operator's hand on the west's replicas."""

    def __init__(self, farshore: Farshore) -> None:
        self.s3 = farshore.s3("west")
        self.bucket = farshore.bucket

    def version(self, key: str, at: int) -> str:
        """The id of the entry `at` places from the top."""
        return witness.rows(self.s3, self.bucket, key)[at].version_id

    def purge(self, key: str, at: int = 0) -> dict[str, str]:
        """Remove an entry for good; answers its metadata (with the stamp)."""
        version = self.version(key, at)
        metadata = self.metadata(key, version)
        self.s3.delete_object(Bucket=self.bucket, Key=key, VersionId=version)
        return metadata

    def metadata(self, key: str, version: str) -> dict[str, str]:
        found = self.s3.head_object(Bucket=self.bucket, Key=key, VersionId=version)
        metadata: dict[str, str] = found["Metadata"]
        return metadata

    def put(self, key: str, body: bytes, metadata: dict[str, str], **more: Any) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata, **more)


def missing(hand: Hand) -> None:
    hand.purge("missing")


def gap(hand: Hand) -> None:
    hand.purge("gap", 1)


def foreign(hand: Hand) -> None:
    hand.put("foreign", b"written in the west", {})


def foreign_marker(hand: Hand) -> None:
    hand.s3.delete_object(Bucket=hand.bucket, Key="foreign-marker")


def doubled(hand: Hand) -> None:
    hand.put("doubled", b"two", hand.metadata("doubled", hand.version("doubled", 1)))


def differs(hand: Hand) -> None:
    hand.put("differs", b"three, and more", hand.purge("differs"))


def content(hand: Hand) -> None:
    hand.put("bytes", b"THREE", hand.purge("bytes"))


def metadata(hand: Hand) -> None:
    stamp = hand.purge("metadata")[STAMP_NAME]
    hand.put("metadata", b"three", {"note": "another", STAMP_NAME: stamp})


def headers(hand: Hand) -> None:
    hand.put("headers", b"three", hand.purge("headers"), ContentLanguage="de")


def encryption(hand: Hand) -> None:
    hand.put("encryption", b"three", hand.purge("encryption"), ServerSideEncryption="AES256")


def tags(hand: Hand) -> None:
    version = hand.version("tags", 2)
    hand.s3.put_object_tagging(
        Bucket=hand.bucket, Key="tags", VersionId=version, Tagging={"TagSet": TAGS}
    )


DAMAGES: dict[str, tuple[Callable[[Hand], None], set[str]]] = {
    "missing": (missing, {"missing"}),
    "gap": (gap, {"gap"}),
    "foreign": (foreign, {"foreign"}),
    "foreign-marker": (foreign_marker, {"foreign-marker"}),
    "doubled": (doubled, {"doubled"}),
    "differs": (differs, {"bytes", "differs"}),
    "bytes": (content, {"bytes"}),
    "metadata": (metadata, {"metadata"}),
    "headers": (headers, {"headers"}),
    "encryption": (encryption, {"encryption"}),
    "tags": (tags, {"tags"}),
}
"""Key, which is the kind of difference too, to what is done to it and what must be found."""

IN_PLACE = {"missing", "foreign-marker", "doubled", "tags"}


DEEP_ONLY = {"bytes", "metadata", "headers", "encryption", "tags"}
"""What no listing shows; of "bytes" the size is the same, and the stamp vouches for the ETag."""


def found(farshore: Farshore, *words: str) -> dict[str, set[str]]:
    """What `verify` lists, key to kinds; its exit code must say so too."""
    ended = farshore.run("verify", "--json", *words)
    listed: dict[str, set[str]] = {}
    for row in json.loads(ended.stdout)["differences"]:
        listed.setdefault(row["key"], set()).add(row["kind"])
    assert ended.code == (4 if listed else 0), ended
    return listed


@pytest.fixture
def copied(farshore: Farshore) -> Farshore:
    """One key for each damage, and one that nobody touches: all of them copied."""
    farshore.put_all(dict.fromkeys([*DAMAGES, "untouched"], SHAPE))
    farshore.json("backfill")
    return farshore


def test_every_damage_is_found_and_mended_as_far_as_allowed(copied: Farshore) -> None:
    hand = Hand(copied)
    untouched = witness.rows(hand.s3, copied.bucket, "untouched")
    for damage, _ in DAMAGES.values():
        damage(hand)
    everything = {key: kinds for key, (_, kinds) in DAMAGES.items()}
    assert found(copied, "--deep") == everything
    assert found(copied).keys() == everything.keys() - DEEP_ONLY

    shown = copied.run("repair", "--deep")
    assert shown.code == 2, "nobody is there to say yes"
    assert "--yes" in shown.stderr
    assert found(copied, "--deep") == everything

    mended = copied.run("repair", "--deep", "--yes", "--json")
    assert mended.code == 4
    assert {row["key"] for row in json.loads(mended.stdout)["mended"]} == IN_PLACE
    left = {key: kinds for key, kinds in everything.items() if key not in IN_PLACE}
    assert found(copied, "--deep") == left

    rebuilt = copied.run("repair", "--deep", "--rebuild-tail", "--yes", "--json")
    assert rebuilt.code == 4
    assert {row["key"] for row in json.loads(rebuilt.stdout)["left"]} == {"foreign"}
    assert found(copied, "--deep") == {"foreign": {"foreign"}}
    newest = witness.history(hand.s3, copied.bucket, "foreign")[0]
    assert newest.size == len(b"written in the west")

    hand.purge("foreign")
    assert copied.run("repair", "--deep", "--yes").code == 0
    assert witness.rows(hand.s3, copied.bucket, "untouched") == untouched
    keys = [*DAMAGES, "untouched"]
    assert witness.histories(hand.s3, copied.bucket, keys) == witness.histories(
        copied.s3("east"), copied.bucket, keys
    )
    assert copied.json("backfill")["copied"] == 0


def test_history_that_the_source_purged_is_kept_and_no_difference(farshore: Farshore) -> None:
    farshore.put_all({"k": SHAPE, "all gone": SHAPE})
    farshore.json("backfill")
    east = farshore.s3("east")
    for key, keep in (("k", 1), ("all gone", 0)):
        for row in witness.rows(east, farshore.bucket, key)[keep:]:
            east.delete_object(Bucket=farshore.bucket, Key=key, VersionId=row.version_id)
    kept = witness.histories(farshore.s3("west"), farshore.bucket, ["k", "all gone"])
    proof = farshore.json("verify", "--deep")
    assert (proof["differences"], proof["retained_on_target"]) == ([], 5)
    assert farshore.json("repair", "--deep", "--rebuild-tail", "--yes")["mended"] == []
    assert farshore.json("backfill")["copied"] == 0
    assert witness.histories(farshore.s3("west"), farshore.bucket, ["k", "all gone"]) == kept


def test_locks_that_were_set_after_the_copy_are_carried_over(farshore: Farshore) -> None:
    bucket = f"{farshore.bucket}-locked"
    for site in ("east", "west"):
        farshore.s3(site).create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    farshore.configure(buckets=[(bucket, bucket)])
    east, west = farshore.s3("east"), farshore.s3("west")
    for key in ("held", "retained"):
        md5 = b64encode(hashlib.md5(b"1").digest()).decode()
        east.put_object(Bucket=bucket, Key=key, Body=b"1", ContentType="x/y", ContentMD5=md5)
    farshore.json("backfill")
    until = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    east.put_object_legal_hold(Bucket=bucket, Key="held", LegalHold={"Status": "ON"})
    east.put_object_retention(
        Bucket=bucket, Key="retained", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until}
    )
    # SeaweedFS 4.48 forgets the content type when a lock is set, on either side.
    wrong = {"headers", "lock"}
    assert found(farshore, "--deep") == {"held": wrong, "retained": wrong}
    assert farshore.run("repair", "--deep", "--yes").code == 0
    assert witness.histories(west, bucket, ["held", "retained"]) == witness.histories(
        east, bucket, ["held", "retained"]
    )


def test_a_null_marker_that_stays_on_top_is_mended(farshore: Farshore) -> None:
    """SeaweedFS keeps it the newest whatever is written after it, for its own clients too."""
    east, west = farshore.s3("east"), farshore.s3("west")

    def versioning(status: str) -> None:
        east.put_bucket_versioning(
            Bucket=farshore.bucket, VersioningConfiguration={"Status": status}
        )

    farshore.put_all({"k": [b"1"]})
    versioning("Suspended")
    farshore.put_all({"k": [None]})
    versioning("Enabled")
    farshore.json("backfill")
    farshore.put_all({"k": [b"3"]})
    farshore.json("backfill")
    assert [e.is_marker for e in witness.history(east, farshore.bucket, "k")] == [
        True,
        False,
        False,
    ]
    assert witness.history(west, farshore.bucket, "k")[0].is_marker
    assert found(farshore) == {"k": {"foreign-marker"}}
    assert farshore.run("repair", "--yes").code == 0
    assert witness.history(west, farshore.bucket, "k") == witness.history(
        east, farshore.bucket, "k"
    )
