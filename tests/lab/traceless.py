"""Asking whether clients may write, without a trace: nothing is left for a run to copy."""

from __future__ import annotations

from tests.lab.runbook_ground import SEEDS, Pair

WRITTEN = "traceless/"


def takes_writes(pair: Pair, site: str) -> bool:
    """As `Pair.may_write`; what was written is purged."""
    taken = pair.may_write(site)
    if taken:
        _purge(pair, site, "canary")
    return taken


def serves(pair: Pair, site: str) -> None:
    """Clients at the front door read what they had, and write, at that site."""
    s3 = pair.at_the_door()
    for key, body in SEEDS.items():
        assert s3.get_object(Bucket=pair.bucket, Key=key)["Body"].read() == body
    key = f"{WRITTEN}{pair.name}"
    s3.put_object(Bucket=pair.bucket, Key=key, Body=b"through the door")
    assert pair.s3(site).head_object(Bucket=pair.bucket, Key=key)
    _purge(pair, site, WRITTEN)


def _purge(pair: Pair, site: str, prefix: str) -> None:
    s3 = pair.s3(site)
    for version in s3.list_object_versions(Bucket=pair.bucket, Prefix=prefix)["Versions"]:
        s3.delete_object(Bucket=pair.bucket, Key=version["Key"], VersionId=version["VersionId"])
