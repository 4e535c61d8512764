"""Temporary keys: read again before they end, and when a server says that they have."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from farshore.config.load import parse
from farshore.control.sites import open_store
from farshore.control.standing import stand
from farshore.credentials import Credentials
from farshore.errors import ConfigError, Denied, KeysEnded
from farshore.keyring import RENEW_BEFORE_S, TRY_AGAIN_S, Keyring
from farshore.s3.client import S3Client
from farshore.s3.store import Stream
from farshore.s3.wrap import Retrying
from farshore.testing.clock import ManualClock
from tests.unit.http_server import Peer, Received, Script, serve
from tests.unit.sites import TOML

HOUR = 3600.0
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The token has expired</Message></Error>"


class Vendor:
    """Gives keys that last an hour, each with a number; `refusing` stands for an outage."""

    def __init__(self, clock: ManualClock, lifetime_s: float | None = HOUR) -> None:
        self.clock = clock
        self.lifetime_s = lifetime_s
        self.given = 0
        self.asked = 0
        self.refusing = False

    def fetch(self) -> Credentials:
        self.asked += 1
        if self.refusing:
            raise ConfigError("The command ended with exit code 3.", hint="Run it yourself.")
        self.given += 1
        end = None if self.lifetime_s is None else self.clock.now() + self.lifetime_s
        return Credentials(f"AK{self.given}", "secret", "token", end)


async def let_it_fetch(ring: Keyring) -> Credentials:
    """The keys once the fetch that is under way has ended."""
    await ring.current()
    if ring._fetching is not None:
        await ring._fetching
    return await ring.current()


async def test_keys_are_renewed_before_they_end_and_nobody_waits_for_it() -> None:
    clock = ManualClock()
    vendor = Vendor(clock)
    ring = Keyring(vendor.fetch, clock=clock)
    clock.advance(HOUR - RENEW_BEFORE_S - 1)
    assert (await ring.current()).access_key == "AK1"
    assert vendor.asked == 1
    clock.advance(2)
    assert (await ring.current()).access_key == "AK1", "these still serve"
    assert (await let_it_fetch(ring)).access_key == "AK2"
    clock.advance(HOUR / 2)
    assert (await ring.current()).access_key == "AK2"
    assert vendor.asked == 2


async def test_short_lived_keys_are_renewed_half_way() -> None:
    clock = ManualClock()
    vendor = Vendor(clock, 30.0)
    ring = Keyring(vendor.fetch, clock=clock)
    clock.advance(14)
    await ring.current()
    assert vendor.asked == 1
    clock.advance(2)
    assert (await let_it_fetch(ring)).access_key == "AK2"


async def test_keys_that_cannot_be_renewed_serve_until_their_end_and_then_the_reason_is_told() -> (
    None
):
    clock = ManualClock()
    vendor = Vendor(clock)
    ring = Keyring(vendor.fetch, clock=clock)
    vendor.refusing = True
    clock.advance(HOUR - 60)
    assert (await let_it_fetch(ring)).access_key == "AK1"
    asked = vendor.asked
    for _ in range(5):
        await ring.current()
    assert vendor.asked == asked, "not again for every request"
    clock.advance(61)
    with pytest.raises(Denied, match="exit code 3") as caught:
        await ring.current()
    assert (caught.value.code, caught.value.hint) == ("ExpiredToken", "Run it yourself.")
    with pytest.raises(Denied, match="exit code 3"):
        await ring.current()
    vendor.refusing = False
    clock.advance(TRY_AGAIN_S)
    assert (await ring.current()).access_key == "AK2", "waited for: there are no others"


async def test_many_who_ask_at_once_cause_one_fetch() -> None:
    clock = ManualClock()
    vendor = Vendor(clock)
    ring = Keyring(vendor.fetch, clock=clock)
    clock.advance(HOUR + 1)
    got = await asyncio.gather(*(ring.current() for _ in range(50)))
    assert {keys.access_key for keys in got} == {"AK2"}
    assert vendor.asked == 2


async def test_keys_that_a_server_calls_ended_are_fetched_at_once_but_not_for_every_refusal() -> (
    None
):
    clock = ManualClock()
    vendor = Vendor(clock)
    ring = Keyring(vendor.fetch, clock=clock)
    first = ring.keys
    assert all(await asyncio.gather(*(ring.replace(first) for _ in range(20))))
    assert (vendor.asked, ring.keys.access_key) == (2, "AK2")
    assert not await ring.replace(ring.keys), "just fetched, and refused again"
    assert vendor.asked == 2
    fixed = Keyring.fixed(Credentials("AK", "secret"))
    assert not await fixed.replace(fixed.keys)


# -- on the wire -----------------------------------------------------------------------


def refusing(access_key: str, seen: list[str], status: str = "400 Bad Request") -> Script:
    """A server for which the token of `access_key` has ended."""

    async def script(peer: Peer) -> None:
        while not peer.reader.at_eof():
            try:
                request = await peer.request()
            except EOFError:
                return
            who = access_key_of(request)
            seen.append(who)
            if who != access_key:
                await peer.answer(b"", ETag='"e"')
            else:
                await peer.answer(b"" if request.method == "HEAD" else EXPIRED, status)

    return script


def access_key_of(request: Received) -> str:
    return request.values("authorization")[0].partition("Credential=")[2].partition("/")[0]


async def read(store: Retrying) -> bytes:
    async with store.get("files", "k") as opened:
        return await opened.read()


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.put("files", "k", b"body"),
        lambda store: store.head("files", "k"),
        read,
    ],
    ids=["put", "head-without-a-body", "get"],
)
async def test_a_request_with_ended_keys_is_made_again_with_newer_ones(
    ask: Callable[[Retrying], Awaitable[object]],
) -> None:
    clock = ManualClock()
    seen: list[str] = []
    async with serve(refusing("AK1", seen)) as server:
        ring = Keyring(Vendor(clock).fetch, clock=clock)
        client = S3Client("west", f"http://127.0.0.1:{server.port}", ring, clock=clock)
        try:
            await ask(Retrying(client, sleep=clock.sleep))
        finally:
            await client.aclose()
    assert seen == ["AK1", "AK2"]


async def test_a_streamed_body_is_not_sent_twice_but_its_sender_may_begin_again() -> None:
    clock = ManualClock()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"body"

    async with serve(refusing("AK1", [])) as server:
        ring = Keyring(Vendor(clock).fetch, clock=clock)
        client = S3Client("west", f"http://127.0.0.1:{server.port}", ring, clock=clock)
        try:
            with pytest.raises(KeysEnded) as caught:
                await Retrying(client).put("files", "k", Stream(4, chunks()))
        finally:
            await client.aclose()
    assert caught.value.retryable


# -- a real credentials program --------------------------------------------------------

PROGRAM = """
import datetime, json, pathlib, sys
count = pathlib.Path("count")
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
if pathlib.Path("broken").exists():
    sys.exit(3)
