"""The conformance suites of `farshore.switch.driver`: every driver, on its real server.

A test file subclasses one of the suites and gives the fixture `bench`, which stands at
`EAST`; the sites are `EAST` and `WEST`.

    SwitchSuite            every driver
    └── AnsweredSwitchSuite    drivers that ask a server: an answer can be lost, or never come
    FreezerSuite           beside it, for drivers that are a `Freezer`
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

import pytest

from farshore.switch.driver import (
    DriverPlan,
    Freezer,
    Reading,
    SwitchDriver,
    SwitchError,
    SwitchMoved,
    SwitchUnknown,
)

EAST, WEST = "east", "west"
NOWHERE = "nowhere"
"""No site of the pair."""

CALL_SECONDS_MAX = 60.0
"""More than any driver may need for one call, a silent server included."""


class Bench(Protocol):
    """One thing that sends clients somewhere, seen past every driver. It closes its drivers."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: keys, passwords. Empty where the driver has none."""
        ...

    def driver(self) -> SwitchDriver:
        """A new driver, as another process would have one. All of them have the same name."""
        ...

    async def put(self, site: str) -> None:
        """Somebody else sends clients to that site."""
        ...

    async def put_strange(self) -> None:
        """Somebody else writes a value that stands for no site."""
        ...

    async def truth(self) -> str:
        """The site that clients are sent to; "" when that is none of the pair."""
        ...

    async def cut(self) -> None:
        """Nothing can be read or written until `heal`; what stands there stays."""
        ...

    async def heal(self) -> None:
        """`cut` and what an answered bench broke are over."""
        ...


class AnsweredBench(Bench, Protocol):
    """A thing behind a line that can be made bad."""

    async def lose_answer(self) -> None:
        """The next change is carried out; its answer is lost. What follows is answered."""
        ...

    async def silence(self) -> None:
        """Connections are taken and requests are read, and nothing is answered, until `heal`."""
        ...

    def impatient(self) -> SwitchDriver:
        """A driver that waits for an answer no longer than a test should, where it can be told."""
        ...


class FreezerBench(Bench, Protocol):
    """A thing that can ask writes to wait."""

    async def takes_writes(self) -> bool:
        """Whether a client's write is let through now, tried as a client."""
        ...


async def applied(driver: SwitchDriver, plan: DriverPlan) -> str:
    """ "done", "unknown", "moved" or "error": how `apply` ended."""
    try:
        async with asyncio.timeout(CALL_SECONDS_MAX):
            await driver.apply(plan)
    except SwitchUnknown:
        return "unknown"
    except SwitchMoved:
        return "moved"
    except SwitchError:
        return "error"
    return "done"


def _said(error: SwitchError | SwitchMoved) -> str:
    return f"{error!r} {error} {error.hint} {error.__cause__!r}"


def _is_a_finding_of_nothing(reading: Reading) -> bool:
    return bool(reading.error) and not reading.site and not reading.raw


async def stands(bench: Bench, driver: SwitchDriver, site: str) -> None:
    """Everybody agrees: the thing itself, `current` and `verify`."""
    assert await bench.truth() == site
    assert (await driver.current()).shows(site)
    seen = await driver.verify(site)
    assert seen.shows(site), seen


