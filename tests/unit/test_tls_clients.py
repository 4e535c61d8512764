"""Every client of ours that speaks TLS verifies by default: a stranger's server hears nothing.

NATS with a stranger's certificate: tests/contract/test_nats_feed.py, on a real server.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.config import NatsSource, Notify
from farshore.config.load import parse
from farshore.control.sites import open_filer
from farshore.core.verdict import Level, Reason, Verdict
from farshore.credentials import Credentials
from farshore.errors import FarshoreError, StoreError, Unreachable
from farshore.feed.filer import FilerFeed
from farshore.feed.nats_stream import NatsStream
from farshore.feed.sqs_queue import SqsQueue
from farshore.lab.seaweed import Certificates
from farshore.lab.tls import make_certificates
from farshore.s3.by_url import by_url
from farshore.s3.client import S3Client
from farshore.switch.aws import AwsApi
from farshore.switch.haproxy_door import Door
from farshore.watch.notify import HOLD_S, open_notifier
from tests.unit.http_server import Peer, authority, serve
from tests.unit.sites import TOML

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

KEYS = Credentials("access", "a-secret-word")
Ask = Callable[[int], Awaitable[str]]
"""Asks the server at that port; answers what went wrong, "" where nothing did."""


async def s3(port: int) -> str:
    client = S3Client("east", f"https://127.0.0.1:{port}", KEYS)
    try:
        await client.list_buckets()
    except StoreError as error:
        return str(error)
    finally:
        await client.aclose()
    return ""


async def filer(port: int) -> str:
    config = parse(TOML, Path("/nowhere/farshore.toml"))
    site = replace(config.source, filer=f"https://127.0.0.1:{port}")
    there = replace(config, sites={**config.sites, site.name: site})
    async with open_filer(there, site.name) as opened:
        assert opened is not None
        try:
            await opened.history("b", "k")
        except StoreError as error:
            return str(error)
    return ""


async def filer_grpc(port: int, folder: Path) -> str:
    files = Certificates.of(folder / "ours")
    make_certificates(files)

    async def keep(name: str, value: str) -> None:
        raise AssertionError(name)

    address = f"127.0.0.1:{port}"
    feed = FilerFeed("east", address, [], get_cursor=str, set_cursor=keep, tls=files.client)
    async with aclosing(feed.deliveries()) as deliveries:
        try:
            await anext(deliveries)
        except StoreError as error:
            return str(error)
    return ""


async def presigned(port: int) -> str:
    try:
        await by_url("GET", f"https://127.0.0.1:{port}/b/k?X-Amz-Signature=5eed")
    except StoreError as error:
        return str(error)
    return ""


async def door(port: int) -> str:
    return (await Door(f"https://127.0.0.1:{port}", None).ask()).error


async def sqs(port: int) -> str:
    queue = await SqsQueue.open(f"https://127.0.0.1:{port}/1/q", "us-east-1", KEYS, wait_s=1)
    try:
        await queue.receive(1, wait_s=0, visibility_s=1)
    except FarshoreError as error:
        return str(error)
    finally:
        await queue.aclose()
    return ""


async def aws(port: int) -> str:
    async def keys() -> Credentials:
        return KEYS

    api = AwsApi(
        "ssm", region="us-east-1", endpoint=f"https://127.0.0.1:{port}", ca_file=None, keys=keys
    )
    try:
        await api.call("get_parameter", Name="n")
    except FarshoreError as error:
        return str(error)
    finally:
        await api.aclose()
    return ""


async def notified(port: int) -> str:
    config = parse(TOML, Path("/nowhere/farshore.toml"))
    told = replace(config, notify=(Notify("HOOK", "loud"),))
    notifier = open_notifier(told, {"HOOK": f"jsons://127.0.0.1:{port}/x"})
    level: Level = "NOT SAFE"
    verdict = Verdict(level, (Reason("r", level, "a reason"),))
    await notifier.tell(verdict, 0.0)
    return "; ".join(await notifier.tell(verdict, HOLD_S[level] + 1))


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_nats_says_nothing_to_a_server_that_leaves_tls_out(
    scheme: str, tmp_path: Path
) -> None:
    """The server speaks first, in the clear, and says whether TLS comes: who stands in between
    would say no, and get the token."""
    trusted = authority(tmp_path)
    heard: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.say(b'INFO {"server_id": "x", "version": "2", "auth_required": true}\r\n')
        heard.append(await peer.ended())

    ca_file = None if scheme == "tls" else Path(trusted.ca_file)
    async with serve(script) as server:
        servers = (f"{scheme}://127.0.0.1:{server.port}",)
        source = NatsSource(servers, "s", "c", "", "NATS", ca_file)
        with pytest.raises(Unreachable, match="does not ask for TLS") as refused:
            await NatsStream.open(source, KEYS.secret_key, ack_wait_s=1)
    assert heard == [b""]
    assert KEYS.secret_key not in f"{refused.value}{refused.value.hint}"


CLIENTS: dict[str, Ask] = {
    "S3": s3,
    "filer": filer,
    "presigned URL": presigned,
    "door": door,
    "SQS": sqs,
    "AWS": aws,
    "notification": notified,
}


@pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
async def test_a_server_that_nobody_vouches_for_hears_nothing(ask: Ask, tmp_path: Path) -> None:
    await require_hears_nothing(ask, tmp_path)


async def test_a_filer_that_our_authority_does_not_know_hears_nothing(tmp_path: Path) -> None:
    await require_hears_nothing(lambda port: filer_grpc(port, tmp_path), tmp_path)


async def require_hears_nothing(ask: Ask, tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.reader.read(1))

    async with serve(*[script] * 8, context=authority(tmp_path).server) as server:
        wrong = await ask(server.port)
    assert wrong
    assert KEYS.secret_key not in wrong
    assert [said for said in heard if said] == []


@pytest.mark.parametrize("name", ["S3", "presigned URL", "door"])
async def test_whom_the_system_trusts_is_heard(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a stranger is refused is for want of trust alone."""
    known = authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", known.ca_file)
    body = (
        b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"
        if name == "S3"
        else json.dumps({}).encode()
    )

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(body)

    async with serve(script, context=known.server) as server:
        assert await CLIENTS[name](server.port) == ""
