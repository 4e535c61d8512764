"""The switch contract on a record of real PowerDNS, changed through octoDNS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from farshore.config.switches import OctodnsSwitch, Record
from farshore.lab.ports import HOST
from farshore.switch.driver import SwitchError, SwitchUnknown
from farshore.switch.octo import OctodnsDriver
from farshore.switch.place import ABSENT

from .bad_line import BadLine, bad_line
from .powerdns_server import PowerDns, powerdns
from .switch_suite import EAST, WEST, AnsweredSwitchSuite, applied

ZONE = "example.test"
RECORD = f"s3.{ZONE}"
VALUES = {EAST: f"east.{ZONE}", WEST: f"west.{ZONE}"}
TTL = 5
KEY_VARIABLE = "OCTODNS_TEST_KEY"

CONFIGURATION = """
providers:
  config:
    class: octodns.provider.yaml.YamlProvider
    directory: ./zones
    escaped_semicolons: false
  powerdns:
    class: octodns_powerdns.PowerDnsProvider
    host: {host}
    port: {port}
    api_key: env/{variable}
    timeout: {timeout}
zones:
  {zone}.:
    sources: [config]
    targets: [{targets}]
"""


PATIENCE_S, IMPATIENT_S = 20, 2
"""For the provider's API: a server that has much else to do, and one that is silent."""


def is_change(chunk: bytes) -> bool:
    return chunk.startswith(b"PATCH")


class Pair(NamedTuple):
    """A server and the line before its API."""

    server: PowerDns
    line: BadLine


class OctodnsBench:
    """A record of one zone, its API behind a line that can be made bad."""

    def __init__(self, server: PowerDns, line: BadLine, folder: Path) -> None:
        self.server = server
        self.line = line
        self.file = folder / "octodns.yaml"
        self.configure("powerdns")

    def configure(self, targets: str, more: str = "", timeout: int = PATIENCE_S) -> None:
        text = CONFIGURATION.format(
            host=HOST,
            port=self.line.port,
            variable=KEY_VARIABLE,
            zone=ZONE,
            targets=targets,
            timeout=timeout,
        )
        self.file.write_text(text + more)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.server.key,)

    def driver(self, **options: float) -> OctodnsDriver:
        resolvers = (f"{HOST}:{self.server.port}",)
        record = Record(RECORD, "CNAME", TTL, VALUES, resolvers)
        return OctodnsDriver(OctodnsSwitch("octodns", self.file, ZONE, record), 60.0, **options)

    def impatient(self) -> OctodnsDriver:
        self.configure("powerdns", timeout=IMPATIENT_S)
        return self.driver()

    async def write(self, value: str, *, ttl: int = TTL) -> None:
        await asyncio.to_thread(self.server.write, ZONE, RECORD, "CNAME", f"{value}.", ttl=ttl)

    async def put(self, site: str) -> None:
        await self.write(VALUES[site])

    async def put_strange(self) -> None:
        await self.write("elsewhere.example.org")

    async def truth(self) -> str:
        zone = await asyncio.to_thread(self.server.read, ZONE)
        found = zone.get((RECORD, "CNAME"))
        return next((s for s, v in VALUES.items() if found == [f"{v}."]), "")

    async def cut(self) -> None:
        await self.line.cut()

    async def heal(self) -> None:
        await self.line.heal()

    async def lose_answer(self) -> None:
        await self.line.lose_answer()

    async def silence(self) -> None:
        await self.line.silence()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerDns]:
    with powerdns(tmp_path_factory.mktemp("powerdns")) as running:
        running.make_zone(ZONE)
        yield running


@pytest.fixture
async def bench(
    server: PowerDns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OctodnsBench]:
    monkeypatch.setenv(KEY_VARIABLE, server.key)
    async with bad_line(server.api_port, is_change) as line:
        made = OctodnsBench(server, line, tmp_path)
        await made.put(EAST)
        yield made


class TestOctodnsSwitch(AnsweredSwitchSuite):
    """An alias at one target. The server itself is asked as a resolver, too."""


async def test_the_rest_of_the_zone_is_left_alone(bench: OctodnsBench) -> None:
    """Whole-zone plans would delete what the sources do not have, and bring back what is gone."""
    bench.server.write(ZONE, f"www.{ZONE}", "A", "10.0.0.1")
    bench.server.write(ZONE, RECORD.replace("s3", "s3s3"), "CNAME", f"x.{ZONE}.")
    before = bench.server.read(ZONE)
    (bench.file.parent / "zones").mkdir()
    (bench.file.parent / f"zones/{ZONE}.yaml").write_text("gone:\n  type: A\n  value: 10.1.1.1\n")
    driver = bench.driver()
    await driver.apply(await driver.plan(WEST))
    assert bench.server.read(ZONE) == {**before, (RECORD, "CNAME"): [f"west.{ZONE}."]}


async def test_a_record_that_is_not_there_is_made(bench: OctodnsBench) -> None:
    bench.server.write(ZONE, RECORD, "CNAME")
    driver = bench.driver()
    plan = await driver.plan(WEST)
    assert plan.expect == (("provider powerdns", ""),)
    assert plan.findings == (ABSENT,)
    await driver.apply(plan)
    assert await bench.truth() == WEST


