"""SQS, SSM and Route 53 by the SDK: nothing is sent elsewhere, no answer is kept without end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from farshore.credentials import Credentials
from farshore.errors import FarshoreError
from farshore.feed.sqs_queue import SqsQueue
from farshore.sdk import ANSWER_BYTES_MAX
from farshore.switch.aws import AwsApi
from tests.unit.http_server import Peer, Script, serve

KEYS = Credentials("access", "a-secret-word", "a-session-token")
Ask = Callable[[int], Awaitable[None]]


async def sqs(port: int) -> None:
    queue = await SqsQueue.open(f"http://127.0.0.1:{port}/1/q", "us-east-1", KEYS, wait_s=1)
    try:
        await queue.receive(1, wait_s=0, visibility_s=1)
    finally:
        await queue.aclose()


async def ssm(port: int) -> None:
    async def keys() -> Credentials:
        return KEYS

    api = AwsApi(
        "ssm", region="us-east-1", endpoint=f"http://127.0.0.1:{port}", ca_file=None, keys=keys
    )
    try:
        await api.call("get_parameter", Name="n")
    finally:
        await api.aclose()


@pytest.mark.parametrize("ask", [sqs, ssm])
@pytest.mark.parametrize("status", ["302 Found", "307 Temporary"])
async def test_a_redirect_is_not_followed(ask: Ask, status: str) -> None:
    """With 307 the body went elsewhere, and the session token in its header."""

    async def elsewhere(peer: Peer) -> None:
        await peer.answer(b"{}")

    async with serve(*[elsewhere] * 4) as other:

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.answer(b"", status, Location=f"http://127.0.0.1:{other.port}/")

        async with serve(*[script] * 4) as server:
            with pytest.raises(FarshoreError) as refused:
                await ask(server.port)
        assert other.accepted == 0
    assert KEYS.secret_key not in str(refused.value)


@pytest.mark.parametrize("ask", [sqs, ssm])
async def test_an_answer_without_end_is_given_up(ask: Ask) -> None:
    sent: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(4 * ANSWER_BYTES_MAX >> 20):
                await peer.say(bytes(1 << 20))
                sent.append(1)

    scripts: list[Script] = [script] * 4
    async with serve(*scripts) as server:
        with pytest.raises(FarshoreError):
            await ask(server.port)
    assert sent.count(1) < server.accepted * (3 * ANSWER_BYTES_MAX >> 20)


async def test_a_good_answer_is_read() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b'{"Parameter": {"Name": "n", "Value": "v"}}')

    async with serve(script) as server:
        await ssm(server.port)
