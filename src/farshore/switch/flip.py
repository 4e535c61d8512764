"""Several drivers as one switch: read it, plan a flip, flip it, driver by driver.

    survey ──> plan_flip ──(a person agrees to the digest)──> flip ──> survey

A flip goes through the drivers in their order. What is unclear is read again, a few times,
before it is called unknown. Nothing is ever turned back by itself: a flip that stopped in the
middle is *partial*, a state of its own, that a person completes or reverses by another flip.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from farshore.errors import Refused
from farshore.faultpoints import reached
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchDriver,
    SwitchError,
    SwitchUnknown,
)

LOOKS_MAX = 4
"""How often a place is read again after a change whose outcome is unclear."""

LOOK_PAUSES_S = (0.1, 0.5, 2.0)
"""Pauses between those looks: a server that restarts needs a moment."""

State = Literal["settled", "partial", "unknown", "foreign", "unset", "none"]

Sleep = Callable[[float], Awaitable[None]]


class DriverView(NamedTuple):
    """One driver as it was read. `error`: why nothing at all could be read."""

    name: str
    position: Position
    error: str = ""


@dataclass(frozen=True, slots=True)
class SwitchView:
    """The whole switch at one moment, in the order of the drivers."""

    drivers: tuple[DriverView, ...]

    @property
    def state(self) -> State:
        """`settled`: all show one site of ours. `partial`: two sites are shown. `unknown`: some
        place could not be asked. `foreign`: some place shows what is no site of ours. `unset`:
        some place holds nothing yet, and no other contradicts. `none`: there is no driver."""
        if not self.drivers:
            return "none"
        readings = [reading for view in self.drivers for reading in view.position.readings]
        if any(view.error for view in self.drivers) or any(r.error for r in readings):
            return "unknown"
        if not readings or any(r.raw and not r.site for r in readings):
            return "foreign"
        if len(self._named) > 1:
            return "partial"
        return "settled" if all(r.site for r in readings) else "unset"

    @property
    def _named(self) -> set[str]:
        """The sites of ours that some place shows."""
        return {r.site for view in self.drivers for r in view.position.readings if r.site}

    @property
    def site(self) -> str:
        """The site that every place shows; "" when the state is not `settled`."""
        return self.drivers[0].position.site if self.state == "settled" else ""

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """(driver, site) of each; "" where a driver shows no one site."""
        return tuple((view.name, view.position.site) for view in self.drivers)

    def sentence(self) -> str:
        """What a person wants to know first."""
        match self.state:
            case "settled":
                return f"clients go to {self.site}"
            case "none":
                return "no switch is configured"
        word: str = self.state
        if word == "unset":
            word = "not set everywhere yet" if self._named else "never set"
        parts = [f"{view.name} {_says(view)}" for view in self.drivers]
        return f"{word}: {'; '.join(parts)}"


def _says(view: DriverView) -> str:
    if view.error:
        return f"cannot be asked: {view.error}"
    if view.position.site:
        return f"shows {view.position.site}"
    words = [f"{r.vantage}: {_shown(r)}" for r in view.position.readings]
    return f"({', '.join(words)})"


def _shown(reading: Reading) -> str:
    if reading.error or reading.site:
        return reading.error or reading.site
    return repr(reading.raw) if reading.raw else "nothing"


async def survey(drivers: Sequence[SwitchDriver]) -> SwitchView:
    """Ask every driver at once. What cannot be asked is in the view, never an error."""
    return SwitchView(tuple(await asyncio.gather(*(_view(driver) for driver in drivers))))


async def _view(driver: SwitchDriver) -> DriverView:
    try:
        return DriverView(driver.name, await driver.current())
    except (SwitchError, Refused) as error:
        return DriverView(driver.name, Position(()), error.message)


@dataclass(frozen=True, slots=True)
class FlipPlan:
    """What a flip would do. `digest` names it: it changes with whatever would be changed."""

    to: str
    plans: tuple[DriverPlan, ...]

    @property
    def changes_nothing(self) -> bool:
        """Every driver shows the site already."""
        return all(plan.changes_nothing for plan in self.plans)

    @property
    def propagation_s(self) -> float:
        """How long a client may still be sent to the old site after the flip."""
        return max((plan.propagation_s for plan in self.plans), default=0.0)

    @property
    def findings(self) -> tuple[str, ...]:
        """What a person should know before, each with its driver's name."""
        return tuple(f"{plan.driver}: {text}" for plan in self.plans for text in plan.findings)

    @property
    def digest(self) -> str:
        """16 hex digits over the target and every value that the flip expects to find."""
        what = [self.to, [(plan.driver, plan.expect, plan.lines) for plan in self.plans]]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


