"""The HAProxy driver on real HAProxies: the suites, several proxies, files that disagree."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from farshore.config.switches import HaproxySwitch, Proxy
from farshore.faultpoints import VARIABLE
from farshore.lab.ports import HOST
from farshore.switch.driver import SwitchDriver, SwitchError, SwitchUnknown
from farshore.switch.export_haproxy import BackSite
from farshore.switch.haproxy import HaproxyDriver
from farshore.switch.haproxy_door import SITE_HEADER
from farshore.switch.haproxy_map import ACTIVE, FROZEN_UNTIL
from farshore.switch.traffic import Traffic, since, traffic
from tests.contract.haproxy_ground import LONG, SITES, driver_of, one_answer, put, seen_at
from tests.contract.haproxy_server import Haproxy, asked, haproxies, switch_of
from tests.contract.runtime_relay import Relay
from tests.contract.switch_suite import EAST, WEST, AnsweredSwitchSuite, FreezerSuite


class HaproxyBench:
    """One proxy behind a bad line to its runtime API."""

    secrets: tuple[str, ...] = ()

    def __init__(self, proxy: Haproxy) -> None:
        self._proxy = proxy
        self.relay = Relay(proxy.socket)

    def driver(self) -> SwitchDriver:
        proxy = Proxy(self.relay.address, str(self._proxy.map), door=self._proxy.url)
        return HaproxyDriver(HaproxySwitch("front", (proxy,)), SITES)

    def impatient(self) -> SwitchDriver:
        return self.driver()

    async def put(self, site: str) -> None:
        put(self._proxy, site)

    async def put_strange(self) -> None:
        put(self._proxy, "mars")

    async def truth(self) -> str:
        return await seen_at(self._proxy)

    async def cut(self) -> None:
        await self.relay.close()

    async def heal(self) -> None:
        await self.relay.heal()

    async def lose_answer(self) -> None:
        self.relay.lose_answer()

    async def silence(self) -> None:
        self.relay.mute()

    async def takes_writes(self) -> bool:
        status, _, _ = await asyncio.to_thread(asked, self._proxy.url, "PUT")
        return status != 503


@pytest.fixture
async def bench(proxies: list[Haproxy]) -> AsyncIterator[HaproxyBench]:
    made = HaproxyBench(proxies[0])
    put(proxies[0], EAST)
    await made.relay.open()
    yield made
    await made.relay.heal()
    await made.relay.close()


class TestHaproxySwitch(AnsweredSwitchSuite):
    pass


class TestHaproxyFreezer(FreezerSuite):
    async def test_a_write_is_told_how_long_to_wait(
        self, bench: HaproxyBench, proxies: list[Haproxy]
    ) -> None:
        await driver_of(proxies[:1]).freeze(LONG, 1234)
        assert await asyncio.to_thread(asked, proxies[0].url, "PUT") == (503, "", "1234")
        for method in ("POST", "DELETE", "PATCH"):
            assert (await asyncio.to_thread(asked, proxies[0].url, method))[0] == 503
        for method in ("GET", "HEAD", "OPTIONS"):
            assert await asyncio.to_thread(asked, proxies[0].url, method) == (403, EAST, "")

    async def test_a_select_reads_and_other_posts_write(
        self, bench: HaproxyBench, proxies: list[Haproxy]
    ) -> None:
        await driver_of(proxies[:1]).freeze(LONG, 1234)
        for query, status in (
            ("select&select-type=2", 403),
            ("delete&select&select-type=2", 503),
            ("uploads", 503),
            ("delete", 503),
        ):
            found = await asyncio.to_thread(asked, proxies[0].url, "POST", f"/b/k?{query}")
            assert found[0] == status, query

    async def test_a_frozen_write_leaves_the_connection_clean(
        self, bench: HaproxyBench, proxies: list[Haproxy]
    ) -> None:
        """Its body has been read, or the answer says that the connection ends: what a client
        sends next is never taken for the body of the write before."""
        await driver_of(proxies[:1]).freeze(LONG, 1234)
        small = b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
        first, second = await asyncio.to_thread(conversation, proxies[0], small, GET)
        assert first.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" not in first
        assert second.startswith(b"HTTP/1.1 403 ")
        expecting = (
            b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
        )
        first, second = await asyncio.to_thread(conversation, proxies[0], expecting, GET)
        assert first.startswith(b"HTTP/1.1 503 ")
        assert b"<Code>SlowDown</Code>" in first
        assert b"connection: close" in first
        assert second == b""


GET = b"GET /b/k HTTP/1.1\r\nhost: x\r\n\r\n"


def conversation(proxy: Haproxy, *requests: bytes) -> list[bytes]:
    """What comes for each request on one connection; b"" once it has been closed."""
    answers = []
    with socket.create_connection((HOST, proxy.port), timeout=10) as line:
        for request in requests:
            try:
                line.sendall(request)
                answers.append(one_answer(line))
            except ConnectionError:
                answers.append(b"")
    return answers


# -- several proxies ---------------------------------------------------------------------


async def test_three_proxies_and_three_files(three: list[Haproxy]) -> None:
    driver = driver_of(three)
    plan = await driver.plan(WEST)
    assert len(plan.lines) == len(plan.expect) == 6
    assert plan.findings == ()
    await driver.apply(plan)
    assert [await seen_at(proxy) for proxy in three] == [WEST] * 3
    assert all(f"{ACTIVE} {WEST}\n" in proxy.map.read_text() for proxy in three)


async def test_one_dead_proxy_of_three_stops_a_flip_before_it_begins(three: list[Haproxy]) -> None:
    driver = driver_of(three)
    plan = await driver.plan(WEST)
    three[1].kill()
    (unknown,) = (await driver.current()).unknown
    assert unknown.vantage == f"proxy {three[1].socket}"
    with pytest.raises(SwitchError) as caught:
        await driver.apply(plan)
    assert not isinstance(caught.value, SwitchUnknown)
    assert three[1].socket in caught.value.message
    assert [await seen_at(three[0]), await seen_at(three[2])] == [EAST, EAST]
    three[1].start()
    assert (await driver.current()).shows(EAST)


async def test_one_that_dies_in_the_middle_is_unknown_and_comes_back_flipped(
    three: list[Haproxy],
) -> None:
    relay = Relay(three[1].socket)
    await relay.open()
    source = switch_of(three)
    far = replace(source.proxies[1], socket=relay.address)
    driver = HaproxyDriver(
        replace(source, proxies=(source.proxies[0], far, source.proxies[2])), SITES
    )
    plan = await driver.plan(WEST)
    relay.lose_answer()
    with pytest.raises(SwitchUnknown) as caught:
        await driver.apply(plan)
    assert "2 of 3" in caught.value.message
    assert relay.address in caught.value.message
    three[1].kill()
    assert (await driver.current()).site == ""
    three[1].start()
    assert (await driver.current()).shows(WEST)
    await relay.close()


async def test_a_thaw_reaches_those_that_answer(three: list[Haproxy]) -> None:
    driver = driver_of(three)
    await driver.freeze(LONG, 5000)
    assert all(vantage.frozen for vantage in await driver.frozen())
    three[2].kill()
    with pytest.raises(SwitchUnknown):
        await driver.thaw()
    assert [(f.frozen, bool(f.error)) for f in await driver.frozen()] == [
        (False, False),
        (False, False),
        (False, True),
    ]
    three[2].start()  # its file was thawed: so is what starts from it
    assert not any(vantage.frozen or vantage.error for vantage in await driver.frozen())


async def test_no_freeze_while_one_does_not_answer(three: list[Haproxy]) -> None:
    driver = driver_of(three)
    three[2].kill()
    with pytest.raises(SwitchError) as caught:
        await driver.freeze(LONG, 5000)
    assert not isinstance(caught.value, SwitchUnknown)
    assert not any(vantage.frozen for vantage in await driver.frozen())
    assert all(f"{FROZEN_UNTIL} 0" in proxy.map.read_text() for proxy in three)


# -- what is seen from outside ----------------------------------------------------------


async def test_a_write_from_before_a_reload_is_in_no_count_and_said(
    three: list[Haproxy],
) -> None:
    """The old worker carries it to the old site, and the new one knows nothing of it."""
    driver = driver_of(three[:1])
    with socket.create_connection((HOST, three[0].port), timeout=10) as line:
        line.sendall(b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhe")
        await counted(driver, 1)
        old = three[0].worker()
        await asyncio.to_thread(three[0].reload)
        (finding,) = (await driver.plan(WEST)).findings
        assert f"a reload is not over, process {old} is still at work" in finding
        with pytest.raises(SwitchError, match="cannot be counted"):
            await driver.writes_in_flight(EAST)
        line.sendall(b"llo")
        assert f"{SITE_HEADER}: {EAST}".encode() in await asyncio.to_thread(one_answer, line)
    await counted(driver, 0)
    assert (await driver.plan(WEST)).findings == ()


async def counted(driver: HaproxyDriver, wanted: int) -> None:
    """Until so many writes are in flight to east; while nobody can say, it is not so yet."""
    for _ in range(500):
        with suppress(SwitchError):
            if await driver.writes_in_flight(EAST) == wanted:
                return
        await asyncio.sleep(0.02)  # the proxy tells nobody
    raise AssertionError(f"there never were {wanted} writes in flight")


async def test_a_site_that_the_proxy_finds_down_is_a_finding(proxies: list[Haproxy]) -> None:
    with haproxies((proxies[0].sites[0], BackSite(WEST, "http://127.0.0.1:1")), 1) as (proxy,):
        driver = driver_of([proxy])
        for _ in range(400):
            if len(await driver.shut_to(WEST)) == 2:
                break
            await asyncio.sleep(0.02)  # HAProxy's health check tells nobody
        plan = await driver.plan(WEST)
        assert any(f"finds {WEST}-r down" in text for text in plan.findings)
        read, write = await driver.shut_to(WEST)
        assert f"finds {WEST}-r down" in read
        assert f"finds {WEST}-w down" in write
        assert await driver.shut_to(EAST) == ()
        await driver.apply(plan)  # a finding is for people; they may still want it
        assert await asyncio.to_thread(asked, proxy.url) == (503, WEST, "1000")


async def test_a_door_that_is_none_of_theirs_is_noticed(three: list[Haproxy]) -> None:
    """It is asked before a flip, and after it: what the maps say is not what clients see."""
    source = switch_of(three[:1])
    wrong = replace(source.proxies[0], door=three[1].url)
    driver = HaproxyDriver(replace(source, proxies=(wrong,)), SITES)
    plan = await driver.plan(WEST)
    assert plan.findings == ()
    with pytest.raises(SwitchUnknown) as caught:
        await driver.apply(plan)
    assert f"door {three[1].url}: {EAST}" in caught.value.message
    with pytest.raises(SwitchError) as unchanged:
        await driver.apply(plan)
    assert not isinstance(unchanged.value, SwitchUnknown)
    assert "it has another configuration" in (await driver.plan(EAST)).findings[0]


async def test_a_door_that_does_not_answer_is_a_finding(three: list[Haproxy]) -> None:
    source = switch_of(three[:1])
    dead = replace(source.proxies[0], door="http://127.0.0.1:1")
    driver = HaproxyDriver(replace(source, proxies=(dead,)), SITES)
    (finding,) = (await driver.plan(WEST)).findings
    assert finding.startswith("door http://127.0.0.1:1 does not answer: ")
    (unknown,) = (await driver.verify(EAST)).unknown
    assert unknown.vantage == "door http://127.0.0.1:1"


async def test_requests_are_counted_for_each_site_over_all_proxies(three: list[Haproxy]) -> None:
    driver = driver_of(three)
    before = await traffic([driver])
    for proxy in three:
        put(proxy, EAST)
        await asyncio.to_thread(asked, proxy.url)
    put(three[0], WEST)
    for method in ("GET", "PUT"):
        await asyncio.to_thread(asked, three[0].url, method)
    now = await traffic([driver])
    assert since(before[EAST], now[EAST]) == Traffic(EAST, len(three), 0)
    assert since(before[WEST], now[WEST]) == Traffic(WEST, 2, 0)


# -- killed in the middle ----------------------------------------------------------------

FLIP = """
import asyncio, sys
from farshore.config.switches import HaproxySwitch, Proxy
from farshore.switch.haproxy import HaproxyDriver
from farshore.switch.haproxy_door import SITE_HEADER

async def flip(socket, map_path):
    driver = HaproxyDriver(HaproxySwitch("front", (Proxy(socket, map_path),)), ("east", "west"))
    await driver.apply(await driver.plan("west"))

asyncio.run(flip(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("place", "running"), [("haproxy.file.written", EAST), ("haproxy.map.set", WEST)]
)
async def test_killed_in_the_middle(three: list[Haproxy], place: str, running: str) -> None:
    """The file holds what is wanted; `current` tells the truth, and the same flip ends it."""
    proxy = three[0]
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLIP, proxy.socket, str(proxy.map), env=os.environ | {VARIABLE: place}
    )
    assert await killed.wait() == -signal.SIGKILL
    driver = driver_of([proxy])
    assert [reading.site for reading in (await driver.current()).readings] == [running, WEST]
    assert await seen_at(proxy) == running
    await driver.apply(await driver.plan(WEST))
    assert (await driver.current()).shows(WEST)
    assert await seen_at(proxy) == WEST
