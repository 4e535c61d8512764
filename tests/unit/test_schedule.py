"""`[[limits.schedule]]`: which rates hold at which hour, in any zone, over midnight and DST."""

from __future__ import annotations

from datetime import datetime

import pytest

from farshore.config import Config
from farshore.config.pace import Rates
from tests.unit.sites import TOML, config_of
from tests.unit.test_config import problems

SCHEDULE = """
[limits]
requests_per_s = 1000
[[limits.schedule]]
days = ["mon", "tue", "wed", "thu", "fri"]
hours = "08:00-18:00"
timezone = "Europe/Berlin"
requests_per_s = 50
bytes_per_s = "10 MiB"
[[limits.schedule]]
days = ["sat"]
hours = "22:00-06:00"
requests_per_s = 5000
"""
WORK = Rates(50, 10 * 2**20)
BASE = Rates(1000, 0)
NIGHT = Rates(5000, 0)


def at(config: Config, moment: str) -> Rates:
    return config.source.pace.at(datetime.fromisoformat(moment).timestamp())


@pytest.mark.parametrize(
    ("moment", "rates"),
    [
        ("2026-01-05T06:59:59Z", BASE),  # Monday, 07:59:59 in Berlin
        ("2026-01-05T07:00:00Z", WORK),
        ("2026-01-05T16:59:59Z", WORK),
        ("2026-01-05T17:00:00Z", BASE),
        ("2026-07-06T06:00:00Z", WORK),  # summer time: two hours ahead
        ("2026-07-06T16:00:00Z", BASE),
        ("2026-01-10T12:00:00Z", BASE),  # Saturday noon
        ("2026-01-10T22:00:00Z", NIGHT),
        ("2026-01-11T05:59:59Z", NIGHT),  # Sunday morning: the window that began on Saturday
        ("2026-01-11T06:00:00Z", BASE),
        ("2026-01-11T22:30:00Z", BASE),
        ("2026-01-10T05:00:00Z", BASE),  # Saturday morning: none began on Friday
    ],
)
def test_the_hour_decides(moment: str, rates: Rates) -> None:
    assert at(config_of(TOML + SCHEDULE), moment) == rates


def test_the_first_that_holds_counts() -> None:
    more = SCHEDULE + '[[limits.schedule]]\nhours = "00:00-23:59"\nrequests_per_s = 1\n'
    config = config_of(TOML + more)
    assert at(config, "2026-01-05T09:00:00Z") == WORK
    assert at(config, "2026-01-05T20:00:00Z") == Rates(1, 0)


def test_a_site_may_have_limits_of_its_own() -> None:
    own = '[sites.west.limits]\nbytes_per_s = "1 MiB"\n[[sites.west.limits.schedule]]\n'
    own += 'hours = "01:00-02:00"\n'
    config = config_of(TOML + SCHEDULE + own)
    night = datetime.fromisoformat("2026-01-10T22:00:00Z").timestamp()
    assert config.source.pace.at(night) == NIGHT
    assert config.target.pace.at(night) == Rates(0, 2**20)
    assert config.target.pace.at(night + 3.5 * 3600) == Rates(0, 0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('hours = "8-18"', 'write "HH:MM-HH:MM"'),
        ('hours = "24:00-06:00"', 'write "HH:MM-HH:MM"'),
        ('hours = "08:60-09:00"', 'write "HH:MM-HH:MM"'),
        ('hours = "08:00-08:00"', "the window is empty"),
        ('hours = "08:00-09:00"\ntimezone = "Europe/Berlim"', "there is no such time zone"),
        ('hours = "08:00-09:00"\ntimezone = "../../etc/passwd"', "there is no such time zone"),
        ('hours = "08:00-09:00"\ndays = []', "must not be empty"),
        ('hours = "08:00-09:00"\ndays = ["monday"]', 'write "mon", "tue"'),
        ('hours = "08:00-09:00"\nrequests_per_s = -1', "write 0 or more"),
        ("requests_per_s = 1", "hours: is missing"),
    ],
)
def test_what_is_wrong_is_said(line: str, told: str) -> None:
    (problem,) = problems(f"{TOML}[[limits.schedule]]\n{line}\n")
    assert told in problem