end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
print(json.dumps({"Version": 1, "AccessKeyId": f"AK{number}", "SecretAccessKey": "secret",
                  "SessionToken": f"token{number}", "Expiration": end.isoformat()}))
"""


async def test_a_credential_process_is_run_again_without_a_restart(tmp_path: Path) -> None:
    (tmp_path / "keys.py").write_text(PROGRAM)
    command = json.dumps(shlex.join([sys.executable, "keys.py"]))
    seen: list[str] = []
    async with serve(refusing("nobody", seen)) as server:
        text = TOML.replace('{ env = "WEST" }', f"{{ command = {command} }}")
        text = text.replace("127.0.0.1:8334", f"127.0.0.1:{server.port}")
        store = open_store(parse(text, tmp_path / "farshore.toml"), "west", "replicator")
        try:
            async with asyncio.timeout(30):
                while "AK3" not in seen:
                    await store.put("files", "k", b"body")
        finally:
            await store.aclose()
    assert seen == sorted(seen), "never back to older keys"
    assert set(seen) == {"AK1", "AK2", "AK3"}


async def test_a_site_whose_keys_cannot_be_had_does_not_answer_and_the_other_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the source's region gone, what gives its keys may be gone as well."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"WEST_{name}", "x")
        monkeypatch.delenv(f"EAST_{name}", raising=False)
    dead = TOML.replace("127.0.0.1:8334", "127.0.0.1:2")
    config = parse(dead, tmp_path / "farshore.toml")
    found = await stand(config, ManualClock())
    assert "EAST_ACCESS_KEY_ID" in found.source.trouble
    assert not found.source.answers
    assert "Connection refused" in found.target.trouble
    monkeypatch.delenv("WEST_ACCESS_KEY_ID")
    with pytest.raises(ConfigError):
        await stand(config, ManualClock())