async def plan_flip(drivers: Sequence[SwitchDriver], to: str) -> FlipPlan:
    """Plan every driver. `SwitchError` when one cannot be asked: then nothing may be flipped."""
    return FlipPlan(to, tuple([await driver.plan(to) for driver in drivers]))


class PartialFlip(SwitchUnknown):
    """A flip stopped in the middle. `shown`: (driver, site) as far as it was seen."""

    cause_word = "PartialFlip"

    def __init__(self, message: str, shown: tuple[tuple[str, str], ...]) -> None:
        super().__init__(
            message,
            hint="Look: `farshore switch show`. Then go on with `farshore switch set` to the same "
            "site, or back to the other one. Keep writes frozen until all drivers agree.",
        )
        self.shown = shown


async def flip(
    drivers: Sequence[SwitchDriver],
    plan: FlipPlan,
    told: Callable[[str], None] = lambda _: None,
    sleep: Sleep = asyncio.sleep,
) -> SwitchView:
    """Change every driver in order; answers the view afterwards.

    The first driver's refusal is raised as it is: nothing was changed. Once one has been
    changed, every failure is a `PartialFlip`. `told` hears a sentence for each driver.
    """
    done: list[str] = []
    for driver, wanted in zip(drivers, plan.plans, strict=True):
        reached("switch.driver.planned")
        try:
            await _apply(driver, wanted, sleep)
        except (SwitchError, Refused) as error:
            if not done and not isinstance(error, SwitchUnknown):
                raise
            raise _partial(driver, done, plan, error) from error
        reached("switch.driver.applied")
        done.append(driver.name)
        told(f"{driver.name} shows {plan.to}")
    return await _seen(drivers, plan, sleep)


async def _apply(driver: SwitchDriver, wanted: DriverPlan, sleep: Sleep) -> None:
    """Apply once; an unclear outcome is read until it is clear, or given up as unknown."""
    try:
        await driver.apply(wanted)
    except SwitchUnknown:
        if not await _comes_to_show(driver, wanted.to, sleep):
            raise


async def _comes_to_show(driver: SwitchDriver, site: str, sleep: Sleep) -> bool:
    for look in range(LOOKS_MAX):
        view = await _view(driver)
        if not view.error and view.position.shows(site):
            return True
        if look < len(LOOK_PAUSES_S):
            await sleep(LOOK_PAUSES_S[look])
    return False


async def _seen(drivers: Sequence[SwitchDriver], plan: FlipPlan, sleep: Sleep) -> SwitchView:
    """Nothing is taken for done that was not read back."""
    for driver in drivers:
        if not await _comes_to_show(driver, plan.to, sleep):
            view = await survey(drivers)
            raise PartialFlip(
                f"Every driver took the change to {plan.to}, but not all show it: "
                f"{view.sentence()}.",
                view.shown,
            )
    return await survey(drivers)


def _partial(
    driver: SwitchDriver, done: Sequence[str], plan: FlipPlan, error: SwitchError | Refused
) -> PartialFlip:
    before = f"{', '.join(done)} {'show' if len(done) > 1 else 'shows'} {plan.to}" if done else ""
    left = [p.driver for p in plan.plans if p.driver not in (*done, driver.name)]
    words = [before, f"{driver.name} is not known to: {error.message}"]
    if left:
        words.append(f"{', '.join(left)} {'were' if len(left) > 1 else 'was'} not tried")
    shown = tuple((p.driver, plan.to if p.driver in done else "") for p in plan.plans)
    return PartialFlip(
        f"The flip to {plan.to} is partial: {'; '.join(w for w in words if w)}", shown
    )
