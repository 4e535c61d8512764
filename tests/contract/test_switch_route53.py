"""The switch contract on a hosted zone of moto's Route 53, over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from farshore.config.switches import Record, Route53Switch
from farshore.credentials import Credentials, CredentialSource
from farshore.lab.ports import HOST
from farshore.switch.aws import AwsApi
from farshore.switch.driver import SwitchError
from farshore.switch.place import ABSENT
from farshore.switch.route53 import Route53Driver

from .bad_line import BadLine, bad_line
from .servers import Server, moto
from .strict_route53 import be_strict
from .switch_suite import EAST, WEST, AnsweredSwitchSuite

TTL = 5
KEYS = Credentials("test", "hunter2")
NUMBERS = itertools.count()
IMPATIENT_S = 1.0


def is_change(chunk: bytes) -> bool:
    return chunk.startswith(b"POST ") and b"/rrset" in chunk.partition(b"\r\n")[0]


class Route53Bench:
    """A hosted zone of its own, behind a line that can be made bad."""

    secrets = (KEYS.secret_key,)

    def __init__(self, server: Server, line: BadLine, zone: str) -> None:
        self.line = line
        self.zone = zone
        self.record = f"s3.{zone}"
        self.values = {EAST: f"east.{zone}", WEST: f"west.{zone}"}
        self.client = boto3.client(
            "route53",
            endpoint_url=server.endpoint,
            aws_access_key_id=KEYS.access_key,
            aws_secret_access_key=KEYS.secret_key,
            region_name="us-east-1",
        )
        made = self.client.create_hosted_zone(Name=zone, CallerReference=zone)
        self.zone_id = str(made["HostedZone"]["Id"]).rpartition("/")[2]

    def driver(self, **options: float) -> Route53Driver:
        record = Record(self.record, "CNAME", TTL, self.values, ())
        source = CredentialSource("env", "A_VARIABLE")
        endpoint = f"http://{HOST}:{self.line.port}"
        switch = Route53Switch("route53", self.zone_id, record, "us-east-1", source, endpoint, None)
        api = AwsApi(
            "route53", region="us-east-1", endpoint=endpoint, ca_file=None, keys=keys, **options
        )
        return Route53Driver(switch, api, 60.0)

    def impatient(self) -> Route53Driver:
        return self.driver(read_s_max=IMPATIENT_S)

    def change(self, action: str, kind: str, **more: Any) -> None:
        record_set = {"Name": f"{self.record}.", "Type": kind, **more}
        self.client.change_resource_record_sets(
            HostedZoneId=self.zone_id,
            ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record_set}]},
        )

    async def write(self, value: str, *, ttl: int = TTL) -> None:
        records = [{"Value": f"{value}."}]
        await asyncio.to_thread(self.change, "UPSERT", "CNAME", TTL=ttl, ResourceRecords=records)

    async def put(self, site: str) -> None:
        await self.write(self.values[site])

    async def put_strange(self) -> None:
        await self.write("elsewhere.example.org")

    def stands(self) -> list[dict[str, Any]]:
        """Every record set at our name."""
        sets = self.client.list_resource_record_sets(HostedZoneId=self.zone_id)
        return [one for one in sets["ResourceRecordSets"] if one["Name"] == f"{self.record}."]

    async def truth(self) -> str:
        found = [r["Value"] for one in self.stands() for r in one["ResourceRecords"]]
        return next((s for s, v in self.values.items() if found == [f"{v}."]), "")

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
    with pytest.MonkeyPatch.context() as patch, moto() as running:
        be_strict(patch)
        yield running


class Closing(Route53Bench):
    """A bench that ends the connections of the drivers that it gave."""

    def __init__(self, server: Server, line: BadLine, zone: str) -> None:
        super().__init__(server, line, zone)
        self.given: list[Route53Driver] = []

    def driver(self, **options: float) -> Route53Driver:
        self.given.append(super().driver(**options))
        return self.given[-1]


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Closing]:
    async with bad_line(urlsplit(server.endpoint).port or 0, is_change) as line:
        made = Closing(server, line, f"example{next(NUMBERS)}.test")
        await made.put(EAST)
        yield made
        for driver in made.given:
            await driver.aclose()
        made.client.close()


class TestRoute53Switch(AnsweredSwitchSuite):
    """An alias in the sense of DNS; in that of Route 53 it is a plain record."""


async def test_a_record_that_is_not_there_is_made(bench: Closing) -> None:
    bench.change("DELETE", "CNAME", TTL=TTL, ResourceRecords=bench.stands()[0]["ResourceRecords"])
    driver = bench.driver()
    plan = await driver.plan(WEST)
    assert plan.expect == ((f"hosted zone {bench.zone_id}", ""),)
    assert plan.findings == (ABSENT,)
    await driver.apply(plan)
    assert await bench.truth() == WEST


async def test_a_ttl_above_the_objective_is_a_finding_and_is_replaced(bench: Closing) -> None:
    await bench.write(bench.values[EAST], ttl=3600)
    driver = bench.driver()
    plan = await driver.plan(WEST)
    assert plan.propagation_s == 3600
    assert "3600 s" in plan.findings[0]
    await driver.apply(plan)
    assert [one["TTL"] for one in bench.stands()] == [TTL]


async def test_other_records_at_the_name_are_not_replaced(bench: Closing) -> None:
    records = bench.stands()[0]["ResourceRecords"]
    bench.change("DELETE", "CNAME", TTL=TTL, ResourceRecords=records)
    bench.change("CREATE", "A", TTL=TTL, ResourceRecords=[{"Value": "10.0.0.1"}])
    driver = bench.driver()
    assert (await driver.current()).readings[0].raw == "A 10.0.0.1"
    with pytest.raises(SwitchError, match=r"A 10\.0\.0\.1, not one plain CNAME"):
        await driver.plan(WEST)


async def test_weighted_records_are_not_replaced(bench: Closing) -> None:
    records = bench.stands()[0]["ResourceRecords"]
    bench.change("DELETE", "CNAME", TTL=TTL, ResourceRecords=records)
    for name in ("a", "b"):
        more = {"SetIdentifier": name, "Weight": 1, "TTL": TTL, "ResourceRecords": records}
        bench.change("UPSERT", "CNAME", **more)
    with pytest.raises(SwitchError, match="routing policy"):
        await bench.driver().plan(WEST)


async def test_a_zone_that_is_not_there_is_told(server: Server, bench: Closing) -> None:
    bench.zone_id = "ZNOWHERE"
    (reading,) = (await bench.driver().current()).readings
    assert "NoSuchHostedZone" in reading.error
