"""The configured rates are obeyed by every side that is opened, at every hour."""

from __future__ import annotations

from dataclasses import replace

from farshore.config.pace import Pace, Rates, Window
from farshore.control.pacing import Held, Pacing
from tests.unit.sites import config_of

MONDAY_NOON = 1_767_614_400.0  # 2026-01-05T12:00:00Z
HOUR = 3600.0
EVERY_DAY = frozenset(range(7))


def pacing(now: float, **paces: Pace) -> Pacing:
    config = config_of()
    sites = [replace(site, pace=paces.get(site.name, site.pace)) for site in config.sites.values()]
    return Pacing(sites, now)


def test_without_rates_there_is_nothing_to_limit() -> None:
    assert pacing(MONDAY_NOON).is_idle
    window = Window(EVERY_DAY, 0, 60, "UTC", Rates(0, 0))
    assert not pacing(MONDAY_NOON, east=Pace(Rates(0, 0), (window,))).is_idle
    assert not pacing(MONDAY_NOON, west=Pace(Rates(0, 1))).is_idle


def test_each_site_moves_from_window_to_window() -> None:
    work = Window(frozenset({0}), 8 * 60, 13 * 60, "UTC", Rates(10, 0))
    site = pacing(MONDAY_NOON, east=Pace(Rates(100, 0), (work,)), west=Pace(Rates(0, 7)))
    east, west = site.throttle.buckets("east"), site.throttle.buckets("west")
    assert (east[0].rate, west[1].rate) == (10, 7)
    assert site.move(MONDAY_NOON + HOUR - 1) == []
    assert site.move(MONDAY_NOON + HOUR) == [Held("east", Rates(100, 0))]
    assert (east[0].rate, west[1].rate) == (100, 7), "of stores that are open"
    (held,) = site.move(MONDAY_NOON + 7 * 24 * HOUR)
    assert held == Held("east", Rates(10, 0), "mon 08:00-13:00 UTC")


def test_a_store_that_is_opened_later_has_the_rates_of_that_hour() -> None:
    night = Window(EVERY_DAY, 22 * 60, 6 * 60, "UTC", Rates(0, 0))
    site = pacing(MONDAY_NOON, east=Pace(Rates(5, 0), (night,)))
    site.move(MONDAY_NOON + 11 * HOUR)
    assert site.throttle.buckets("east")[0].rate == 0
    site.move(MONDAY_NOON + 18 * HOUR)
    assert site.throttle.buckets("east")[0].rate == 5
