"""The switch contract on what the daemon answers applications with.

Whoever flips writes the wish into the control record before the first driver is told, and
takes it back when that driver refuses: `Flipping` does it here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.routing import Route

from farshore.clock import SystemClock
from farshore.config.switches import HttpSwitch
from farshore.core.record import initial
from farshore.daemon.api import Answers, application, served
from farshore.daemon.endpoint import EndpointDesk
from farshore.errors import Refused
from farshore.lab.ports import HOST, held_ports
from farshore.switch.driver import DriverPlan, SwitchError, SwitchUnknown
from farshore.switch.http import HttpDriver
from tests.unit.sites import TOML, config_of

from .switch_suite import EAST, WEST, SwitchSuite


class Desk:
    """The daemon's own page, and the record that it answers from."""

    def __init__(self) -> None:
        config = config_of(TOML, Path("/nowhere/farshore.toml"))
        self.page = EndpointDesk(config, SystemClock(), lambda: None)
        self._record = initial("east-west", EAST)

    @property
    def wanted(self) -> str:
        return self._record.switch.wanted

    async def want(self, site: str) -> None:
        """Somebody changes the record, and the daemon reads it."""
        self._record = replace(self._record, switch=replace(self._record.switch, wanted=site))
        await self.page.tell(self._record)


class Flipping(HttpDriver):
    """The driver, and the record written around it."""

    desk: Desk

    async def apply(self, plan: DriverPlan) -> None:
        before = self.desk.wanted
        if before == plan.expect[0][1]:
            await self.desk.want(plan.to)
        try:
            await super().apply(plan)
        except SwitchUnknown:
            raise
        except (SwitchError, Refused):
            await self.desk.want(before)
            raise


class HttpBench:
    """The daemon's API on a port of its own, which can go away and come back."""

    secrets = ()

    def __init__(self, port: int) -> None:
        self.port = port
        self.desk = Desk()
        self.given: list[HttpDriver] = []
        self._running = AsyncExitStack()

    def driver(self) -> Flipping:
        made = Flipping(HttpSwitch("http"), HOST, self.port, (EAST, WEST), follow_s_max=0.5)
        made.desk = self.desk
        self.given.append(made)
        return made

    async def put(self, site: str) -> None:
        await self.desk.want(site)

    async def put_strange(self) -> None:
        await self.desk.want("elsewhere")

    async def truth(self) -> str:
        return self.desk.wanted if self.desk.wanted in (EAST, WEST) else ""

    async def cut(self) -> None:
        await self._running.aclose()

    async def heal(self) -> None:
        await self.serve(*self.desk.page.routes())

    async def serve(self, *routes: Route) -> None:
        """The API with these pages of ours."""
        await self._running.aclose()
        app = application(_answers(), lambda: ["a-token"], routes)
        await self._running.enter_async_context(served(app, HOST, self.port))


def _answers() -> Answers:
    async def scan() -> None:
        return

    return Answers(dict, lambda: (b"", ""), lambda: "", scan)


@pytest.fixture
async def bench() -> AsyncIterator[HttpBench]:
    with held_ports(1) as (port,):
        made = HttpBench(port)
    await made.put(EAST)
    await made.heal()
    yield made
    for driver in made.given:
        await driver.aclose()
    await made.cut()


class TestHttpSwitch(SwitchSuite):
    """The daemon's answer follows the record."""


async def test_a_daemon_that_does_not_follow_is_unknown(bench: HttpBench) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    with pytest.raises(SwitchUnknown, match="does not answer with west"):
        await HttpDriver.apply(driver, plan)  # nobody wrote the record
    assert (await driver.current()).shows(EAST)


async def test_a_daemon_that_knows_no_record_yet_is_told(bench: HttpBench) -> None:
    await bench.serve(*Desk().page.routes())
    (reading,) = (await bench.driver().current()).readings
    assert "HTTP 503" in reading.error


async def test_a_daemon_without_the_page_is_told(bench: HttpBench) -> None:
    await bench.serve()
    (reading,) = (await bench.driver().current()).readings
    assert "HTTP 404" in reading.error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"rubbish", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b'{"site": 7}', "names no site"),
        (b"[]", "names no site"),
        (b"x" * 70_000, "longer than"),
    ],
)
async def test_an_answer_of_something_else_is_a_reading_with_its_error(
    bench: HttpBench, body: bytes, words: str
) -> None:
    async def answer(_: object) -> Response:
        return Response(body)

    await bench.serve(Route("/v1/endpoint", answer))
    (reading,) = (await bench.driver().current()).readings
    assert words in reading.error
    assert (reading.site, reading.raw) == ("", "")
