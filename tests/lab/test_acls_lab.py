"""Access control lists on a real pair, where the replicator has been given the rights to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from farshore.lab.state import STATE_FOLDER
from tests.lab.daemon import Daemon, eventually, settle
from tests.lab.farshore_cli import SITES, Farshore

GROUP = "http://acs.amazonaws.com/groups/global/AllUsers"
MORE = '[daemon]\nlisten = "127.0.0.1:0"\nscan_every = "2s"\nsweep_every = "2s"'


def configure(farshore: Farshore, more: str = "") -> None:
    """The owner's keys for the replicator: SeaweedFS lets only them read and set lists."""
    control = f"{farshore.bucket}-control"
    credentials = {}
    sites: dict[str, dict[str, str]] = {}
    for site in SITES:
        keys = farshore.lab.folder / STATE_FOLDER / site / "owner.json"
        credentials[site] = {"replicator": f'{{ command = "cat {keys}" }}'}
        sites[site] = {"control_bucket": control}
    sites["east"]["filer_grpc"] = farshore.lab.status().site("east").filer_grpc
    farshore.configure(sites=sites, credentials=credentials, more=more)


@pytest.fixture
def entitled(farshore: Farshore) -> Iterator[Farshore]:
    """Probed with these rights, into control buckets of this test's own."""
    configure(farshore)
    farshore.json("apply", "--yes")
    yield farshore
    farshore.configure()


def groups(farshore: Farshore, site: str, key: str) -> list[tuple[str, str]]:
    """(group, permission) of the newest version, as boto3 sees them."""
    found: dict[str, Any] = farshore.s3(site).get_object_acl(Bucket=farshore.bucket, Key=key)
    return [
        (grant["Grantee"]["URI"], grant["Permission"])
        for grant in found["Grants"]
        if "URI" in grant["Grantee"]
    ]


def test_grants_to_groups_are_copied_and_follow_by_event_and_by_sweep(entitled: Farshore) -> None:
    control = f"{entitled.bucket}-control"
    for site in SITES:
        name = {"Bucket": control, "Key": f"capabilities/{site}.json"}
        record = json.loads(entitled.s3(site).get_object(**name)["Body"].read())
        assert '"acls": true' in json.dumps(record)
    east, bucket = entitled.s3("east"), entitled.bucket
    entitled.put_all({"a": [b"1", b"2"], "b": [b"1"]})
    east.put_object_acl(Bucket=bucket, Key="a", ACL="public-read")
    entitled.json("backfill")
    assert groups(entitled, "west", "a") == [(GROUP, "READ")]
    assert groups(entitled, "west", "b") == []

    configure(entitled, MORE)
    with Daemon(entitled) as daemon:
        daemon.until_ready()
        east.put_object_acl(Bucket=bucket, Key="b", ACL="public-read")
        public = [(GROUP, "READ")]
        eventually(lambda: groups(entitled, "west", "b") == public, 60, "by the event")
        entitled.s3("west").put_object_acl(Bucket=bucket, Key="a", ACL="private")
        eventually(lambda: groups(entitled, "west", "a") == public, 60, "by the sweep")
        settle(entitled)
        assert daemon.report()["sweep"]["left"] == 0
