"""The HAProxy driver and its map files: those that disagree, are gone, or hold something else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.config.switches import HaproxySwitch, Proxy
from farshore.switch.driver import SwitchError, SwitchMoved, SwitchUnknown
from farshore.switch.haproxy import HaproxyDriver
from farshore.switch.haproxy_map import ACTIVE, MAP_BYTES_MAX, MapFile
from tests.contract.haproxy_ground import LONG, SITES, driver_of, put, seen_at
from tests.contract.haproxy_server import Haproxy, asked, switch_of
from tests.contract.switch_suite import EAST, WEST

# -- the map file ------------------------------------------------------------------------


def test_lines_of_others_are_written_again_as_they_were(tmp_path: Path) -> None:
    """A line ends with a line feed, and nothing else ends one."""
    others = b"# \xff \x0c kept\nother\x0b1 7\r\n\n\xc2\x85key \xe2\x80\xa8 8\n"
    path = tmp_path / "farshore.map"
    path.write_bytes(others + f"{ACTIVE} {EAST}\n".encode())
    draft = MapFile(str(path)).draft({ACTIVE: WEST})
    assert draft is not None
    draft.put()
    assert path.read_bytes() == others + f"{ACTIVE} {WEST}\n".encode()
    assert MapFile(str(path)).draft({ACTIVE: WEST}) is None


def test_a_file_that_is_too_large_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "farshore.map"
    whole = f"{ACTIVE} {EAST}\n".encode() + b"other 7\n" * (MAP_BYTES_MAX // 8)
    path.write_bytes(whole)
    with pytest.raises(SwitchError, match="larger than"):
        MapFile(str(path)).draft({ACTIVE: WEST})
    assert path.read_bytes() == whole


async def test_a_reload_keeps_the_flip_and_the_freeze(three: list[Haproxy]) -> None:
    driver = driver_of(three[:1])
    await driver.freeze(LONG, 5000)
    await driver.apply(await driver.plan(WEST))
    await asyncio.to_thread(three[0].reload)
    assert (await driver.current()).shows(WEST)
    assert [vantage.frozen for vantage in await driver.frozen()] == [True]
    assert await seen_at(three[0]) == WEST


async def test_a_file_that_says_something_else_is_seen_and_mended(three: list[Haproxy]) -> None:
    three[0].map.write_text(f"# ours\nother 7\n{ACTIVE} {WEST}\n\n")
    driver = driver_of(three[:1])
    found = await driver.current()
    assert [reading.site for reading in found.readings] == [EAST, WEST]
    assert found.site == ""
    plan = await driver.plan(EAST)
    assert len(plan.lines) == 1
    assert "a reload would move clients" in plan.findings[0]
    await driver.apply(plan)
    assert three[0].map.read_text() == f"# ours\nother 7\n{ACTIVE} {EAST}\n\n"


async def test_a_file_that_is_gone_is_said_and_written_anew(three: list[Haproxy]) -> None:
    three[0].map.unlink()
    driver = driver_of(three[:1])
    gone = (await driver.current()).readings[1]
    assert (gone.site, gone.raw, gone.error) == ("", "", "")
    plan = await driver.plan(WEST)
    assert "is gone" in plan.findings[0]
    assert f"map file {three[0].map}: nothing becomes {WEST}" in plan.lines
    await driver.apply(plan)
    assert three[0].map.read_text() == f"{ACTIVE} {WEST}\n"
    assert (await driver.current()).shows(WEST)


async def test_a_file_that_cannot_be_written_leaves_everything_as_it_was(
    three: list[Haproxy], tmp_path: Path
) -> None:
    driver = driver_of(three[:2])
    plan = await driver.plan(WEST)
    blocked = three[1].map
    kept = blocked.rename(tmp_path / "kept")
    blocked.mkdir()
    with pytest.raises(SwitchError) as caught:
        await driver.apply(plan)
    assert not isinstance(caught.value, SwitchUnknown)
    assert str(blocked) in caught.value.message
    assert [await seen_at(proxy) for proxy in three[:2]] == [EAST, EAST]
    assert f"{ACTIVE} {EAST}" in three[0].map.read_text()
    blocked.rmdir()
    kept.rename(blocked)
    assert sorted(p.name for p in blocked.parent.iterdir()) == sorted(
        ["api.sock", "farshore.map", "haproxy.cfg", "log"]
    )


async def test_mode_and_links_of_the_file_stay(three: list[Haproxy]) -> None:
    three[0].map.chmod(0o640)
    driver = driver_of(three[:1])
    await driver.apply(await driver.plan(WEST))
    assert three[0].map.stat().st_mode & 0o777 == 0o640


async def test_a_remote_file_is_not_touched_and_said(three: list[Haproxy]) -> None:
    source = switch_of(three[:1])
    driver = HaproxyDriver(
        replace(source, proxies=(replace(source.proxies[0], remote=True),)), SITES
    )
    before = three[0].map.read_text()
    plan = await driver.plan(WEST)
    assert "a reload there returns clients" in plan.findings[0]
    await driver.apply(plan)
    assert await seen_at(three[0]) == WEST
    assert three[0].map.read_text() == before


async def test_two_proxies_of_one_file(three: list[Haproxy]) -> None:
    """Two workers on one machine may read the same file: it is one place."""
    driver = HaproxyDriver(HaproxySwitch("front", (three[0].proxy, three[0].proxy)), SITES)
    plan = await driver.plan(WEST)
    assert len(plan.expect) == 3
    await driver.apply(plan)
    assert (await driver.current()).shows(WEST)


# -- bad values --------------------------------------------------------------------------


async def test_an_unknown_site_in_the_map_is_shown(three: list[Haproxy]) -> None:
    three[0].ask(f"set map {three[0].map} {ACTIVE} mars")
    reading = (await driver_of(three[:1]).current()).readings[0]
    assert (reading.site, reading.raw, reading.error) == ("", "mars", "")
    status, site, wait = await asyncio.to_thread(asked, three[0].url)
    assert (status, site, wait) == (503, "", "1000")


async def test_a_key_that_stands_twice_is_no_site_until_it_is_set(three: list[Haproxy]) -> None:
    three[0].ask(f"add map {three[0].map} {ACTIVE} {WEST}")
    driver = driver_of(three[:1])
    reading = (await driver.current()).readings[0]
    assert (reading.site, reading.raw) == ("", f"{EAST}, {WEST}")
    await driver.apply(await driver.plan(WEST))
    assert (await driver.current()).shows(WEST)


async def test_a_map_without_our_key_gets_it(three: list[Haproxy]) -> None:
    three[0].ask(f"clear map {three[0].map}")
    driver = driver_of(three[:1])
    assert (await driver.current()).readings[0].raw == ""
    await driver.apply(await driver.plan(WEST))
    assert await seen_at(three[0]) == WEST


async def test_a_map_that_the_proxy_does_not_use(three: list[Haproxy], tmp_path: Path) -> None:
    wrong = HaproxySwitch("front", (Proxy(three[0].socket, str(tmp_path / "a b;c.map")),))
    driver = HaproxyDriver(wrong, SITES)
    (unknown,) = (await driver.current()).unknown
    assert "Unknown map identifier" in unknown.error
    with pytest.raises(SwitchError):
        await driver.plan(WEST)
    with pytest.raises(SwitchError):
        await driver.freeze(LONG, 5000)


async def test_somebody_else_moved_one_of_three(three: list[Haproxy]) -> None:
    driver = driver_of(three)
    plan = await driver.plan(WEST)
    put(three[2], "mars")
    with pytest.raises(SwitchMoved):
        await driver.apply(plan)
    assert [await seen_at(proxy) for proxy in three] == [EAST, EAST, ""]
