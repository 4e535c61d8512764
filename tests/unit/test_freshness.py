"""Read your writes: the near site only once it surely has them."""

from __future__ import annotations

import asyncio

import pytest

from farshore.application.freshness import MARGIN_S, ReadYourWrites, daemon_watermark
from tests.unit.http_server import Peer, serve


class Mark:
    """A watermark that a test moves."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self) -> float | None:
        return self.at


def test_what_this_process_did_not_write_is_read_nearby() -> None:
    assert ReadYourWrites("west", Mark()).where("a") == "west"


def test_a_write_is_read_where_it_was_made_until_the_watermark_has_passed_it() -> None:
    mark = Mark()
    reads = ReadYourWrites("west", mark)
    reads.wrote("a", "east", 100.0)
    assert reads.where("a") == "east", "nothing is known of the watermark"
    mark.at = 100.0
    assert reads.where("a") == "east", "the Date header counts whole seconds"
    mark.at = 100.0 + MARGIN_S
    assert reads.where("a") == "west"
    mark.at = None
    assert reads.where("a") == "west", "what has arrived once stays there"


def test_a_write_at_the_near_site_needs_no_wait() -> None:
    reads = ReadYourWrites("west", Mark())
    reads.wrote("a", "west", 100.0)
    assert reads.where("a") == "west"


def test_forgotten_keys_are_read_with_care_until_the_newest_of_them_has_arrived() -> None:
    mark = Mark()
    mark.at = 50.0
    reads = ReadYourWrites("west", mark, keys_max=2)
    for number in range(4):
        reads.wrote(f"k{number}", "east", 100.0 + number)
    assert reads.where("k0") == "east"
    assert reads.where("never written here") == "east"
    mark.at = 101.0 + MARGIN_S
    assert reads.where("k0") == "west"
    assert reads.where("k3") == "east"


@pytest.mark.parametrize(
    ("body", "status", "mark"),
    [
        (b'{"watermark": "2024-01-01T00:00:00Z"}', "200 OK", 1_704_067_200.0),
        (b'{"watermark": null}', "200 OK", None),
        (b'{"watermark": "2024-01-01T00:00:00Z"}', "503 Busy", None),
        (b'{"watermark": "0001-01-01T00:00:00"}', "200 OK", None),
        (b"[]", "200 OK", None),
        (b"[" * 60_000, "200 OK", None),
    ],
)
async def test_what_the_daemon_says_is_its_watermark_or_nothing(
    body: bytes, status: str, mark: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def script(peer: Peer) -> None:
        assert (await peer.head()).target == "/v1/endpoint"
        await peer.answer(body, status)

    async with serve(script) as server:
        ask = daemon_watermark(f"http://127.0.0.1:{server.port}/")
        assert await asyncio.to_thread(ask) == mark


async def test_where_a_daemon_redirects_to_is_not_asked() -> None:
    async def elsewhere(peer: Peer) -> None:
        await peer.answer(b'{"watermark": "2999-01-01T00:00:00Z"}')

    async with serve(elsewhere) as other:

        async def script(peer: Peer) -> None:
            await peer.head()
            await peer.answer(b"", "302 Found", Location=f"http://127.0.0.1:{other.port}/")

        async with serve(script) as server:
            ask = daemon_watermark(f"http://127.0.0.1:{server.port}")
            assert await asyncio.to_thread(ask) is None
        assert other.accepted == 0
    assert daemon_watermark("file:///etc")() is None
