"""A flip by hand: what the record says before, after, and when it goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farshore.core.record import ControlRecord, Fence, initial
from farshore.errors import Refused
from farshore.switch.by_hand import Order, set_by_hand, warnings
from farshore.switch.driver import SwitchMoved
from farshore.switch.flip import PartialFlip, plan_flip
from farshore.testing.clock import ManualClock
from farshore.testing.switch import MemoryDriver

VALUES = {"east": "e", "west": "w"}
ORDER = Order("one@desk", "rehearsal")


class Notebook:
    """A recorder on paper: every record that was accepted, and its action."""

    def __init__(self, record: ControlRecord) -> None:
        self.record = record
        self.actions: list[str] = []

    async def change(
        self,
        decide: Callable[[ControlRecord], ControlRecord],
        *,
        by: str,
        why: str,
        action: str,
    ) -> ControlRecord:
        self.record = decide(self.record)
        self.actions.append(action)
        return self.record


def switch() -> tuple[MemoryDriver, MemoryDriver]:
    return (
        MemoryDriver("proxies", VALUES, {"proxy": "e"}),
        MemoryDriver("dns", VALUES, {"authority": "e"}),
    )


async def test_the_record_says_what_is_wanted_before_and_what_stands_after() -> None:
    book = Notebook(initial("east-west", "east"))
    drivers = switch()
    wanted: list[bool] = []
    plan = await plan_flip(drivers, "west")
    await set_by_hand(
        book,
        drivers,
        plan,
        ORDER,
        ManualClock(),
        lambda _: wanted.append(book.record.switch.under_way),
    )
    assert wanted == [True, True]
    found = book.record.switch
    assert (found.active, found.wanted, found.by, found.why) == (
        "west",
        "west",
        "one@desk",
        "rehearsal",
    )
    assert found.drivers == (("proxies", "west"), ("dns", "west"))
    assert book.actions == ["switch.set", "switch.set.done"]


async def test_a_flip_that_changed_nothing_takes_its_wish_back() -> None:
    book = Notebook(initial("east-west", "east"))
    drivers = switch()
    plan = await plan_flip(drivers, "west")
    drivers[0].put("proxy", "old")
    with pytest.raises(SwitchMoved):
        await set_by_hand(book, drivers, plan, ORDER, ManualClock())
    assert not book.record.switch.under_way
    assert book.record.switch.active == "east"
    assert book.actions == ["switch.set", "switch.set.refused"]


async def test_a_partial_flip_stays_under_way_and_names_who_is_behind() -> None:
    book = Notebook(initial("east-west", "east"))
    drivers = switch()
    plan = await plan_flip(drivers, "west")
    drivers[1].put("authority", "old")
    with pytest.raises(PartialFlip):
        await set_by_hand(book, drivers, plan, ORDER, ManualClock())
    assert book.record.switch.under_way
    assert book.record.switch.behind == ("dns",)
    assert any("not finished" in line for line in warnings(book.record, "west"))
    drivers[1].put("authority", "e")
    await set_by_hand(book, drivers, await plan_flip(drivers, "west"), ORDER, ManualClock())
    assert not book.record.switch.under_way


async def test_nobody_is_sent_to_a_fenced_site() -> None:
    fence = Fence("west", "policy", "standing", "two@desk", "failed over", 0.0)
    book = Notebook(initial("east-west", "east").with_fence(fence))
    drivers = switch()
    with pytest.raises(Refused, match="two@desk"):
        await set_by_hand(book, drivers, await plan_flip(drivers, "west"), ORDER, ManualClock())
    assert drivers[0].applied == 0
    assert book.actions == []


def test_a_site_that_is_not_primary_is_warned_about() -> None:
    record = initial("east-west", "east")
    assert warnings(record, "east") == []
    assert "not copied to east" in warnings(record, "west")[0]
