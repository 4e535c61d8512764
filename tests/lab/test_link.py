"""The link: slow, narrow, cut, refusing, treacherous, and otherwise not there."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import pytest

from farshore.errors import UsageError
from farshore.lab.flow import FLOW_BYTES_MAX
from farshore.lab.settings import PERFECT, LinkSettings

from .echo import SITE, Line, line

SILENCE_S = 0.15
"""How long nothing may come, to be called silence."""

SLACK_S = 4.0
"""What a busy machine may add to a delay."""


@pytest.fixture
async def wire() -> AsyncIterator[Line]:
    async with line() as made:
        yield made


async def _round_trip(wire: Line, data: bytes) -> float:
    """Seconds that `data` take there and back."""
    reader, writer = await wire.connect()
    began = time.monotonic()
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    took = time.monotonic() - began
    writer.close()
    await writer.wait_closed()
    return took


async def _echoed(wire: Line, size: int) -> None:
    """`size` bytes come back as they went, on one connection, then both ends close."""
    data = hashlib.shake_128(b"bytes").digest(size)
    reader, writer = await wire.connect()

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    assert await reader.read(-1) == data
    await sending
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "settings",
    [
        PERFECT,
        LinkSettings(latency_ms=5, jitter_ms=5),
        LinkSettings(rate_mbit=1000),
        LinkSettings(latency_ms=2, jitter_ms=1, rate_mbit=2000),
    ],
    ids=["perfect", "jitter", "rate", "all"],
)
async def test_bytes_arrive_in_order_and_the_end_after_them(
    wire: Line, settings: LinkSettings
) -> None:
    wire.control.set(SITE, settings)
    await asyncio.gather(*(_echoed(wire, FLOW_BYTES_MAX + 12_345) for _ in range(3)))


async def test_latency_is_paid_each_way(wire: Line) -> None:
    wire.control.set(SITE, LinkSettings(latency_ms=40))
    assert 0.08 <= await _round_trip(wire, b"ping") < 0.08 + SLACK_S


async def test_latency_does_not_limit_how_much_is_on_its_way(wire: Line) -> None:
    wire.control.set(SITE, LinkSettings(latency_ms=100))
    took = await _round_trip(wire, bytes(FLOW_BYTES_MAX // 2))  # some 30 reads of 64 KiB
    assert 0.2 <= took < 0.2 + SLACK_S  # one after the other they would take 6 s


async def test_the_rate_counts_both_ways_together(wire: Line) -> None:
    wire.control.set(SITE, LinkSettings(rate_mbit=80))  # 10 MB/s
    took = await _round_trip(wire, bytes(2_000_000))
    assert 0.35 <= took < 0.4 + SLACK_S


async def test_a_small_request_does_not_wait_behind_a_large_one(wire: Line) -> None:
    wire.control.set(SITE, LinkSettings(rate_mbit=40))  # 5 MB/s: 4 MB there and back take 1.6 s
    large = asyncio.create_task(_round_trip(wire, bytes(4_000_000)))
    reader, writer = await wire.connect()
    writer.write(b"small")
    assert await reader.readexactly(5) == b"small"
    assert not large.done()
    writer.close()
    await writer.wait_closed()
    await large


async def test_a_cut_line_is_silent_and_gives_all_back_when_healed(wire: Line) -> None:
    reader, writer = await wire.connect()
    writer.write(b"one")
    assert await reader.readexactly(3) == b"one"
    wire.control.set(SITE, LinkSettings(cut=True))
    writer.write(b"two")
    late_reader, late_writer = await wire.connect()  # opens, like into a hole
    late_writer.write(b"six")
    first, second = (asyncio.create_task(r.readexactly(3)) for r in (reader, late_reader))
    done, _ = await asyncio.wait([first, second], timeout=SILENCE_S)
    assert not done
    wire.control.set(SITE, PERFECT)
    assert await first == b"two"
    assert await second == b"six"
    for closing in (writer, late_writer):
        closing.close()
        await closing.wait_closed()


async def test_bytes_on_their_way_stay_on_their_way_when_the_line_is_cut(wire: Line) -> None:
    wire.control.set(SITE, LinkSettings(latency_ms=50))
    reader, writer = await wire.connect()
    writer.write(b"late")
    answer = asyncio.create_task(reader.readexactly(4))
    await asyncio.sleep(0)
    wire.control.set(SITE, LinkSettings(latency_ms=50, cut=True))
    assert not (await asyncio.wait([answer], timeout=0.1 + SILENCE_S))[0]
    wire.control.set(SITE, PERFECT)
    assert await answer == b"late"
    writer.close()
    await writer.wait_closed()


async def test_a_refusing_line_resets_what_is_open_and_lets_nobody_in(wire: Line) -> None:
    reader, writer = await wire.connect()
    writer.write(b"one")
    await reader.readexactly(3)
    wire.control.set(SITE, LinkSettings(refuse=True))
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    with pytest.raises(ConnectionRefusedError):
        await wire.connect()
    wire.control.set(SITE, PERFECT)
    await _round_trip(wire, b"again")
    writer.close()
    with pytest.raises(ConnectionResetError):
        await writer.wait_closed()


async def test_a_dead_target_refuses_and_a_new_one_is_reached_by_the_same_port(wire: Line) -> None:
    await _round_trip(wire, b"alive")
    wire.aim(None)
    with pytest.raises(ConnectionRefusedError):
        await wire.connect()
    wire.aim(wire.target)
    await _round_trip(wire, b"alive")


async def test_a_cut_line_to_a_dead_target_does_not_refuse(wire: Line) -> None:
    wire.aim(None)
    wire.control.set(SITE, LinkSettings(cut=True))
    reader, writer = await wire.connect()
    answer = asyncio.create_task(reader.read(1))
    assert not (await asyncio.wait([answer], timeout=SILENCE_S))[0]
    wire.control.set(SITE, PERFECT)  # now the dead host answers: no such connection
    with pytest.raises(ConnectionResetError):
        await answer
    writer.close()
    with pytest.raises(ConnectionResetError):
        await writer.wait_closed()


async def test_a_reset_comes_after_so_many_bytes_and_only_once(wire: Line) -> None:
    wire.control.set(SITE, LinkSettings(reset_after=100_000))
    with pytest.raises(ConnectionResetError):
        await _round_trip(wire, bytes(200_000))
    assert wire.control.get(SITE) == PERFECT
    await _round_trip(wire, bytes(200_000))


async def test_a_reset_counts_from_now_on_connections_that_are_open(wire: Line) -> None:
    reader, writer = await wire.connect()
    writer.write(bytes(50_000))
    await reader.readexactly(50_000)
    wire.control.set(SITE, LinkSettings(reset_after=30))
    writer.write(b"x" * 10)  # ten there, ten back: 20 in all
    await reader.readexactly(10)
    writer.write(b"x" * 10)
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(11)
    writer.close()
    with pytest.raises(ConnectionResetError):
        await writer.wait_closed()


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError):
        LinkSettings(latency_ms=-1)
