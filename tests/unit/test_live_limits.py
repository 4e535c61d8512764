"""`[limits]` of a running daemon follows the file; a bad file changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from farshore.config.load import load
from farshore.daemon.limits import LiveLimits
from farshore.s3.pace import Throttle, TokenBucket
from farshore.testing.clock import ManualClock
from tests.unit.sites import TOML
from tests.unit.test_wrap import SleepingClock


class Site:
    """A farshore.toml, what a daemon says of it, and its rates."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "farshore.toml"
        self.file.write_text(TOML)
        self.said: list[str] = []
        self.clock = ManualClock(1_767_614_400.0)  # 2026-01-05T12:00:00Z, a Monday
        self.limits = LiveLimits(load(self.file), self.said.append, self.clock)
        self.requests, self.transfers = self.limits.throttle.buckets("east")

    def write(self, more: str) -> None:
        self.file.write_text(f"{TOML}\n{more}\n")
        self.limits.look()

    def rates(self) -> tuple[float, float]:
        return self.requests.rate, self.transfers.rate


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_new_rates_hold_for_stores_that_are_open(site: Site) -> None:
    site.limits.look()
    assert (site.rates(), site.said) == ((0.0, 0.0), [])
    site.write('[limits]\nrequests_per_s = 50\nbytes_per_s = "1 MiB"')
    assert site.rates() == (50.0, 2**20)
    assert site.said == ["limits for each site are now 50 requests/s and 1,048,576 bytes/s"]
    site.limits.look()
    assert len(site.said) == 1
    site.write("")
    assert site.rates() == (0.0, 0.0)
    assert "unlimited requests/s" in site.said[-1]


def test_a_bad_file_is_said_once_and_the_old_rates_stay(site: Site) -> None:
    site.write("[limits]\nrequests_per_s = 50")
    site.write("[limits]\nrequests_per_s = -1")
    site.limits.look()
    assert site.rates() == (50.0, 0.0)
    assert len(site.said) == 2
    assert "the limits stay as they are" in site.said[-1]
    assert "requests_per_s" in site.said[-1]
    site.file.unlink()
    site.limits.look()
    assert site.rates() == (50.0, 0.0)
    assert "There is no file" in site.said[-1]


def test_the_hour_changes_the_rates_and_says_why(site: Site) -> None:
    work = '[[limits.schedule]]\nhours = "08:00-13:00"\nrequests_per_s = 50'
    site.write(f"[limits]\nrequests_per_s = 500\n{work}")
    assert site.rates() == (50.0, 0.0)
    assert "50 requests/s" in site.said[-1]
    assert site.said[-1].endswith("(mon, tue, wed, thu, fri, sat, sun 08:00-13:00 UTC)")
    site.clock.advance(3600)
    site.limits.look()
    assert site.rates() == (500.0, 0.0)
    assert site.said[-1] == "limits for each site are now 500 requests/s and unlimited bytes/s"
    assert len(site.said) == 2


def test_a_site_of_its_own_is_said_by_its_name(site: Site) -> None:
    site.write("[sites.west.limits]\nrequests_per_s = 7")
    assert site.said == ["limits of west are now 7 requests/s and unlimited bytes/s"]
    assert site.rates() == (0.0, 0.0)
    assert site.limits.throttle.buckets("west")[0].rate == 7
    assert [held.site for held in site.limits.held] == ["east", "west"]


def test_a_file_is_read_again_when_somebody_asks(site: Site) -> None:
    site.limits.look()
    site.limits.reread()
    assert len(site.said) == 1
    assert "read again" in site.said[0]


def test_what_needs_a_new_start_says_so(site: Site) -> None:
    site.write("[limits]\nconcurrency_max = 7")
    assert site.said[-1] == "concurrency_max and memory hold from the next start on"


async def test_who_waits_already_goes_by_the_new_rate() -> None:
    clock = SleepingClock()

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        if len(clock.slept) == 2:
            tokens.change(100.0)

    tokens = TokenBucket(1.0, clock=clock, sleep=sleep)
    await asyncio.wait_for(tokens.take(103), 5)
    assert clock.slept == [1.0, 1.0, 1.0]  # 102 owed: two at 1/s, the last hundred at 100/s


async def test_a_limit_that_is_lifted_lets_go_who_waits() -> None:
    clock = SleepingClock()

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        tokens.change(0.0)

    tokens = TokenBucket(1.0, clock=clock, sleep=sleep)
    await tokens.take(1000)
    assert clock.slept == [1.0]
    tokens.change(10.0)
    await tokens.take(1)
    assert clock.slept == [1.0, 0.1], "the old debt is forgotten"


async def test_all_stores_of_a_site_share_its_rate_and_no_other_sites() -> None:
    throttle = Throttle(lambda _: (1.0, 0.0))
    assert throttle.buckets("east") is throttle.buckets("east")
    assert throttle.buckets("east") is not throttle.buckets("west")
    await throttle.gate("east").request()
    assert throttle.buckets("east")[0].level < 1.0 <= throttle.buckets("west")[0].level