async def test_addresses_at_the_name_are_not_replaced_by_an_alias(bench: OctodnsBench) -> None:
    bench.server.write(ZONE, RECORD, "CNAME")
    bench.server.write(ZONE, RECORD, "A", "10.0.0.1")
    try:
        driver = bench.driver()
        (reading,) = (await driver.current()).readings
        assert (reading.site, reading.raw) == ("", "A 10.0.0.1")
        with pytest.raises(SwitchError, match="not a plain CNAME"):
            await driver.plan(WEST)
    finally:
        bench.server.write(ZONE, RECORD, "A")


async def test_a_ttl_above_the_objective_is_a_finding(bench: OctodnsBench) -> None:
    await bench.write(VALUES[EAST], ttl=3600)
    plan = await bench.driver().plan(WEST)
    assert plan.propagation_s == 3600
    assert "3600 s" in plan.findings[0]


async def test_a_wrong_key_is_told_without_it(
    bench: OctodnsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "hunter2hunter2")
    (reading,) = (await bench.driver().current()).readings
    assert "HTTP 401" in reading.error
    assert "hunter2" not in reading.error


async def test_a_missing_variable_is_named(
    bench: OctodnsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(SwitchError, match=KEY_VARIABLE):
        await bench.driver().current()


def with_second(bench: OctodnsBench, line: BadLine) -> None:
    """A second target, behind a line of its own."""
    bench.configure("powerdns, second")
    text = bench.file.read_text()
    first = text[text.index("  powerdns:\n") : text.index("zones:")]
    second = first.replace("powerdns:", "second:").replace(str(bench.line.port), str(line.port))
    bench.file.write_text(text.replace("zones:", f"{second}zones:"))


@pytest.fixture
async def second(server: PowerDns, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    with powerdns(tmp_path_factory.mktemp("second"), key=server.key) as running:
        running.make_zone(ZONE)
        running.write(ZONE, RECORD, "CNAME", f"{VALUES[EAST]}.")
        async with bad_line(running.api_port, is_change) as line:
            yield Pair(running, line)


async def test_two_targets_are_two_places(bench: OctodnsBench, second: Pair) -> None:
    with_second(bench, second.line)
    driver = bench.driver()
    await driver.apply(await driver.plan(WEST))
    vantages = [reading.vantage for reading in (await driver.current()).readings]
    assert vantages == ["provider powerdns", "provider second"]
    assert (await driver.current()).shows(WEST)
    assert second.server.read(ZONE)[RECORD, "CNAME"] == [f"{VALUES[WEST]}."]


async def test_both_targets_are_read_before_one_is_changed(
    bench: OctodnsBench, second: Pair
) -> None:
    with_second(bench, second.line)
    driver = bench.driver()
    plan = await driver.plan(WEST)
    await second.line.cut()
    assert await applied(driver, plan) == "error"
    await second.line.heal()
    second.server.write(ZONE, RECORD, "CNAME", "elsewhere.example.org.")
    assert await applied(driver, plan) == "moved"
    assert await bench.truth() == EAST


async def test_a_second_target_that_fails_leaves_an_unknown(
    bench: OctodnsBench, second: Pair
) -> None:
    with_second(bench, second.line)
    driver = bench.driver()
    plan = await driver.plan(WEST)
    await second.line.lose_answer()
    assert await applied(driver, plan) == "unknown"
    assert (await driver.current()).shows(WEST)


async def test_an_api_that_does_not_end_is_not_waited_for(bench: OctodnsBench) -> None:
    plan = await bench.driver().plan(WEST)
    driver = bench.driver(call_s_max=1.5)
    await bench.silence()
    (reading,) = (await driver.current()).readings
    assert reading == ("provider powerdns", "", "", "its API did not answer within 1.5 s")
    for call in (driver.plan(WEST), driver.apply(plan)):
        with pytest.raises(SwitchError, match=r"within 1\.5 s") as caught:
            await call
        assert not isinstance(caught.value, SwitchUnknown)
    await bench.heal()
    assert await bench.truth() == EAST


async def test_where_not_even_the_configuration_is_read_in_time_it_is_no_empty_answer(
    bench: OctodnsBench,
) -> None:
    with pytest.raises(SwitchError, match="did not answer within 0 s"):
        await bench.driver(call_s_max=0.0).current()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("zones: {}\n", "KeyError"),
        ("not: [closed", "cannot be used"),
        ("providers: {}\nzones: {}\n", "has no zone"),
        (f"providers: {{}}\nzones:\n  {ZONE}.:\n    targets: [nobody]\n", "KeyError"),
        ("providers:\n  x:\n    class: no.such.Provider\nzones: {}\n", "no.such"),
    ],
)
async def test_a_bad_configuration_is_told(
    bench: OctodnsBench, text: str | None, words: str
) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    bench.file.unlink()
    if text is not None:
        bench.file.write_text(text)
    with pytest.raises(SwitchError, match=words) as caught:
        await driver.current()
    assert caught.value.hint
    assert await applied(driver, plan) == "error"


async def test_a_provider_that_may_not_apply_is_told(bench: OctodnsBench) -> None:
    text = bench.file.read_text().replace("zones:", "    apply_disabled: true\nzones:", 1)
    bench.file.write_text(text)
    driver = bench.driver()
    with pytest.raises(SwitchError, match="apply_disabled") as caught:
        await driver.apply(await driver.plan(WEST))
    assert not isinstance(caught.value, SwitchUnknown)
    assert await bench.truth() == EAST