class SwitchSuite:
    """All of the contract that needs no line to break."""

    # -- current ---------------------------------------------------------------------

    @pytest.mark.parametrize("site", [EAST, WEST])
    async def test_current_shows_where_clients_go(self, bench: Bench, site: str) -> None:
        await bench.put(site)
        found = await bench.driver().current()
        assert found.shows(site)
        assert all(reading.vantage and reading.raw for reading in found.readings)

    async def test_vantages_are_the_same_at_every_call(self, bench: Bench) -> None:
        first = await bench.driver().current()
        await bench.put(WEST)
        second = await bench.driver().current()
        assert [r.vantage for r in first.readings] == [r.vantage for r in second.readings]
        assert len({r.vantage for r in first.readings}) == len(first.readings)

    async def test_a_strange_value_is_no_site_and_no_error(self, bench: Bench) -> None:
        await bench.put_strange()
        found = await bench.driver().current()
        assert found.site == ""
        strange = [reading for reading in found.readings if not reading.site]
        assert strange
        assert all(reading.raw and not reading.error for reading in strange)

    # -- plan ------------------------------------------------------------------------

    async def test_a_plan_says_what_will_change_and_changes_nothing(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        assert (plan.driver, plan.to) == (driver.name, WEST)
        assert plan.lines
        assert not plan.changes_nothing
        assert plan.propagation_s >= 0
        raws = {reading.vantage: reading.raw for reading in (await driver.current()).readings}
        assert plan.expect
        assert all(raws[vantage] == raw for vantage, raw in plan.expect)
        await stands(bench, driver, EAST)

    async def test_a_plan_to_where_it_stands_changes_nothing(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(EAST)
        assert plan.changes_nothing
        assert plan.expect
        await driver.apply(plan)
        await stands(bench, driver, EAST)

    async def test_the_same_plan_twice_is_equal(self, bench: Bench) -> None:
        assert await bench.driver().plan(WEST) == await bench.driver().plan(WEST)

    async def test_no_plan_to_what_is_no_site(self, bench: Bench) -> None:
        with pytest.raises(SwitchError) as caught:
            await bench.driver().plan(NOWHERE)
        assert NOWHERE in caught.value.message
        assert await bench.truth() == EAST

    # -- apply -----------------------------------------------------------------------

    async def test_there_and_back(self, bench: Bench) -> None:
        driver = bench.driver()
        for site in (WEST, EAST, WEST):
            await driver.apply(await driver.plan(site))
            await stands(bench, driver, site)

    async def test_applied_twice_is_no_error(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        await driver.apply(plan)
        await driver.apply(plan)
        await stands(bench, driver, WEST)

    async def test_somebody_else_did_the_same_meanwhile(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        await bench.put(WEST)
        await driver.apply(plan)
        await stands(bench, driver, WEST)

    async def test_somebody_else_went_elsewhere_meanwhile(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        await bench.put_strange()
        before = await driver.current()
        with pytest.raises(SwitchMoved):
            await driver.apply(plan)
        assert await driver.current() == before
        assert await bench.truth() == ""

    async def test_a_plan_that_changes_nothing_holds_what_it_saw(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(EAST)
        await bench.put(WEST)
        with pytest.raises(SwitchMoved):
            await driver.apply(plan)
        await stands(bench, driver, WEST)

    async def test_a_strange_value_can_be_replaced_on_purpose(self, bench: Bench) -> None:
        await bench.put_strange()
        driver = bench.driver()
        plan = await driver.plan(EAST)
        assert not plan.changes_nothing
        await driver.apply(plan)
        await stands(bench, driver, EAST)

    async def test_two_at_once(self, bench: Bench) -> None:
        await bench.put_strange()
        first, second = bench.driver(), bench.driver()
        plans = (await first.plan(EAST), await second.plan(WEST))
        ends = await asyncio.gather(applied(first, plans[0]), applied(second, plans[1]))
        truth = await bench.truth()
        found = await bench.driver().current()
        if first.traits.cas:
            assert sorted(ends) == ["done", "moved"]
            assert truth == found.site == (EAST, WEST)[ends.index("done")]
        else:  # what keeps others out is the lock around it; no place may be hidden, though
            assert set(ends) <= {"done", "moved", "unknown"}
            assert "done" in ends or "unknown" in ends
            assert truth in {reading.site for reading in found.readings}
        await first.apply(await first.plan(WEST))
        await stands(bench, second, WEST)

    # -- verify ----------------------------------------------------------------------

    async def test_verify_shows_what_stands_and_not_what_is_wished(self, bench: Bench) -> None:
        seen = await bench.driver().verify(WEST)
        assert not seen.shows(WEST)
        assert seen.shows(EAST)

    # -- unreachable -----------------------------------------------------------------

    async def test_what_cannot_be_asked_is_a_reading_with_its_error(self, bench: Bench) -> None:
        driver = bench.driver()
        vantages = [reading.vantage for reading in (await driver.current()).readings]
        await bench.cut()
        found = await driver.current()
        assert [reading.vantage for reading in found.readings] == vantages
        assert found.unknown
        assert all(map(_is_a_finding_of_nothing, found.unknown))
        assert found.site == ""
        await bench.heal()
        await stands(bench, driver, EAST)

    async def test_unreachable_is_no_plan_and_no_change(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        await bench.cut()
        with pytest.raises(SwitchError) as caught:
            await driver.plan(WEST)
        assert not isinstance(caught.value, SwitchUnknown)
        assert caught.value.hint
        assert await applied(driver, plan) == "error"
        await bench.heal()
        await stands(bench, driver, EAST)
        await driver.apply(plan)
        await stands(bench, driver, WEST)

    async def test_verify_of_the_unreachable_shows_nothing(self, bench: Bench) -> None:
        await bench.cut()
        seen = await bench.driver().verify(EAST)
        assert not seen.shows(EAST)
        assert seen.unknown
        await bench.heal()

    # -- secrets and the end ---------------------------------------------------------

    async def test_no_secret_is_ever_shown(self, bench: Bench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        shown = [repr(driver), repr(plan), repr(await driver.current())]
        await bench.put_strange()
        with pytest.raises(SwitchMoved) as moved:
            await driver.apply(plan)
        await bench.cut()
        with pytest.raises(SwitchError) as failed:
            await driver.plan(WEST)
        shown += [_said(moved.value), _said(failed.value), repr(await driver.verify(WEST))]
        await bench.heal()
        for secret in bench.secrets:
            assert secret not in " ".join(shown)

    async def test_closed_twice(self, bench: Bench) -> None:
        driver = bench.driver()
        await driver.current()
        await driver.aclose()
        await driver.aclose()


class AnsweredSwitchSuite(SwitchSuite):
    """Drivers that ask a server: "applied, but the answer was lost", and a server that is mute."""

    async def test_a_lost_answer_is_unknown_or_read_again(self, bench: AnsweredBench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        await bench.lose_answer()
        assert await applied(driver, plan) in ("done", "unknown")
        await bench.heal()
        assert await bench.truth() == WEST
        assert (await driver.current()).shows(WEST)
        assert (await bench.driver().current()).shows(WEST)

    async def test_after_a_lost_answer_the_same_plan_succeeds(self, bench: AnsweredBench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        await bench.lose_answer()
        await applied(driver, plan)
        await bench.heal()
        await driver.apply(plan)
        await stands(bench, driver, WEST)

    async def test_after_a_lost_answer_the_way_back_is_open(self, bench: AnsweredBench) -> None:
        driver = bench.driver()
        plan = await driver.plan(WEST)
        await bench.lose_answer()
        await applied(driver, plan)
        await bench.heal()
        again = await driver.plan(WEST)
        assert again.changes_nothing
        await driver.apply(again)
        await driver.apply(await driver.plan(EAST))
        await stands(bench, driver, EAST)

    async def test_a_mute_server_is_not_waited_for_forever(self, bench: AnsweredBench) -> None:
        driver = bench.impatient()
        plan = await driver.plan(WEST)
        await bench.silence()
        async with asyncio.timeout(CALL_SECONDS_MAX):
            found = await driver.current()
        assert found.unknown
        assert found.site == ""
        ended = await applied(driver, plan)
        await bench.heal()
        assert ended in ("error", "unknown")
        truth = await bench.truth()
        assert (await bench.driver().current()).site == truth
        assert truth == EAST or ended == "unknown"


class FreezerSuite:
    """Drivers that can ask writes to wait."""

    RETRY_AFTER_MS = 5000
    LONG_S = 300.0
    SHORT_S = 1.0
    POLL_S = 0.05
    POLLS_MAX = 200

    async def _freeze(self, freezer: Freezer, seconds: float = LONG_S) -> None:
        await freezer.freeze(time.time() + seconds, self.RETRY_AFTER_MS)

    async def test_freeze_and_thaw(self, bench: FreezerBench) -> None:
        driver = bench.driver()
        assert driver.traits.freezes
        freezer = cast("Freezer", driver)
        await self._is(bench, freezer, frozen=False)
        for _ in range(2):
            await self._freeze(freezer)
            await self._is(bench, freezer, frozen=True)
        for _ in range(2):
            await freezer.thaw()
            await self._is(bench, freezer, frozen=False)

    async def _is(self, bench: FreezerBench, freezer: Freezer, *, frozen: bool) -> None:
        assert await bench.takes_writes() is not frozen
        said = await freezer.frozen()
        assert said
        assert {(vantage.frozen, vantage.error) for vantage in said} == {(frozen, "")}

    async def test_a_freeze_outlives_the_flip_and_the_driver(self, bench: FreezerBench) -> None:
        driver = bench.driver()
        await self._freeze(cast("Freezer", driver))
        await driver.apply(await driver.plan(WEST))
        await stands(bench, driver, WEST)
        await driver.aclose()
        another = cast("Freezer", bench.driver())
        await self._is(bench, another, frozen=True)
        await another.thaw()
        await self._is(bench, another, frozen=False)

    async def test_a_freeze_ends_by_itself(self, bench: FreezerBench) -> None:
        freezer = cast("Freezer", bench.driver())
        loop = asyncio.get_running_loop()
        frozen_at = loop.time()
        await self._freeze(freezer, self.SHORT_S)
        taken = await bench.takes_writes()  # on a busy machine the answer may come after the limit
        assert not taken or loop.time() - frozen_at >= self.SHORT_S
        for _ in range(self.POLLS_MAX):
            if await bench.takes_writes():
                break
            await asyncio.sleep(self.POLL_S)  # the server's own clock ends it, and tells nobody
        await self._is(bench, freezer, frozen=False)

    async def test_freezing_again_moves_the_limit(self, bench: FreezerBench) -> None:
        freezer = cast("Freezer", bench.driver())
        await self._freeze(freezer)
        await self._freeze(freezer, -1.0)
        await self._is(bench, freezer, frozen=False)
        await self._freeze(freezer)
        await self._is(bench, freezer, frozen=True)

    async def test_a_freeze_moves_nobody(self, bench: FreezerBench) -> None:
        driver = bench.driver()
        before = await driver.current()
        await self._freeze(cast("Freezer", driver))
        assert await driver.current() == before

    async def test_nothing_flies_where_nobody_writes(self, bench: FreezerBench) -> None:
        freezer = cast("Freezer", bench.driver())
        assert await freezer.writes_in_flight(EAST) == 0
        assert await freezer.cut_writes(EAST) == 0
        assert await freezer.writes_in_flight(WEST) == 0

    async def test_what_cannot_be_asked_is_not_frozen_nor_thawed(self, bench: FreezerBench) -> None:
        freezer = cast("Freezer", bench.driver())
        await bench.cut()
        said = await freezer.frozen()
        assert said
        assert any(vantage.error and not vantage.frozen for vantage in said)
        for call in (self._freeze(freezer), freezer.thaw()):
            with pytest.raises(SwitchError):
                await call
        for count in (freezer.writes_in_flight(EAST), freezer.cut_writes(EAST)):
            with pytest.raises(SwitchError):
                await count
        await bench.heal()
        await self._is(bench, freezer, frozen=False)
