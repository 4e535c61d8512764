"""Several drivers as one switch: what is shown, what is planned, and flips that go wrong."""

from __future__ import annotations

import pytest

from farshore.errors import Refused
from farshore.switch.driver import SwitchDriver, SwitchError, SwitchMoved
from farshore.switch.flip import PartialFlip, flip, plan_flip, survey
from farshore.testing.switch import MemoryDriver

VALUES = {"east": "e.example.net", "west": "w.example.net"}


def proxies(site: str = "east") -> MemoryDriver:
    value = VALUES[site]
    return MemoryDriver("proxies", VALUES, {"proxy 1": value, "proxy 2": value, "proxy 3": value})


def dns(site: str = "east") -> MemoryDriver:
    return MemoryDriver("dns", VALUES, {"authority": VALUES[site]}, ttl_s=30.0)


async def no_sleep(_: float) -> None:
    return


@pytest.mark.parametrize(
    ("first", "second", "state", "site"),
    [("east", "east", "settled", "east"), ("west", "east", "partial", "")],
)
async def test_what_all_drivers_show(first: str, second: str, state: str, site: str) -> None:
    view = await survey([proxies(first), dns(second)])
    assert (view.state, view.site) == (state, site)


async def test_one_silent_place_makes_the_whole_unknown_and_names_it() -> None:
    front = proxies()
    front.unreachable.add("proxy 2")
    view = await survey([front, dns()])
    assert view.state == "unknown"
    assert "proxy 2: it does not answer" in view.sentence()


async def test_a_value_that_is_no_site_of_ours_is_shown_as_it_stands() -> None:
    front = proxies()
    front.put("proxy 1", "old.example.org")
    view = await survey([front])
    assert view.state == "foreign"
    assert "old.example.org" in view.sentence()


async def test_a_place_that_was_never_set_is_no_foreign_one() -> None:
    names = dns()
    names.put("authority", "")
    view = await survey([names])
    assert (view.state, view.site) == ("unset", "")
    assert view.sentence() == "never set: dns (authority: nothing)"
    view = await survey([proxies(), names])
    assert (view.state, view.site) == ("unset", "")
    assert view.sentence().startswith("not set everywhere yet: proxies shows east; dns (")
    other = proxies()
    other.put("proxy 1", VALUES["west"])
    assert (await survey([other, names])).state == "partial", "two sites are worse than none"


async def test_without_drivers_there_is_no_switch() -> None:
    assert (await survey([])).sentence() == "no switch is configured"


async def test_a_flip_moves_every_driver_in_order() -> None:
    drivers: list[SwitchDriver] = [proxies(), dns()]
    plan = await plan_flip(drivers, "west")
    assert plan.propagation_s == 30.0
    said: list[str] = []
    view = await flip(drivers, plan, said.append)
    assert (view.state, view.site) == ("settled", "west")
    assert said == ["proxies shows west", "dns shows west"]


async def test_a_flip_to_where_it_stands_changes_nothing_and_succeeds() -> None:
    drivers = [proxies("west"), dns("west")]
    plan = await plan_flip(drivers, "west")
    assert plan.changes_nothing
    assert (await flip(drivers, plan)).site == "west"


async def test_the_digest_changes_with_what_would_be_changed() -> None:
    one = await plan_flip([proxies(), dns()], "west")
    same = await plan_flip([proxies(), dns()], "west")
    other = await plan_flip([proxies(), dns("west")], "west")
    assert one.digest == same.digest != other.digest


async def test_a_lost_answer_is_read_again_and_counts_as_done() -> None:
    front, names = proxies(), dns()
    front.lose_answer = True
    plan = await plan_flip([front, names], "west")
    assert (await flip([front, names], plan, sleep=no_sleep)).site == "west"


async def test_a_refusal_of_the_first_driver_leaves_everything_untouched() -> None:
    front, names = proxies(), dns()
    plan = await plan_flip([front, names], "west")
    front.put("proxy 3", "old.example.org")
    with pytest.raises(SwitchMoved):
        await flip([front, names], plan, sleep=no_sleep)
    assert (await survey([names])).site == "east"
    assert front.applied == 0


async def test_a_refusal_of_the_second_driver_is_a_partial_flip() -> None:
    front, names = proxies(), dns()
    plan = await plan_flip([front, names], "west")
    names.put("authority", "old.example.org")
    with pytest.raises(PartialFlip) as caught:
        await flip([front, names], plan, sleep=no_sleep)
    assert caught.value.exit_code == 6
    assert "proxies shows west" in caught.value.message
    assert caught.value.shown == (("proxies", "west"), ("dns", ""))


async def test_an_answer_lost_for_good_is_partial_even_at_the_first_driver() -> None:
    front, names = proxies(), dns()
    plan = await plan_flip([front, names], "west")
    front.lose_answer = True

    async def dies(_: float) -> None:
        front.unreachable.add("proxy 1")

    front.put("proxy 1", VALUES["east"])
    before = front.current

    async def silent() -> object:
        front.unreachable.add("proxy 1")
        return await before()

    front.current = silent  # type: ignore[method-assign, assignment]  # it dies as it is read
    with pytest.raises(PartialFlip, match="dns was not tried"):
        await flip([front, names], plan, sleep=dies)
    assert (await survey([names])).site == "east"


async def test_a_partial_flip_is_completed_or_reversed_by_another_flip() -> None:
    for to in ("west", "east"):
        drivers = [proxies("west"), dns("east")]
        view = await flip(drivers, await plan_flip(drivers, to))
        assert (view.state, view.site) == ("settled", to)


async def test_a_driver_that_cannot_be_asked_forbids_the_plan() -> None:
    names = dns()
    names.unreachable.add("authority")
    with pytest.raises(SwitchError, match="no answer"):
        await plan_flip([proxies(), names], "west")


async def test_a_site_without_a_value_is_refused_before_anything_is_done() -> None:
    with pytest.raises(SwitchError, match="north"):
        await plan_flip([proxies()], "north")


def test_partial_flips_are_no_refusals() -> None:
    assert not issubclass(PartialFlip, Refused)
