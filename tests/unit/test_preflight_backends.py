"""The rule `backends`: nobody is sent to a site that the proxies find down."""

from __future__ import annotations

from typing import cast

import pytest

from farshore.control.record import ControlPlane
from farshore.runbook.ground import Ground
from farshore.runbook.preflight import BACKEND_LOOKS_MAX, Preflight
from farshore.runbook.step import StepFailed
from farshore.switch.driver import SwitchDriver, SwitchError, Traits
from farshore.testing.switch import MemoryDriver
from tests.unit.sites import ManualClock, config_of


class Watching(MemoryDriver):
    """Finds west down at the next `looks` looks."""

    def __init__(self, looks: int, error: str = "") -> None:
        super().__init__("proxies", {"east": "e", "west": "w"}, {"one": "e"})
        self.looks, self.error, self.asked = looks, error, [""]

    @property
    def traits(self) -> Traits:
        return Traits(cas=True, moves_live_clients=True, watches=True)

    async def shut_to(self, site: str) -> tuple[str, ...]:
        if self.error:
            raise SwitchError(self.error)
        self.asked.append(site)
        self.looks -= 1
        return ("one: it finds west-w down",) if self.looks >= 0 else ()


async def preflight(*drivers: SwitchDriver) -> tuple[Preflight, list[float]]:
    """It was acted, with what it slept."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    nowhere = cast(ControlPlane, None)
    ground = Ground(config_of(), nowhere, drivers, ManualClock(), "a", "b", "c", sleep)
    step = Preflight(ground, ("backends",))
    await step.act()
    return step, slept


async def test_a_site_that_is_up_is_taken_at_once() -> None:
    driver = Watching(0)
    step, slept = await preflight(driver)
    assert ((await step.look()).done, slept, driver.asked) == (True, [], ["", "west"])


async def test_a_site_that_has_just_come_back_is_waited_for() -> None:
    step, slept = await preflight(Watching(3))
    assert (await step.look()).done
    assert len(slept) == 3


async def test_a_site_that_stays_down_is_refused_with_the_place_that_says_so() -> None:
    driver = Watching(BACKEND_LOOKS_MAX)
    with pytest.raises(StepFailed) as caught:
        await preflight(MemoryDriver("dns", {"west": "w"}, {"one": "w"}), driver)
    assert "backends: proxies: one: it finds west-w down" in caught.value.message
    assert "can reach west" in caught.value.message


async def test_a_proxy_that_cannot_say_is_no_yes() -> None:
    with pytest.raises(StepFailed, match="does not answer"):
        await preflight(Watching(0, error="proxy one does not answer"))
