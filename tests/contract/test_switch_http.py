"""The switch contract on what the daemon answers applications with.

Whoever flips writes the wish into the control record before the first driver is told, and
takes it back when that driver refuses: `Flipping` does it here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farshore.config.switches import HttpSwitch
from farshore.core.whereabouts import Whereabouts, as_json
from farshore.daemon.api import Answers, application, served
from farshore.errors import Refused
from farshore.lab.ports import HOST, held_ports
from farshore.switch.driver import DriverPlan, SwitchError, SwitchUnknown
from farshore.switch.http import HttpDriver

from .switch_suite import EAST, WEST, SwitchSuite

ENDPOINTS = {EAST: "https://s3.east.example.net", WEST: "https://s3.west.example.net"}
TOKEN = "hunter2"


class Record:
    """The control record, as far as the daemon serves it. `body`: an answer of its own."""

    def __init__(self) -> None:
        self.wanted = EAST
        self.body: bytes | None = None
        self.tokens: list[str | None] = []

    async def answer(self, request: Request) -> Response:
        self.tokens.append(request.headers.get("authorization"))
        url = ENDPOINTS.get(self.wanted, "https://s3.elsewhere.example.org")
        body = as_json(Whereabouts("a-pair", self.wanted, url, 7))
        return Response(body if self.body is None else self.body)


class Flipping(HttpDriver):
    """The driver, and the record written around it."""

    record: Record

    async def apply(self, plan: DriverPlan) -> None:
        before = self.record.wanted
        if before == plan.expect[0][1]:
            self.record.wanted = plan.to
        try:
            await super().apply(plan)
        except SwitchUnknown:
            raise
        except (SwitchError, Refused):
            self.record.wanted = before
            raise


class HttpBench:
    """The daemon's own API on a port of its own, which can go away and come back."""

    secrets = (TOKEN,)

    def __init__(self, port: int) -> None:
        self.port = port
        self.record = Record()
        self.given: list[HttpDriver] = []
        self._running = AsyncExitStack()

    def driver(self) -> Flipping:
        made = Flipping(
            HttpSwitch("http"), HOST, self.port, (EAST, WEST), token=lambda: TOKEN, follow_s_max=0.5
        )
        made.record = self.record
        self.given.append(made)
        return made

    async def put(self, site: str) -> None:
        self.record.wanted = site

    async def put_strange(self) -> None:
        self.record.wanted = "elsewhere"

    async def truth(self) -> str:
        return self.record.wanted if self.record.wanted in ENDPOINTS else ""

    async def cut(self) -> None:
        await self._running.aclose()

    async def heal(self) -> None:
        await self._running.aclose()
        app = application(_answers(), TOKEN, [Route("/v1/endpoint", self.record.answer)])
        await self._running.enter_async_context(served(app, HOST, self.port))


def _answers() -> Answers:
    async def scan() -> None:
        return

    return Answers(dict, lambda: (b"", ""), lambda: "", scan)


@pytest.fixture
async def bench() -> AsyncIterator[HttpBench]:
    with held_ports(1) as (port,):
        made = HttpBench(port)
    await made.heal()
    yield made
    for driver in made.given:
        await driver.aclose()
    await made.cut()


class TestHttpSwitch(SwitchSuite):
    """The daemon's answer follows the record."""


async def test_the_token_goes_with_the_request(bench: HttpBench) -> None:
    await bench.driver().current()
    assert bench.record.tokens == [f"Bearer {TOKEN}"]


async def test_a_daemon_that_does_not_follow_is_unknown(bench: HttpBench) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    with pytest.raises(SwitchUnknown, match="does not answer with west"):
        await HttpDriver.apply(driver, plan)  # nobody wrote the record
    assert (await driver.current()).shows(EAST)


@pytest.mark.parametrize(
    "body", [b"rubbish", b"{", b'{"site": 7}', b'{"endpoint_url": "x"}', b"x" * 70_000]
)
async def test_an_answer_of_something_else_is_a_reading_with_its_error(
    bench: HttpBench, body: bytes
) -> None:
    bench.record.body = body
    (reading,) = (await bench.driver().current()).readings
    assert reading.error
    assert reading.site == ""


async def test_an_older_daemon_without_the_page_is_told(bench: HttpBench) -> None:
    await bench.cut()
    async with served(application(_answers(), TOKEN), HOST, bench.port):
        (reading,) = (await bench.driver().current()).readings
    assert "HTTP 404" in reading.error
