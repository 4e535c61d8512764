"""How fast a site may be used, and when: rates, and windows of the week with other rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


class Rates(NamedTuple):
    """Per second; 0 for no limit."""

    requests_per_s: float
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Window:
    """Some hours on some days, by the clock of `zone`, "UTC" or an IANA name.

    `days` counts from Monday, 0; `begin` and `end` are minutes of the day. Where the end is
    not after the beginning, it is on the next day.
    """

    days: frozenset[int]
    begin: int
    end: int
    zone: str
    rates: Rates

    def holds(self, now: float) -> bool:
        """At this moment, Unix seconds?"""
        here = datetime.fromtimestamp(now, zone_of(self.zone))
        minute = here.hour * 60 + here.minute
        if self.begin < self.end:
            return here.weekday() in self.days and self.begin <= minute < self.end
        if minute >= self.begin:
            return here.weekday() in self.days
        return minute < self.end and (here - timedelta(days=1)).weekday() in self.days

    def label(self) -> str:
        """For people: "mon, tue 22:00-06:00 Europe/Berlin"."""
        days = ", ".join(DAYS[day] for day in sorted(self.days))
        return f"{days} {_clock(self.begin)}-{_clock(self.end)} {self.zone}"


@dataclass(frozen=True, slots=True)
class Pace:
    """The rates of one site: of the first window that holds, else `rates`."""

    rates: Rates
    schedule: tuple[Window, ...] = ()

    def window(self, now: float) -> Window | None:
        """The one that holds now; None: none does."""
        return next((window for window in self.schedule if window.holds(now)), None)

    def at(self, now: float) -> Rates:
        """What holds at this moment, Unix seconds."""
        window = self.window(now)
        return window.rates if window else self.rates


UNLIMITED = Pace(Rates(0.0, 0))


def zone_of(name: str) -> tzinfo:
    """`KeyError` (ZoneInfoNotFoundError) or `ValueError` for a name that there is not."""
    return UTC if name == "UTC" else ZoneInfo(name)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
