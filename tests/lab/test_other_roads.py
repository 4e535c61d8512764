"""A backfill by other roads: over TLS, and to another vendor's server."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig

from farshore.config import FilerTls
from farshore.config.load import load
from farshore.control.recorded import write_record
from farshore.control.sites import open_filer
from farshore.errors import StoreError, Unreachable
from farshore.feed.filer import FilerFeed
from farshore.feed.hint import Delivery
from farshore.lab.regions import Lab
from farshore.lab.seaweed import Certificates
from farshore.lab.state import LabState
from farshore.lab.tls import make_certificates
from farshore.s3.capabilities import Capabilities
from farshore.s3.client import S3Client
from tests.contract import servers
from tests.contract.servers import Server
from tests.lab import witness
from tests.lab.daemon import SETTLE_SECONDS_MAX, Daemon, eventually
from tests.lab.farshore_cli import Ended, Farshore
from tests.lab.replicas import LEAST, MIB, upload_parts


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
        require_heard_by_the_filer(farshore, **clients)
        asyncio.run(require_refused_by_the_filer(status))


def require_heard_by_the_filer(farshore: Farshore, *, east: Any, west: Any) -> None:
    """The daemon of the lab's own file copies a write at once; the next scan is minutes away."""
    text = farshore.config.read_text()
    assert "[sites.east.filer_tls]" in text
    farshore.config.write_text(f'{text}\n[daemon]\nlisten = "127.0.0.1:0"\n')
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        east.put_object(Bucket="files", Key="told", Body=b"by the filer")

        def is_there() -> bool:
            return "Versions" in west.list_object_versions(Bucket="files", Prefix="told")

        eventually(is_there, SETTLE_SECONDS_MAX, "what the filer told of")
        assert daemon.report()["feeds"]["filer east"]["up"]


UNTRUSTED = "certificate that is not trusted"


async def require_refused_by_the_filer(lab: LabState) -> None:
    """A real SeaweedFS lets nobody in without a certificate, and we nobody whom we do not know."""
    ours = lab.filer_tls
    assert ours is not None
    strangers = Certificates.of(lab.folder / "strangers")
    make_certificates(strangers)
    refused = {
        "speaks TLS, and there is none for it in the configuration": None,
        UNTRUSTED: replace(ours, ca_file=strangers.ca),
        "refuses our certificate": replace(strangers.client, ca_file=ours.ca_file),
    }
    for words, tls in refused.items():
        with pytest.raises(StoreError, match=words):
            await first_of(lab.site("east").filer_grpc, tls)
    named = load(lab.folder / "farshore.toml")
    for words, tls in {"no answer": None, "not trusted": refused[UNTRUSTED]}.items():
        east = replace(named.source, filer_tls=tls)
        async with open_filer(replace(named, sites={**named.sites, "east": east}), "east") as filer:
            assert filer is not None
            with pytest.raises(Unreachable, match=words):
                await filer.history("files", "k")


async def first_of(address: str, tls: FilerTls | None) -> Delivery:
    async def keep(name: str, value: str) -> None:
        assert value, name

    feed = FilerFeed("east", address, [], get_cursor=str, set_cursor=keep, tls=tls)
    async with aclosing(feed.deliveries()) as deliveries:
        return await anext(deliveries)


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
