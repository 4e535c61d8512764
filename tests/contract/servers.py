"""Real servers for the contract: one of each per test session, on free loopback ports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import boto3
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from farshore.credentials import Credentials
from farshore.lab import process, seaweed
from farshore.lab.ports import HOST, held_ports
from farshore.lab.principals import OWNER
from farshore.lab.seaweed import SiteFolder, SitePorts

START_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05


class Server(NamedTuple):
    """Where a server answers, and the keys of one who may do everything there."""

    endpoint: str
    credentials: Credentials
    filer_port: int = 0

    @property
    def wrong_credentials(self) -> Credentials:
        """The right access key with another secret."""
        return Credentials(self.credentials.access_key, "not-the-secret")


@contextmanager
def moto() -> Iterator[Server]:
    """moto over HTTP, in a thread of this process."""
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        yield Server(f"http://{HOST}:{port}", Credentials("test", "test"))
    finally:
        server.stop()


@contextmanager
def weed(root: Path) -> Iterator[Server]:
    """A SeaweedFS process, killed by its id at the end."""
    folder = SiteFolder(root)
    folder.prepare(())
    with held_ports(len(SitePorts._fields)) as found:
        ports = SitePorts(*found)
    command = seaweed.command(folder, ports, root, None)
    started = process.spawn(command, seaweed.environment("contract", folder), folder.log)
    try:
        _await_ready(ports, folder, started)
        yield Server(f"http://{HOST}:{ports.s3}", folder.keys()[OWNER], ports.filer)
    finally:
        process.kill(started)
        seaweed.remove_sockets(ports)


def make_lock_bucket(server: Server, bucket: str) -> str:
    """A bucket with Object Lock, which S3 gives only when the bucket is made."""
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.credentials.access_key,
        aws_secret_access_key=server.credentials.secret_key,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    client.close()
    return bucket


def _await_ready(ports: SitePorts, folder: SiteFolder, started: process.Process) -> None:
    """Wait until the server stores bytes: there is no event of it to wait for."""
    deadline = time.monotonic() + START_SECONDS_MAX
    keys = folder.keys()[OWNER]
    while time.monotonic() < deadline and process.is_running(started):
        if (
            seaweed.is_listening(ports.s3)
            and seaweed.can_store(ports, "odd-keys")
            and seaweed.ask_s3("PUT", "odd-keys", ports.s3, keys, None) == 200
        ):
            return
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"SeaweedFS did not start:\n{seaweed.last_words(folder)}")
