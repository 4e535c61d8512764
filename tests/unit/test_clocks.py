"""The source's clock is known, however ours is set meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from farshore.engine.clocks import MEASURES_MAX, ahead_of
from farshore.testing.clock import ManualClock
from farshore.testing.store.memory import MemoryStore


class Server(MemoryStore):
    """It is `fast` seconds ahead of us, and somebody does something `meanwhile`."""

    fast = 0.0
    asked = 0
    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    async def server_time_offset(self) -> float:
        self.asked += 1
        offset = self.fast  # as the client does: at the answer, by our clock then
        self.meanwhile()
        return offset


async def test_it_is_told_by_the_clock_that_nobody_sets() -> None:
    clock = ManualClock()
    server = Server("east", clock=clock)
    server.fast = 7.0
    ahead = await ahead_of(server, clock)
    truth = clock.now() + server.fast
    clock.jump(3600.0)
    assert clock.monotonic() + ahead == truth


async def test_a_clock_that_is_set_while_it_is_asked_is_asked_again() -> None:
    clock = ManualClock()
    server = Server("east", clock=clock)
    server.fast, truth = 7.0, clock.now() + 7.0

    def once() -> None:
        if server.asked == 1:
            clock.jump(-4.2)
            server.fast += 4.2

    server.meanwhile = once
    assert abs(clock.monotonic() + await ahead_of(server, clock) - truth) < 1e-6
    assert server.asked == 2


async def test_it_is_not_asked_for_ever() -> None:
    clock = ManualClock()
    server = Server("east", clock=clock)
    server.meanwhile = lambda: clock.jump(1.0)
    await ahead_of(server, clock)
    assert server.asked == MEASURES_MAX
