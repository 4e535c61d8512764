"""`farshore freeze` and `farshore thaw`: clients' writes wait, reads go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.cli.orders import ByOption, WhyOption, author, reason
from farshore.errors import UsageError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.core.record import ControlRecord
    from farshore.switch.freezing import Drained

NOT_DRAINED = 6
"""Exit code of `freeze` when writes were still in flight at the limit."""


def freeze(
    context: typer.Context,
    seconds: Annotated[
        str,
        typer.Option("--for", help="How long; switch.freeze_max at most, and by default."),
    ] = "",
    why: WhyOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask clients' writes to wait, and wait until none is in flight.

    Proxies hold a write for two seconds, then answer 503 SlowDown, so that SDKs which try
    again bear it; reads go on. It ends by itself at the limit, in the proxies, also when this
    machine dies.
    Exit code 6 when writes were still in flight at the limit.
    """
    config = load_config(context)
    console = Console(as_json=as_json)
    wanted = _seconds(seconds, config.switch.freeze_max_s)
    record, drained = run(_freeze(config, wanted, author(by), reason(console, why)))
    site = record.switch.active
    how = (
        f"{drained.at_first} were in flight and have ended"
        if drained.is_empty
        else f"{drained.left} of {drained.at_first} are still in flight"
    )
    console.say(f"Writes to {site} are frozen for {wanted:g} s; {how} ({drained.waited_s:.2f} s).")
    console.say("They go on by themselves then, or with `farshore thaw`.")
    console.document(
        {
            "frozen": site,
            "seconds": wanted,
            "in_flight_at_first": drained.at_first,
            "in_flight": drained.left,
            "drained_after_s": round(drained.waited_s, 3),
        }
    )
    if not drained.is_empty:
        raise typer.Exit(NOT_DRAINED)


def thaw(
    context: typer.Context,
    why: WhyOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let clients' writes through again, at every proxy."""
    config = load_config(context)
    console = Console(as_json=as_json)
    held = run(_thaw(config, author(by), why or "thawed by hand"))
    console.say("Writes go on." if held else "No freeze held any more; writes go on.")
    console.document({"was_frozen": held})


def _seconds(text: str, limit: float) -> float:
    from farshore.config.quantity import duration_seconds

    if not text:
        return limit
    try:
        seconds = duration_seconds(text)
    except ValueError as error:
        raise UsageError(f"--for {text}: {error}.") from None
    if not 0 < seconds <= limit:
        raise UsageError(
            f"--for {text} is more than writes may be frozen: {limit:g} s.",
            hint="SDKs give up after that; raise switch.freeze_max only if yours do not.",
        )
    return seconds


async def _freeze(
    config: Config, seconds: float, by: str, why: str
) -> tuple[ControlRecord, Drained]:
    from farshore.cli.switch import opened
    from farshore.clock import SystemClock
    from farshore.switch.by_hand import Order
    from farshore.switch.frozen_by_hand import freeze_by_hand

    async with opened(config) as found:
        order = Order(by, why)
        return await freeze_by_hand(found.plane, found.drivers, seconds, order, SystemClock())


async def _thaw(config: Config, by: str, why: str) -> bool:
    from farshore.cli.switch import opened
    from farshore.clock import SystemClock
    from farshore.switch.by_hand import Order
    from farshore.switch.frozen_by_hand import thaw_by_hand

    async with opened(config) as found:
        return await thaw_by_hand(found.plane, found.drivers, Order(by, why), SystemClock())
