"""A freeze by hand: recorded, drained, ended by a thaw or by its limit."""

from __future__ import annotations

import pytest

from farshore.core.record import initial
from farshore.errors import Refused
from farshore.switch.by_hand import Order
from farshore.switch.driver import SwitchError
from farshore.switch.freezing import frozen
from farshore.switch.frozen_by_hand import freeze_by_hand, holding, thaw_by_hand
from farshore.testing.clock import ManualClock
from farshore.testing.switch import MemoryDriver, MemoryProxies
from tests.unit.test_by_hand import Notebook

VALUES = {"east": "e", "west": "w"}
ORDER = Order("one@desk", "rehearsal")


class Ground:
    """One proxy, one record, one clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.front = MemoryProxies("front", VALUES, {"proxy": "e"}, self.clock)
        self.book = Notebook(initial("east-west", "east"))

    async def freeze(self, order: Order = ORDER) -> int:
        _, drained = await freeze_by_hand(
            self.book, [self.front], 8.0, order, self.clock, self.clock.sleep
        )
        return drained.at_first

    async def is_frozen(self) -> bool:
        return all(reading.frozen for reading in await frozen([self.front]))


async def test_a_freeze_is_recorded_drained_and_thawed() -> None:
    ground = Ground()
    ground.front.flights = [2, 1, 0, 0]
    assert await ground.freeze() == 2
    assert await ground.is_frozen()
    held = holding(ground.book.record, ground.clock.now())
    assert held is not None
    assert held.by == "one@desk"
    assert await thaw_by_hand(ground.book, [ground.front], ORDER, ground.clock)
    assert not await ground.is_frozen()
    assert ground.book.record.freeze is None
    assert ground.book.actions == ["freeze", "thaw"]


async def test_a_freeze_ends_by_itself_in_the_proxy_and_in_the_record() -> None:
    ground = Ground()
    await ground.freeze()
    ground.clock.advance(8.0)
    assert not await ground.is_frozen()
    assert holding(ground.book.record, ground.clock.now()) is None
    assert not await thaw_by_hand(ground.book, [ground.front], ORDER, ground.clock)


async def test_somebody_else_s_freeze_is_not_replaced_while_it_holds() -> None:
    ground = Ground()
    await ground.freeze()
    with pytest.raises(Refused, match="one@desk"):
        await ground.freeze(Order("two@desk", "also"))
    ground.clock.advance(8.0)
    await ground.freeze(Order("two@desk", "also"))
    assert ground.book.record.freeze is not None
    assert ground.book.record.freeze.by == "two@desk"


async def test_a_proxy_that_refuses_leaves_nothing_frozen_and_the_record_says_so() -> None:
    ground = Ground()

    async def refuses(until: float, retry_after_ms: int) -> None:
        raise SwitchError("the socket is closed")

    ground.front.freeze = refuses  # type: ignore[method-assign]  # the proxy that refuses
    with pytest.raises(SwitchError, match="closed"):
        await ground.freeze()
    assert ground.book.record.freeze is None
    assert ground.book.actions == ["freeze", "freeze.refused"]


async def test_without_a_proxy_nothing_is_recorded() -> None:
    ground = Ground()
    names = MemoryDriver("dns", VALUES, {"authority": "e"})
    with pytest.raises(SwitchError, match="No driver"):
        await freeze_by_hand(ground.book, [names], 8.0, ORDER, ground.clock)
    assert ground.book.actions == []
