"""The switch contract on a record of real BIND, changed by signed updates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.config.switches import DnsSwitch, Record, RecordType
from farshore.lab.ports import HOST, held_ports
from farshore.switch.dns import DnsDriver, tsig_key
from farshore.switch.driver import SwitchError, SwitchMoved, SwitchUnknown

from .bad_line import BadLine, bad_line
from .bind_server import RECORD, ZONE, Authority, Named, authority, new_keys, resolver
from .switch_suite import EAST, WEST, AnsweredSwitchSuite

VALUES = {EAST: f"east.{ZONE}", WEST: f"west.{ZONE}"}
ADDRESSES = {EAST: "10.0.0.1", WEST: "10.0.0.2"}
OPCODE_UPDATE = 5
TTL = 5
PROPAGATION_MAX_S = 60.0
IMPATIENT_S = 1.0
POLL_S = 0.05


def is_update(chunk: bytes) -> bool:
    """RFC 1035, 4.1.1: the opcode is in the fifth byte behind the length of a TCP message."""
    return len(chunk) > 4 and (chunk[4] >> 3) & 0xF == OPCODE_UPDATE


class DnsBench:
    """A record of one type at the authority, behind a line that can be made bad."""

    def __init__(
        self, server: Authority, line: BadLine, kind: RecordType, values: dict[str, str]
    ) -> None:
        self.server = server
        self.line = line
        self.kind = kind
        self.values = values
        self.resolvers: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(self.server.keys)

    def source(self) -> DnsSwitch:
        record = Record(RECORD, self.kind, TTL, self.values, self.resolvers)
        address = f"{HOST}:{self.line.port}"
        return DnsSwitch("dns", address, ZONE, record, "switch", "hmac-sha256", "A_VARIABLE")

    def driver(self, **options: float) -> DnsDriver:
        source = self.source()
        key = tsig_key(source, self.server.keys.switch)
        return DnsDriver(source, key, PROPAGATION_MAX_S, **options)

    def impatient(self) -> DnsDriver:
        return self.driver(ask_s_max=IMPATIENT_S, update_s_max=IMPATIENT_S)

    async def write(self, value: str, *, kind: str = "", ttl: int = TTL) -> None:
        await asyncio.to_thread(self.server.write, kind or self.kind, value, ttl=ttl)

    def written(self, value: str) -> str:
        return f"{value}." if self.kind == "CNAME" else value

    async def put(self, site: str) -> None:
        await self.write(self.written(self.values[site]))

    async def put_strange(self) -> None:
        await self.write("elsewhere.example.org." if self.kind == "CNAME" else "10.9.9.9")

    async def read(self) -> list[str]:
        return await asyncio.to_thread(self.server.read, self.kind)

    async def truth(self) -> str:
        found = await self.read()
        return next((s for s, v in self.values.items() if found == [self.written(v)]), "")

    async def cut(self) -> None:
        await self.line.cut()

    async def heal(self) -> None:
        await self.line.heal()

    async def lose_answer(self) -> None:
        await self.line.lose_answer()

    async def silence(self) -> None:
        await self.line.silence()


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority(tmp_path_factory.mktemp("authority")) as running:
        yield running


@pytest.fixture(scope="module")
def cache(bind: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    with resolver(tmp_path_factory.mktemp("resolver"), bind) as running:
        yield running


@pytest.fixture
async def line(bind: Authority) -> AsyncIterator[BadLine]:
    async with bad_line(bind.port, is_update) as made:
        yield made


@pytest.fixture
async def bench(bind: Authority, line: BadLine) -> DnsBench:
    made = DnsBench(bind, line, "CNAME", VALUES)
    await made.put(EAST)
    return made


class TestDnsSwitch(AnsweredSwitchSuite):
    """An alias."""


class TestAddresses(AnsweredSwitchSuite):
    """An address."""

    @pytest.fixture
    async def bench(self, bind: Authority, line: BadLine) -> DnsBench:
        made = DnsBench(bind, line, "A", ADDRESSES)
        await made.put(EAST)
        return made


async def test_ipv6_addresses_are_compared_by_meaning(bind: Authority, line: BadLine) -> None:
    values = {EAST: "2001:db8:0:0::1", WEST: "2001:DB8::2"}
    bench = DnsBench(bind, line, "AAAA", values)
    await bench.put(EAST)
    driver = bench.driver()
    assert (await driver.current()).shows(EAST)
    await driver.apply(await driver.plan(WEST))
    assert await bench.read() == ["2001:db8::2"]
    assert (await driver.plan(WEST)).changes_nothing


async def test_a_change_is_sent_once_and_never_again(bench: DnsBench) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    await bench.lose_answer()
    with pytest.raises(SwitchUnknown):
        await driver.apply(plan)
    assert bench.line.changes == 1


async def test_a_change_made_meanwhile_is_refused_and_shown(bench: DnsBench) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    await bench.put_strange()
    with pytest.raises(SwitchMoved) as caught:
        await driver.apply(plan)
    assert "elsewhere.example.org" in caught.value.message
    assert await bench.read() == ["elsewhere.example.org."]


async def test_a_record_that_is_not_there_is_made(bench: DnsBench) -> None:
    bench.server.write("CNAME")
    driver = bench.driver()
    (reading,) = (await driver.current()).readings
    assert (reading.site, reading.raw, reading.error) == ("", "", "")
    plan = await driver.plan(WEST)
    assert plan.expect == ((reading.vantage, ""),)
    assert plan.propagation_s == 5  # the SOA's last field: how long "there is none" is kept
    await driver.apply(plan)
    assert await bench.read() == [f"west.{ZONE}."]


async def test_a_record_that_was_made_meanwhile_is_not_overwritten(bench: DnsBench) -> None:
    bench.server.write("CNAME")
    driver = bench.driver()
    plan = await driver.plan(WEST)
    await bench.put(EAST)
    with pytest.raises(SwitchMoved):
        await driver.apply(plan)
    assert await bench.truth() == EAST


async def test_an_alias_is_not_put_beside_other_records(bench: DnsBench) -> None:
    """BIND passes such an update over in silence, and answers that all went well."""
    bench.server.write("TXT", "somebody's")
    driver = bench.driver()
    plan = await driver.plan(WEST)
    with pytest.raises(SwitchError, match="no such record of its own") as caught:
        await driver.apply(plan)
    assert not isinstance(caught.value, SwitchUnknown)
    assert await bench.read() == []


async def test_an_alias_where_addresses_are_wanted_is_refused(
    bind: Authority, line: BadLine
) -> None:
    bench = DnsBench(bind, line, "A", ADDRESSES)
    await bench.write(f"east.{ZONE}.", kind="CNAME")
    driver = bench.driver()
    assert (await driver.current()).readings[0].raw == f"CNAME east.{ZONE}"
    with pytest.raises(SwitchError, match="is an alias"):
        await driver.plan(WEST)


async def test_what_a_wildcard_makes_is_not_replaced(bench: DnsBench, bind: Authority) -> None:
    bench.server.write("CNAME")
    bind.write("CNAME", f"east.{ZONE}.", name=f"*.{ZONE}")
    try:
        driver = bench.driver()
        assert (await driver.current()).shows(EAST)
        with pytest.raises(SwitchError, match="no such record of its own"):
            await driver.apply(await driver.plan(WEST))
    finally:
        bind.write("CNAME", name=f"*.{ZONE}")


async def test_several_addresses_are_no_site_and_can_be_replaced(
    bind: Authority, line: BadLine
) -> None:
    bench = DnsBench(bind, line, "A", ADDRESSES)
    bind.write("A", "10.0.0.2", "10.0.0.1")
    driver = bench.driver()
    (reading,) = (await driver.current()).readings
    assert (reading.site, reading.raw) == ("", "10.0.0.1 10.0.0.2")
    plan = await driver.plan(WEST)
    bind.write("A", "10.0.0.2", "10.0.0.9")
    with pytest.raises(SwitchMoved):
        await driver.apply(plan)
    await driver.apply(await driver.plan(WEST))
    assert await bench.truth() == WEST


@pytest.mark.parametrize("wrong", ["secret", "name", "algorithm"])
async def test_a_wrong_key_is_told_with_what_to_compare(bench: DnsBench, wrong: str) -> None:
    source, secret = bench.source(), bench.server.keys.switch
    if wrong == "secret":
        secret = new_keys().switch
    elif wrong == "name":
        source = replace(source, tsig_name="nobody")
    else:
        source = replace(source, tsig_algorithm="hmac-sha512")
    plan = await bench.driver().plan(WEST)
    driver = DnsDriver(source, tsig_key(source, secret), PROPAGATION_MAX_S)
    for call in (driver.current(), driver.plan(WEST), driver.apply(plan), driver.verify(WEST)):
        with pytest.raises(SwitchError) as caught:
            await call
        assert not isinstance(caught.value, SwitchUnknown)
        assert "tsig_secret" in caught.value.hint
        assert secret not in f"{caught.value!r} {caught.value.hint}"
    assert await bench.truth() == EAST


async def test_a_key_without_the_right_is_told(bench: DnsBench) -> None:
    source = bench.source()
    other = replace(source, record=replace(source.record, name=f"www.{ZONE}"))
    driver = DnsDriver(other, tsig_key(other, bench.server.keys.switch), PROPAGATION_MAX_S)
    with pytest.raises(SwitchError, match="REFUSED") as caught:
        await driver.apply(await driver.plan(WEST))
    assert "update-policy" in caught.value.message
    assert bench.server.read(name=f"www.{ZONE}") == []


async def test_a_zone_that_is_not_the_servers_is_told(bench: DnsBench) -> None:
    source = bench.source()
    record = replace(source.record, name="s3.example.org")
    other = replace(source, zone="example.org", record=record)
    driver = DnsDriver(other, tsig_key(other, bench.server.keys.switch), PROPAGATION_MAX_S)
    (reading,) = (await driver.current()).readings
    assert reading.error == "it answers REFUSED"


async def test_a_ttl_above_the_objective_is_a_finding(bench: DnsBench) -> None:
    assert (await bench.driver().plan(WEST)).findings == ()
    assert (await bench.driver().plan(WEST)).propagation_s == TTL
    await bench.write(f"east.{ZONE}.", ttl=3600)
    plan = await bench.driver().plan(WEST)
    (finding,) = plan.findings
    assert "3600 s" in finding
    assert plan.propagation_s == 3600
    assert (await bench.driver().plan(EAST)).findings == (finding,)  # a person should know before


async def test_the_flip_writes_the_ttl_of_the_configuration(bench: DnsBench) -> None:
    await bench.write(f"east.{ZONE}.", ttl=7)
    driver = bench.driver()
    await driver.apply(await driver.plan(WEST))
    assert (await driver.plan(EAST)).propagation_s == TTL


async def test_a_caching_resolver_shows_the_old_site_until_the_ttl_has_passed(
    bench: DnsBench, cache: Named
) -> None:
    bench.resolvers = (cache.address,)
    await bench.write(f"east.{ZONE}.", ttl=2)
    driver = bench.driver()
    assert await _sites(driver) == [EAST, EAST]
    assert len((await driver.current()).readings) == 1
    plan = await driver.plan(WEST)
    await driver.apply(plan)
    assert await _sites(driver) == [WEST, EAST]  # the resolver keeps what it was told
    assert await _shows_in_time(driver, WEST, plan.propagation_s + 1)


async def _shows_in_time(driver: DnsDriver, site: str, seconds: float) -> bool:
    """The cache's own clock ends it, and tells nobody."""
    for _ in range(round(seconds / POLL_S)):
        if (await driver.verify(site)).shows(site):
            return True
        await asyncio.sleep(POLL_S)
    return False


