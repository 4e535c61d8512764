"""What SQS and the network answer becomes an error of ours, and no secret is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farshore.credentials import Credentials
from farshore.errors import (
    BadRequest,
    Denied,
    Gone,
    ServerFault,
    StoreError,
    Throttled,
    Unreachable,
)
from farshore.feed.sqs_queue import ATTEMPTS_MAX, Message, SqsQueue
from tests.unit.http_server import Peer, authority, serve

SECRET = "hunter2-hunter2"
KEYS = Credentials("AKIDEXAMPLE", SECRET, "token-hunter2")


async def received(endpoint: str, ca_file: Path | None = None) -> list[Message]:
    url = f"{endpoint}/123456789012/changes"
    queue = await SqsQueue.open(url, "us-east-1", KEYS, wait_s=0, ca_file=ca_file)
    try:
        return await queue.receive(10, wait_s=0, visibility_s=30)
    finally:
        await queue.aclose()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("400 Bad Request", "QueueDoesNotExist", Gone),
        ("403 Forbidden", "AccessDenied", Denied),
        ("400 Bad Request", "ExpiredToken", Denied),
        ("403 Forbidden", "SignatureDoesNotMatch", Denied),
        ("400 Bad Request", "InvalidParameterValue", BadRequest),
        ("400 Bad Request", "RequestThrottled", Throttled),
        ("503 Service Unavailable", "ServiceUnavailable", Throttled),
        ("500 Internal Server Error", "InternalError", ServerFault),
    ],
)
async def test_a_refusal_has_its_kind(status: str, code: str, kind: type[StoreError]) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.request()
        body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": SECRET}).encode()
        await peer.answer(body, status, Content_Type="application/x-amz-json-1.0")
        await peer.close()

    async with serve(*[refuse] * ATTEMPTS_MAX) as server:
        with pytest.raises(StoreError) as caught:
            await received(f"http://127.0.0.1:{server.port}")
    assert type(caught.value) is kind
    assert code in str(caught.value)
    assert "hunter2" not in str(caught.value) + caught.value.hint


async def test_a_closed_connection_is_unreachable() -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.request()
        await peer.close()

    async with serve(*[hang_up] * ATTEMPTS_MAX) as server:
        with pytest.raises(Unreachable):
            await received(f"http://127.0.0.1:{server.port}")
    with pytest.raises(Unreachable):
        await received(f"http://127.0.0.1:{server.port}")  # nobody listens now


async def test_the_certificates_of_the_configuration_are_trusted_and_no_others(
    tmp_path: Path,
) -> None:
    async def give(peer: Peer) -> None:
        asked = await peer.request()
        assert json.loads(asked.body)["VisibilityTimeout"] == 30
        told = {"MessageId": "m", "ReceiptHandle": "r", "Body": "é"}
        body = json.dumps({"Messages": [{**told, "Attributes": {"ApproximateReceiveCount": "3"}}]})
        await peer.answer(body.encode(), Content_Type="application/x-amz-json-1.0")
        await peer.close()

    trusted = authority(tmp_path)
    async with serve(give, context=trusted.server) as server:
        endpoint = f"https://127.0.0.1:{server.port}"
        with pytest.raises(Unreachable, match="SSLError"):
            await received(endpoint)
        assert await received(endpoint, Path(trusted.ca_file)) == [
            Message("m", "r", "é".encode(), 3)
        ]


async def test_a_broken_sdk_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(BadRequest, match="ProfileNotFound") as caught:
        await received("http://127.0.0.1:1")
    assert "AWS_PROFILE" in caught.value.hint
