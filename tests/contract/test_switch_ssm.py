"""The switch contract on a parameter of moto's SSM, over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import boto3
import pytest

from farshore.config.switches import SsmSwitch
from farshore.credentials import Credentials, CredentialSource
from farshore.lab.ports import HOST
from farshore.switch.aws import AwsApi
from farshore.switch.ssm import SsmDriver

from .bad_line import BadLine, bad_line
from .servers import Server, moto
from .switch_suite import EAST, WEST, AnsweredSwitchSuite

VALUES = {EAST: "https://s3.east.example.net", WEST: "https://s3.west.example.net"}
STRANGE = "https://s3.elsewhere.example.org"
KEYS = Credentials("test", "hunter2")
NUMBERS = itertools.count()
IMPATIENT_S = 1.0


def is_change(chunk: bytes) -> bool:
    return b"amazonssm.putparameter" in chunk.lower()


class SsmBench:
    """A parameter of its own, behind a line that can be made bad."""

    secrets = (KEYS.secret_key,)

    def __init__(self, server: Server, line: BadLine) -> None:
        self.line = line
        self.parameter = f"/app/endpoint-{next(NUMBERS)}"
        self.given: list[SsmDriver] = []
        self.client = boto3.client(
            "ssm",
            endpoint_url=server.endpoint,
            aws_access_key_id=KEYS.access_key,
            aws_secret_access_key=KEYS.secret_key,
            region_name="eu-west-1",
        )

    def driver(self, **options: float) -> SsmDriver:
        endpoint = f"http://{HOST}:{self.line.port}"
        source = CredentialSource("env", "A_VARIABLE")
        switch = SsmSwitch("ssm", self.parameter, VALUES, "eu-west-1", source, endpoint, None)
        api = AwsApi(
            "ssm", region="eu-west-1", endpoint=endpoint, ca_file=None, keys=keys, **options
        )
        self.given.append(SsmDriver(switch, api))
        return self.given[-1]

    def impatient(self) -> SsmDriver:
        return self.driver(read_s_max=IMPATIENT_S)

    async def write(self, value: str, kind: str = "String") -> None:
        await asyncio.to_thread(
            self.client.put_parameter,
            Name=self.parameter,
            Value=value,
            Type=kind,
            Overwrite=True,
        )

    async def put(self, site: str) -> None:
        await self.write(VALUES[site])

    async def put_strange(self) -> None:
        await self.write(STRANGE)

    async def truth(self) -> str:
        found = await asyncio.to_thread(self.client.get_parameter, Name=self.parameter)
        value = found["Parameter"]["Value"]
        return next((s for s, v in VALUES.items() if v == value), "")

    async def cut(self) -> None:
        await self.line.cut()

    async def heal(self) -> None:
        await self.line.heal()

    async def lose_answer(self) -> None:
        await self.line.lose_answer()

    async def silence(self) -> None:
        await self.line.silence()


async def keys() -> Credentials:
    return KEYS


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with moto() as running:
        yield running


@pytest.fixture
async def empty(server: Server) -> AsyncIterator[SsmBench]:
    async with bad_line(urlsplit(server.endpoint).port or 0, is_change) as line:
        made = SsmBench(server, line)
        yield made
        for driver in made.given:
            await driver.aclose()
        made.client.close()


@pytest.fixture
async def bench(empty: SsmBench) -> SsmBench:
    await empty.put(EAST)
    return empty


class TestSsmSwitch(AnsweredSwitchSuite):
    """A plain String."""


async def test_a_parameter_that_is_not_there_is_made(empty: SsmBench) -> None:
    driver = empty.driver()
    plan = await driver.plan(WEST)
    assert plan.expect == ((f"parameter {empty.parameter}", ""),)
    await driver.apply(plan)
    assert await empty.truth() == WEST


async def test_what_is_encrypted_is_neither_shown_nor_replaced(empty: SsmBench) -> None:
    await empty.write("hunter2", "SecureString")
    driver = empty.driver()
    (reading,) = (await driver.current()).readings
    assert reading.error == "it is a SecureString; an endpoint needs a plain String"