async def _sites(driver: DnsDriver) -> list[str]:
    return [reading.site for reading in (await driver.verify(WEST)).readings]


async def test_a_resolver_that_does_not_answer_is_a_reading_with_its_error(
    bench: DnsBench, cache: Named
) -> None:
    with held_ports(1) as (dead,):  # held, and nobody listens
        bench.resolvers = (cache.address, f"{HOST}:{dead}")
        seen = await bench.impatient().verify(EAST)
    assert [bool(reading.error) for reading in seen.readings] == [False, False, True]
    assert [reading.vantage for reading in seen.readings][1:] == [
        f"resolver {server}" for server in bench.resolvers
    ]
    assert not seen.shows(EAST)


async def test_a_resolver_that_finds_no_authority_says_servfail(
    tmp_path_factory: pytest.TempPathFactory, line: BadLine
) -> None:
    with authority(tmp_path_factory.mktemp("mortal")) as mortal:
        bench = DnsBench(mortal, line, "CNAME", VALUES)
        await bench.put(EAST)
        with resolver(tmp_path_factory.mktemp("orphan"), mortal) as orphan:
            mortal.kill()
            bench.resolvers = (orphan.address,)
            await line.cut()
            authority_says, resolver_says = (await bench.driver().verify(EAST)).readings
    assert "Connect" in authority_says.error
    assert "SERVFAIL" in resolver_says.error


async def test_the_record_survives_the_death_of_the_authority(
    tmp_path: Path,
) -> None:
    with authority(tmp_path) as mortal:
        async with bad_line(mortal.port, is_update) as line:
            bench = DnsBench(mortal, line, "CNAME", VALUES)
            await bench.put(EAST)
            driver = bench.driver()
            await driver.apply(await driver.plan(WEST))
            mortal.kill()
            mortal.start()
            assert (await driver.current()).shows(WEST)
