"""Freeze, drain and thaw over several proxies, one of which may be silent."""

from __future__ import annotations

import pytest

from farshore.switch.driver import SwitchError, SwitchUnknown
from farshore.switch.freezing import (
    DRAIN_LOOK_S,
    drain,
    freeze,
    freezers,
    frozen,
    require_freezers,
    require_frozen,
    thaw,
)
from farshore.testing.clock import ManualClock
from farshore.testing.switch import MemoryDriver, MemoryProxies

VALUES = {"east": "e", "west": "w"}


def proxies(clock: ManualClock) -> MemoryProxies:
    return MemoryProxies("front", VALUES, {"proxy 1": "e", "proxy 2": "e"}, clock)


async def test_only_drivers_that_say_so_can_freeze() -> None:
    names = MemoryDriver("dns", VALUES, {"authority": "e"})
    front = proxies(ManualClock())
    assert freezers([names, front]) == [front]
    with pytest.raises(SwitchError, match="No driver"):
        require_freezers([names])


async def test_a_freeze_holds_everywhere_until_its_limit_and_then_ends_by_itself() -> None:
    clock = ManualClock()
    front = proxies(clock)
    await freeze([front], clock.now() + 8.0)
    await require_frozen([front])
    assert all(reading.frozen for reading in await frozen([front]))
    clock.advance(8.0)
    assert not any(reading.frozen for reading in await frozen([front]))
    with pytest.raises(SwitchError, match="lets writes through"):
        await require_frozen([front])


async def test_when_one_proxy_refuses_the_others_are_thawed_again() -> None:
    clock = ManualClock()
    front, other = proxies(clock), proxies(clock)

    async def refuses(until: float, retry_after_ms: int) -> None:
        raise SwitchError("the socket is closed")

    other.freeze = refuses  # type: ignore[method-assign]  # the proxy that refuses
    with pytest.raises(SwitchError, match="closed"):
        await freeze([front, other], clock.now() + 8.0)
    assert not any(reading.frozen for reading in await frozen([front]))


async def test_one_silent_proxy_of_three_is_told_apart_from_the_thawed_ones() -> None:
    clock = ManualClock()
    front, other = proxies(clock), MemoryProxies("inner", VALUES, {"proxy 3": "e"}, clock)

    async def half(until: float, retry_after_ms: int) -> None:
        front.unreachable.add("proxy 2")
        raise SwitchUnknown("proxy 2 did not answer")

    front.freeze = half  # type: ignore[method-assign]  # its second proxy falls silent
    with pytest.raises(SwitchUnknown) as raised:
        await freeze([other, front], clock.now() + 8.0)
    said = raised.value.message
    assert said.startswith("proxy 2 did not answer. proxy 3, proxy 1: not frozen, writes go on; ")
    assert (
        "proxy 2: not known; a freeze there would end by itself at 2026-01-01 00:00:08.0 UTC."
        in said
    )
    assert not any(reading.frozen for reading in await frozen([other]))


async def test_a_proxy_that_was_silent_from_the_start_leaves_nothing_unknown() -> None:
    clock = ManualClock()
    front, other = proxies(clock), MemoryProxies("inner", VALUES, {"proxy 3": "e"}, clock)
    other.unreachable.add("proxy 3")

    async def refuses(until: float, retry_after_ms: int) -> None:
        raise SwitchError("proxy 3 does not answer")

    other.freeze = refuses  # type: ignore[method-assign]  # the proxy that is silent
    with pytest.raises(SwitchError) as raised:
        await freeze([front, other], clock.now() + 8.0)
    assert not isinstance(raised.value, SwitchUnknown)
    assert "proxy 1, proxy 2: not frozen" in raised.value.message
    assert "proxy 3: does not answer, and nothing was sent there." in raised.value.message


async def test_a_silent_proxy_is_not_taken_for_frozen() -> None:
    clock = ManualClock()
    front = proxies(clock)
    await freeze([front], clock.now() + 8.0)
    front.unreachable.add("proxy 2")
    with pytest.raises(SwitchUnknown, match="proxy 2"):
        await require_frozen([front])


async def test_a_drain_waits_until_nothing_is_in_flight_twice_in_a_row() -> None:
    clock = ManualClock()
    front = proxies(clock)
    front.flights = [3, 0, 1, 0, 0, 9]
    done = await drain([front], "east", clock.now() + 8.0, clock, clock.sleep)
    assert (done.at_first, done.left, front.flights) == (3, 0, [9])
    assert done.waited_s == pytest.approx(4 * DRAIN_LOOK_S)


async def test_a_drain_that_does_not_end_says_how_many_are_left() -> None:
    clock = ManualClock()
    front = proxies(clock)
    front.flights = [2] * 1000
    done = await drain([front], "east", clock.now() + 1.0, clock, clock.sleep)
    assert (done.is_empty, done.left) == (False, 2)
    assert done.waited_s == pytest.approx(1.0, abs=2 * DRAIN_LOOK_S)


async def test_a_thaw_tries_every_proxy_before_it_complains() -> None:
    clock = ManualClock()
    silent, front = proxies(clock), proxies(clock)
    await freeze([silent, front], clock.now() + 8.0)
    silent.unreachable.add("proxy 1")
    with pytest.raises(SwitchError, match="no answer"):
        await thaw([silent, front])
    assert not any(reading.frozen for reading in await frozen([front]))
