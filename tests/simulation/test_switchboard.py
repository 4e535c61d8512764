"""The simulated switch passes the suites that the real drivers pass."""

from __future__ import annotations

import random

import pytest

from farshore.clock import SystemClock
from tests.contract.switch_suite import EAST, WEST, AnsweredSwitchSuite, FreezerSuite
from tests.simulation.switchboard import Operated, Switchboard

PROXIES = ("proxy one", "proxy two")


class BoardBench:
    """Two proxies, and as many ways to them as are asked for."""

    secrets: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.board = Switchboard((EAST, WEST), PROXIES, SystemClock())
        self.losing = 0.0
        self.is_mute = self.is_cut = False

    def driver(self) -> Operated:
        way = Operated(self.board, random.Random(1), lost=self._loses)
        way.patience_s = 0.01
        way.mute, way.away = (lambda: self.is_mute), (lambda: self.is_cut)
        return way

    def impatient(self) -> Operated:
        return self.driver()

    def _loses(self) -> float:
        """The answer of the last proxy alone: all of it is carried out."""
        shown = self.board.shown()
        return self.losing if len(shown) == 1 else 0.0

    async def put(self, site: str) -> None:
        for proxy in PROXIES:
            self.board.put(proxy, f"to-{site}")

    async def put_strange(self) -> None:
        for proxy in PROXIES:
            self.board.put(proxy, "to-elsewhere")

    async def truth(self) -> str:
        shown = self.board.shown()
        return shown.pop() if len(shown) == 1 else ""

    async def cut(self) -> None:
        self.is_cut = True

    async def heal(self) -> None:
        self.is_cut, self.is_mute, self.losing = False, False, 0.0

    async def lose_answer(self) -> None:
        self.losing = 1.0

    async def silence(self) -> None:
        self.is_mute = True

    async def takes_writes(self) -> bool:
        return not any(self.board.is_frozen(proxy) for proxy in PROXIES)


class TestSwitchboard(AnsweredSwitchSuite, FreezerSuite):
    @pytest.fixture
    def bench(self) -> BoardBench:
        return BoardBench()
