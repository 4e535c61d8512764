"""`farshore switch`: where clients go, and sending them elsewhere by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.cli.orders import (
    ByOption,
    ConfirmOption,
    WhyOption,
    author,
    reason,
    require_named,
)
from farshore.errors import ConfigError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.control.record import ControlPlane
    from farshore.control.view import View
    from farshore.switch.driver import Reading, SwitchDriver
    from farshore.switch.flip import FlipPlan, SwitchView

UNKNOWN = 6
"""Exit code of `show` and `verify` when the switch is not settled."""

UNSET = 3
"""Exit code of `show` while some place holds nothing yet."""

VERIFY_PAUSE_S = 0.5

app = typer.Typer(no_args_is_help=True)

SiteArgument = Annotated[str, typer.Argument(help="The site that clients shall go to.")]


@app.callback()
def switch() -> None:
    """Show where clients go, plan a flip, make it, and see that everybody follows."""


class Switch(NamedTuple):
    """What every command here works with."""

    config: Config
    drivers: Sequence[SwitchDriver]
    plane: ControlPlane


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Switch]:
    """The drivers and the control plane of a configuration; closed at the end."""
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.switch.open import open_drivers

    if not config.switch.drivers:
        raise ConfigError(
            "No switch is configured.",
            hint="Write a [[switch.drivers]] table: docs/switch.md has one for each kind.",
        )
    drivers = open_drivers(config)
    try:
        async with open_plane(config, SystemClock()) as plane:
            yield Switch(config, drivers, plane)
    finally:
        await asyncio.gather(*(driver.aclose() for driver in drivers))


@app.command()
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """Read every place that decides where clients go, and what was recorded last.

    Exit code 0 when all show one site, 3 when one was never set, 6 when they differ or one
    cannot be asked.
    """
    config = load_config(context)
    console = Console(as_json=as_json)
    view, record = run(_show(config))
    _say_view(console, view)
    _say_record(console, view, record)
    console.document({**_view_document(view), "recorded": _record_document(record)})
    if view.state != "settled":
        raise typer.Exit(UNSET if view.state == "unset" else UNKNOWN)


async def _show(config: Config) -> tuple[SwitchView, View]:
    from farshore.switch.flip import survey

    async with opened(config) as found:
        view, record = await asyncio.gather(survey(found.drivers), found.plane.read())
        return view, record


@app.command()
def plan(context: typer.Context, site: SiteArgument, as_json: JsonOption = False) -> None:
    """Say what a flip would change, and what to know before; changes nothing."""
    config = load_config(context)
    config.site(site)
    console = Console(as_json=as_json)
    made, warned = run(_plan(config, site))
    _say_plan(console, config, made, warned)
    console.document(_plan_document(config, made, warned))


async def _plan(config: Config, site: str) -> tuple[FlipPlan, list[str]]:
    from farshore.switch.by_hand import warnings
    from farshore.switch.flip import plan_flip

    async with opened(config) as found:
        made = await plan_flip(found.drivers, site)
        return made, warnings((await found.plane.read()).record, site)


@app.command("set")
def set_(
    context: typer.Context,
    site: SiteArgument,
    why: WhyOption = "",
    by: ByOption = "",
    confirm: ConfirmOption = "",
    as_json: JsonOption = False,
) -> None:
    """Send clients to a site: every driver in its order, read back, recorded.

    It moves clients and nothing else: no freeze, no fence, no change of roles. Exit code 6
    when some drivers took it and others did not: `farshore switch show` says which.
    """
    config = load_config(context)
    config.site(site)
    console = Console(as_json=as_json)
    view = run(_set(config, console, site, (why, by, confirm)))
    console.say(f"Done: {view.sentence()}.")
    console.document(_view_document(view))


async def _set(
    config: Config, console: Console, site: str, words: tuple[str, str, str]
) -> SwitchView:
    from farshore.clock import SystemClock
    from farshore.switch.by_hand import Order, require_open, set_by_hand, warnings
    from farshore.switch.flip import plan_flip

    why, by, confirm = words
    async with opened(config) as found:
        made = await plan_flip(found.drivers, site)
        record = (await found.plane.read()).record
        require_open(record, site)
        _say_plan(console, config, made, warnings(record, site))
        order = Order(author(by), reason(console, why))
        require_named(console, site, confirm, f"Clients will go to {site}.")
        return await set_by_hand(
            found.plane, found.drivers, made, order, SystemClock(), console.note
        )


@app.command()
def verify(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="The site; without it the recorded one.")] = "",
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for resolvers; 0: look once.", min=0, max=3600)
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """See from every vantage, resolvers too, that clients are sent to a site.

    Exit code 0 when every vantage shows it, 6 when one does not.
    """
    config = load_config(context)
    if site:
        config.site(site)
    console = Console(as_json=as_json)
    wanted, readings = run(_verify(config, site, wait))
    console.table(
        ("driver", "vantage", "shows"),
        [(name, r.vantage, _shows(r)) for name, r in readings],
    )
    right = all(reading.site == wanted for _, reading in readings)
    console.say(f"Every vantage shows {wanted}." if right else f"Not every vantage shows {wanted}.")
    console.document(
        {
            "site": wanted,
            "verified": right,
            "readings": [{"driver": name, **reading._asdict()} for name, reading in readings],
        }
    )
    if not right:
        raise typer.Exit(UNKNOWN)


async def _verify(
    config: Config, site: str, wait_s: float
) -> tuple[str, list[tuple[str, Reading]]]:
    async with opened(config) as found:
        wanted = site or (await found.plane.read()).record.switch.wanted
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            readings = [
                (driver.name, reading)
                for driver in found.drivers
                for reading in (await driver.verify(wanted)).readings
            ]
            if all(r.site == wanted for _, r in readings) or loop.time() >= deadline:
                return wanted, readings
            await asyncio.sleep(VERIFY_PAUSE_S)


# -- words -------------------------------------------------------------------------


def _shows(reading: Reading) -> str:
    if reading.site or not reading.error:
        return reading.site or (f"{reading.raw!r}, no site" if reading.raw else "nothing")
    return f"? {reading.error}"


def _say_view(console: Console, view: SwitchView) -> None:
    console.say(f"{view.sentence()[0].upper()}{view.sentence()[1:]}.")
    rows: list[tuple[str, str, str]] = []
    for driver in view.drivers:
        if driver.error:
            rows.append((driver.name, "", f"? {driver.error}"))
        rows += [(driver.name, r.vantage, _shows(r)) for r in driver.position.readings]
    console.table(("driver", "vantage", "shows"), rows)


def _say_record(console: Console, view: SwitchView, found: View) -> None:
    from farshore.control.status import moment_text

    switch = found.record.switch
    if view.state == "unset":
        console.say(
            f"Whoever asks there finds nothing. `farshore switch set {switch.wanted}` writes it "
            "everywhere."
        )
    if switch.at:
        console.say(
            f"Last set to {switch.wanted} by {switch.by}, {moment_text(switch.at)}: {switch.why}"
        )
    else:
        console.say("It was never set by farshore.")
    if switch.under_way:
        console.say(
            f"That flip, from {switch.active} to {switch.wanted}, is not recorded as finished. "
            f"Go on with `farshore switch set {switch.wanted}`, or back with "
            f"`farshore switch set {switch.active}`."
        )
    elif view.site and view.site != switch.active:
        console.say(
            f"The record says {switch.active}: somebody moved it without farshore. "
            f"`farshore switch set {view.site}` records it."
        )


def _say_plan(console: Console, config: Config, made: FlipPlan, warned: Sequence[str]) -> None:
    if made.changes_nothing:
        console.say(f"Clients go to {made.to} already; nothing would be changed.")
    for one in made.plans:
        for line in one.lines:
            console.say(f"{one.driver}: {line}")
    if made.propagation_s:
        console.say(f"Clients may be sent to the old site for {made.propagation_s:g} s more.")
    for text in [*_findings(config, made), *warned]:
        console.say(f"note: {text}")


def _findings(config: Config, made: FlipPlan) -> list[str]:
    found = list(made.findings)
    limit = config.switch.propagation_max_s
    if made.propagation_s > limit:
        found.append(
            f"a flip takes {made.propagation_s:g} s to reach everybody; the objective "
            f"(switch.propagation_max) is {limit:g} s: lower the TTL, well before the flip."
        )
    return found


def _view_document(view: SwitchView) -> dict[str, Any]:
    return {
        "state": view.state,
        "site": view.site,
        "drivers": [
            {
                "name": driver.name,
                "site": driver.position.site,
                "error": driver.error,
                "readings": [reading._asdict() for reading in driver.position.readings],
            }
            for driver in view.drivers
        ],
    }


def _record_document(found: View) -> dict[str, Any]:
    from farshore.control.status import moment_text

    switch = found.record.switch
    return {
        "active": switch.active,
        "wanted": switch.wanted,
        "under_way": switch.under_way,
        "by": switch.by,
        "why": switch.why,
        "at": moment_text(switch.at) if switch.at else None,
        "drivers": dict(switch.drivers),
    }


def _plan_document(config: Config, made: FlipPlan, warned: Sequence[str]) -> dict[str, Any]:
    return {
        "to": made.to,
        "digest": made.digest,
        "changes_nothing": made.changes_nothing,
        "propagation_s": made.propagation_s,
        "findings": _findings(config, made),
        "warnings": list(warned),
        "drivers": [
            {"name": one.driver, "lines": list(one.lines), "expect": dict(one.expect)}
            for one in made.plans
        ],
    }
