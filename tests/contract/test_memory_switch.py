"""The fake driver passes the suite that the real ones pass."""

from __future__ import annotations

import pytest

from farshore.switch.driver import SwitchDriver
from farshore.testing.switch import MemoryDriver
from tests.contract.switch_suite import EAST, WEST, SwitchSuite

PLACES = ("one", "two")
VALUES = {EAST: "10.0.0.1", WEST: "10.0.0.2"}


class MemoryBench:
    """The fake is the thing itself: there is one of it."""

    secrets: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._driver = MemoryDriver("memory", VALUES, dict.fromkeys(PLACES, VALUES[EAST]))

    def driver(self) -> SwitchDriver:
        return self._driver

    async def put(self, site: str) -> None:
        for place in PLACES:
            self._driver.put(place, VALUES[site])

    async def put_strange(self) -> None:
        for place in PLACES:
            self._driver.put(place, "10.9.9.9")

    async def truth(self) -> str:
        return (await self._driver.current()).site

    async def cut(self) -> None:
        self._driver.unreachable = set(PLACES)

    async def heal(self) -> None:
        self._driver.unreachable = set()


class TestMemorySwitch(SwitchSuite):
    @pytest.fixture
    def bench(self) -> MemoryBench:
        return MemoryBench()
