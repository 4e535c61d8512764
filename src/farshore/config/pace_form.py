"""The form of limits: rates, the week's schedule, and what one site has of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from farshore.config.fields import Amount, Form, Hours, Zone
from farshore.config.pace import DAYS, Pace, Rates, Window

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class WindowForm(Form):
    """Other rates at some hours of the week. The first entry that holds counts."""

    days: Annotated[list[Day], Field(min_length=1)] | None = Field(
        None, description='On which days it begins, such as ["sat", "sun"]; without it: every day.'
    )
    hours: Hours = Field(
        description='From when to when, such as "22:00-06:00": over midnight it ends on the next '
        "day."
    )
    timezone: Zone = Field(
        "UTC", description='Whose clock: "UTC", or a name such as "Europe/Berlin".'
    )
    requests_per_s: float = Field(default=0.0, ge=0, description="Requests per second; 0: none.")
    bytes_per_s: Amount = Field(default=0, description="Bytes per second; 0: none.")

    def window(self) -> Window:
        """As a value."""
        begin, end = (_minutes(clock) for clock in self.hours.split("-"))
        days = frozenset(DAYS.index(day) for day in self.days or DAYS)
        rates = Rates(self.requests_per_s, self.bytes_per_s)
        return Window(days, begin, end, self.timezone, rates)


class SiteLimitsForm(Form):
    """This site's own rates, in place of those in [limits]. 0 means no limit."""

    requests_per_s: float = Field(default=0.0, ge=0, description="Requests per second; 0: none.")
    bytes_per_s: Amount = Field(
        default=0, description='Bytes per second, a number or "200 MiB"; 0: none.'
    )
    schedule: list[WindowForm] = Field(default=[], description="Other rates at some hours.")

    def pace(self) -> Pace:
        """As a value."""
        rates = Rates(self.requests_per_s, self.bytes_per_s)
        return Pace(rates, tuple(entry.window() for entry in self.schedule))


class LimitsForm(Form):
    """How much farshore may use. 0 means no limit, where that makes sense."""

    requests_per_s: float = Field(
        default=0.0, ge=0, description="Requests per second and site; 0: none."
    )
    bytes_per_s: Amount = Field(
        default=0, description='Bytes per second and site, a number or "200 MiB"; 0: none.'
    )
    schedule: list[WindowForm] = Field(default=[], description="Other rates at some hours.")
    concurrency_max: int = Field(
        default=256, ge=1, le=4096, description="Keys in work at one time."
    )
    memory: Amount = Field(
        default=256 * 2**20,
        ge=16 * 2**20,
        description='Memory for bodies in flight, a number of bytes or "256 MiB"; 16 MiB or more.',
    )

    def pace(self) -> Pace:
        """Of every site that has none of its own."""
        rates = Rates(self.requests_per_s, self.bytes_per_s)
        return Pace(rates, tuple(entry.window() for entry in self.schedule))


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
