"""The exported rights are enough, and none is there for nothing: a gate before real regions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError

from farshore.core.rights import Who
from tests.lab.daemon import Daemon, contents, settle
from tests.lab.damaging_proxy import damaging
from tests.lab.farshore_cli import SITES, Farshore
from tests.lab.fences import admit_app, credentials
from tests.lab.rights_gate import Gate

WHO: tuple[Who, ...] = ("operator", "replicator", "app")

PARTS_BYTES = 5 << 20

UNUSED = {
    ("operator", "s3:PutBucketNotification"): "names a receiver of one region: never carried here",
    ("operator", "s3:PutEncryptionConfiguration"): "as above, by hand, where it names a KMS key",
    ("operator", "s3:DeleteBucketPolicy"): "only where nothing but the fence stood in the policy",
    ("operator", "s3:AbortMultipartUpload"): "only where a fence lets an upload begin",
    ("replicator", "s3:GetObjectRetention"): "without it AWS leaves the lock out of HEAD",
    ("replicator", "s3:GetObjectLegalHold"): "as above",
    ("replicator", "s3:GetBucketObjectLockConfiguration"): "isolated drills ask for it",
    ("replicator", "s3:PutObjectRetention"): "only for versions that are locked",
    ("replicator", "s3:ListMultipartUploadParts"): "only to go on with an upload after a kill",
    ("app", "s3:GetObjectTagging"): "applications read tags; farshore never does as one",
    ("app", "s3:ListMultipartUploadParts"): "applications resume uploads; farshore never as one",
    ("app", "s3:AbortMultipartUpload"): "applications end uploads; farshore never as one",
}
"""What no flow of this test uses, and why it is granted."""

REFUSED = {
    ("replicator", "s3:GetObjectVersionAcl"): "probed: who wants lists to be copied grants more",
    ("app", "s3:GetBucketVersioning"): "asked to see whether the keys are accepted at all",
}
"""What is asked for and may be refused, and why."""


class Gated:
    """A pair whose two sites are reached only through gates, with own control buckets."""

    def __init__(self, farshore: Farshore, stack: ExitStack) -> None:
        self.farshore = farshore
        self.control = f"{farshore.bucket}-control"
        self.gates: dict[str, Gate] = {}
        self._configure({})
        changed: dict[str, dict[str, str]] = {}
        for site in SITES:
            found = farshore.lab.status().site(site)
            keys = {pair.access_key: name for name, pair in found.principals.items()}
            policies: dict[str, Any] = {who: self._exported(site, who) for who in WHO}
            self.gates[site] = Gate(policies, keys)
            door = damaging(found.direct_endpoint, lambda _, __: None, self.gates[site].refuse)
            changed[site] = {"endpoint": stack.enter_context(door)}
        changed["east"]["filer_grpc"] = farshore.lab.status().site("east").filer_grpc
        self._configure(changed)

    def _configure(self, changed: dict[str, dict[str, str]]) -> None:
        own = {"control_bucket": self.control}
        self.farshore.configure(
            sites={site: {**own, **changed.get(site, {})} for site in SITES},
            credentials=credentials(self.farshore),
            more='[daemon]\nlisten = "127.0.0.1:0"\nscan_every = "2s"\nsweep_every = "2s"',
        )

    def _exported(self, site: str, who: Who) -> Any:
        words = ("--vendor", "aws", "--site", site, "--principal", who)
        return json.loads(self.farshore.run("export", "iam-policy", *words).stdout)

    @property
    def refused(self) -> list[tuple[str, str]]:
        """(principal, action) of what the gates refused, each once."""
        return sorted(
            {(who, need.action) for gate in self.gates.values() for who, need in gate.refused}
        )

    @property
    def used(self) -> set[tuple[str, str]]:
        return {one for gate in self.gates.values() for one in gate.used}


@pytest.fixture
def gated(farshore: Farshore) -> Iterator[Gated]:
    with ExitStack() as stack:
        yield Gated(farshore, stack)


def write(farshore: Farshore) -> None:
    """Versions, a marker, tags, an upload in parts."""
    farshore.put_all({"a": [b"1", b"2"], "b/c": [b"1", None], "d": [b"1"], "e": [b"1"]})
    s3, name = farshore.s3("east"), {"Bucket": farshore.bucket, "Key": "parts"}
    tag(farshore, "d", "before")
    upload = s3.create_multipart_upload(**name)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**name, UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in ((1, b"x" * PARTS_BYTES), (2, b"end"))
    ]
    s3.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": parts})


def tag(farshore: Farshore, key: str, value: str) -> None:
    tags = {"TagSet": [{"Key": "a", "Value": value}]}
    farshore.s3("east").put_object_tagging(Bucket=farshore.bucket, Key=key, Tagging=tags)


def tell_east(farshore: Farshore) -> None:
    """Settings that the west lacks."""
    s3, bucket = farshore.s3("east"), farshore.bucket
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    clean = {"ID": "parts", "Status": "Enabled", "Filter": {"Prefix": ""}}
    clean["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 7}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [clean]})


def damage(farshore: Farshore) -> None:
    """A replica is missing, and another is not the one that was copied."""
    s3, bucket = farshore.s3("west"), farshore.bucket
    version = s3.head_object(Bucket=bucket, Key="e")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="e", VersionId=version)
    kept = s3.head_object(Bucket=bucket, Key="d")
    s3.put_object(Bucket=bucket, Key="d", Body=b"another", Metadata=kept["Metadata"])
    s3.delete_object(Bucket=bucket, Key="d", VersionId=kept["VersionId"])


def live(farshore: Farshore) -> None:
    """What comes while the daemon runs: versions, a marker, tags set and taken away."""
    farshore.put_all({"a": [b"3"], "live": [b"1", None]})
    tag(farshore, "a", "after")
    farshore.s3("east").delete_object_tagging(Bucket=farshore.bucket, Key="d")


def granted(who: Who, gated: Gated) -> set[tuple[str, str]]:
    document = gated._exported("east", who)
    return {(who, action) for s in document["Statement"] for action in s["Action"]}


@pytest.mark.timeout(300)
def test_the_exported_rights_are_enough_and_not_too_many(gated: Gated) -> None:
    farshore = gated.farshore
    for site in SITES:
        admit_app(farshore, site)
    farshore.json("apply", "--yes")
    write(farshore)
    farshore.json("backfill")
    tell_east(farshore)
    farshore.run("apply", "--parity", "--yes", "--json")
    farshore.json("verify", "--deep")
    damage(farshore)
    farshore.run("verify", "--json")
    farshore.json("repair", "--rebuild-tail", "--yes")
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        live(farshore)
        settle(farshore)
    farshore.run("doctor", "--json")
    farshore.run("drill", "--level", "plan", "--why", "a test", "--json")
    farshore.json("fence", "east", "--confirm", "east", "--why", "a test")
    farshore.json("unfence", "east", "--confirm", "east", "--why", "a test")
    assert gated.refused == sorted(REFUSED)
    unused = set().union(*(granted(who, gated) for who in WHO)) - gated.used
    assert sorted(unused - set(UNUSED)) == []
    assert sorted(set(UNUSED) - unused) == []
    assert contents(farshore, "west") == contents(farshore, "east")


def test_what_seaweedfs_cannot_separate(farshore: Farshore) -> None:
    """As docs/security.md says: were it able to, the exported rights should say so, too.

    The replicator stands for whoever has Write there, the app too.
    """
    writer, name = farshore.s3("east", "replicator"), {"Bucket": farshore.bucket}
    writer.put_bucket_versioning(**name, VersioningConfiguration={"Status": "Suspended"})
    rule = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    writer.put_bucket_lifecycle_configuration(**name, LifecycleConfiguration={"Rules": [rule]})
    tries: list[Callable[[], object]] = [
        lambda: writer.put_bucket_policy(**name, Policy="{}"),
        lambda: writer.delete_bucket_policy(**name),
        lambda: writer.delete_bucket(**name),
        lambda: writer.put_object_acl(**name, Key="k", ACL="private"),
        lambda: writer.list_objects_v2(Bucket="files-of-others"),
    ]
    for attempt in tries:
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()
    farshore.s3("east", "operator").delete_bucket(**name)
