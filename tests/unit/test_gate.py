"""The gate against a modelled site: how the window finds its size, with a manual clock."""

from __future__ import annotations

import asyncio
import heapq

import pytest

from farshore.engine.gate import FASTEST_HOLDS_S, Gate, GateLimits
from farshore.testing.clock import ManualClock


class Road:
    """Copies over a way of `way_s` to a site that works on one copy for `work_s` at a time."""

    def __init__(self, gate: Gate, clock: ManualClock, way_s: float, work_s: float) -> None:
        self.gate = gate
        self.clock = clock
        self.way_s = way_s
        self.work_s = work_s
        self.windows: list[int] = []
        self._begun: dict[int, float] = {}
        self._ends: list[tuple[float, int]] = []
        self._site_free_at = 0.0

    async def drive(self, copies: int) -> None:
        """Copy so many, as many at once as the gate lets in."""
        for number in range(copies):
            entering = asyncio.ensure_future(self.gate.enter(0))
            await asyncio.sleep(0)
            while not entering.done():
                self._end_one()
                await asyncio.sleep(0)
            self._begin(number)
        while self._ends:
            self._end_one()

    def _begin(self, number: int) -> None:
        now = self.clock.monotonic()
        self._begun[number] = now
        self._site_free_at = max(self._site_free_at, now + self.way_s / 2) + self.work_s
        heapq.heappush(self._ends, (self._site_free_at + self.way_s / 2, number))

    def _end_one(self) -> None:
        ends_at, number = heapq.heappop(self._ends)
        self.clock.advance(max(0.0, ends_at - self.clock.monotonic()))
        self.gate.observe(self.clock.monotonic() - self._begun.pop(number))
        self.gate.leave(0)
        self.windows.append(self.gate.window)


def a_gate(**limits: int) -> tuple[Gate, ManualClock]:
    clock = ManualClock()
    return Gate(GateLimits(**limits), clock), clock


async def test_a_near_site_is_not_flooded_however_long_it_goes_on() -> None:
    gate, clock = a_gate()
    road = Road(gate, clock, way_s=0.0005, work_s=0.0003)
    await road.drive(100_000)  # half a minute of copies, and three dips
    assert max(road.windows) <= 64


async def test_a_far_site_gets_what_fills_its_way() -> None:
    gate, clock = a_gate()
    road = Road(gate, clock, way_s=0.160, work_s=0.001)
    await road.drive(4_000)
    assert max(road.windows) > 130
    began = clock.monotonic()
    await road.drive(5_000)
    assert 5_000 / (clock.monotonic() - began) > 700


async def test_a_way_that_became_longer_is_learnt() -> None:
    gate, clock = a_gate()
    road = Road(gate, clock, way_s=0.002, work_s=0.0005)
    await road.drive(2_000)
    near = gate.window
    road.way_s = 0.100
    await road.drive(30_000)
    assert gate.window > near + 50


async def test_a_dip_is_short_and_ends_at_the_former_window() -> None:
    gate, clock = a_gate()
    road = Road(gate, clock, way_s=0.100, work_s=0.0005)
    await road.drive(2_000)
    grown = gate.window
    clock.advance(FASTEST_HOLDS_S)
    road.windows.clear()
    await road.drive(3 * grown)
    assert min(road.windows) == GateLimits().count_min
    assert road.windows.count(GateLimits().count_min) <= grown + 2 * GateLimits().count_min
    assert gate.window >= grown


async def enter_many(gate: Gate, count: int) -> None:
    for _ in range(count):
        await gate.enter(0)


async def test_throttling_halves_once_for_all_that_fly() -> None:
    gate, _ = a_gate(count_min=16)
    await enter_many(gate, 16)
    gate.throttled()
    gate.throttled()
    assert gate.window == 8
    for _ in range(16):
        gate.leave(0)
    gate.throttled()
    assert gate.window == 4


async def test_throttling_in_a_dip_halves_the_window_from_before_it() -> None:
    gate, clock = a_gate()
    road = Road(gate, clock, way_s=0.100, work_s=0.0005)
    await road.drive(2_000)
    grown = gate.window
    clock.advance(FASTEST_HOLDS_S)
    await gate.enter(0)
    gate.observe(0.1)
    assert gate.window == GateLimits().count_min
    gate.throttled()
    assert gate.window == grown // 2


async def test_after_throttling_the_smallest_window_comes_back() -> None:
    gate, clock = a_gate()
    gate.throttled()
    gate.throttled()
    assert gate.window < GateLimits().count_min
    await Road(gate, clock, way_s=0.010, work_s=0.001).drive(500)
    assert gate.window >= GateLimits().count_min


async def test_bytes_are_bounded_but_one_always_goes() -> None:
    gate, _ = a_gate(bytes_max=100)
    await gate.enter(500)
    second = asyncio.ensure_future(gate.enter(1))
    await asyncio.sleep(0)
    assert not second.done()
    gate.leave(500)
    await second
    assert gate.flying == 1


async def test_the_count_is_never_above_its_limit() -> None:
    gate, clock = a_gate(count_min=4, count_max=6)
    road = Road(gate, clock, way_s=0.200, work_s=0.0001)
    await road.drive(500)
    assert max(road.windows) == 6


async def test_who_is_cancelled_at_the_gate_leaves_no_trace() -> None:
    gate, _ = a_gate(count_min=1)
    await gate.enter(0)
    waiting = asyncio.ensure_future(gate.enter(0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.leave(0)
    assert gate.flying == 0
    await asyncio.wait_for(gate.enter(0), 5)


async def test_who_is_cancelled_with_leave_in_hand_gives_it_on() -> None:
    gate, _ = a_gate(count_min=1)
    await gate.enter(0)
    first, second = (asyncio.ensure_future(gate.enter(0)) for _ in range(2))
    await asyncio.sleep(0)
    gate.leave(0)  # lets the first in, which is cancelled before it runs
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 5)
    assert gate.flying == 1
