"""`farshore endpoint`: where clients go now, for scripts and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.errors import Unreachable

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.core.whereabouts import Whereabouts

UNDER_WAY = 6
"""Exit code while a flip is not finished: the answer may change at any moment."""


def endpoint(
    context: typer.Context,
    env: Annotated[
        bool, typer.Option("--env", help="Print NAME=value lines, for a shell or an env file.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the URL that clients are sent to, from whichever control bucket answers.

    Exit code 6 while a flip is not finished; then the old site is printed.
    """
    from farshore.core.whereabouts import as_env

    config = load_config(context)
    console = Console(as_json=as_json)
    where, under_way = run(active(config))
    if env and not as_json:
        console.say(as_env(where).decode().rstrip("\n"))
    else:
        console.say(where.endpoint)
    if under_way:
        console.note("A flip is under way: `farshore switch show` says how far it has come.")
    console.document({**where._asdict(), "sites": dict(where.sites), "under_way": under_way})
    if under_way:
        raise typer.Exit(UNDER_WAY)


async def active(config: Config) -> tuple[Whereabouts, bool]:
    """(where clients go by the control record, whether a flip is under way)."""
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.control.status import moment_text
    from farshore.core.whereabouts import Whereabouts

    async with open_plane(config, SystemClock()) as plane:
        view = await plane.peek()
    if not view.answering:
        why = "; ".join(f"{shown.site}: {shown.trouble}" for shown in view.shown)
        raise Unreachable(
            f"Where clients go is not known: no control bucket answers ({why}).",
            hint="A site's own URL is in farshore.toml; `farshore presign` takes --site NAME.",
        )
    switch, pair = view.record.switch, config.pair
    sites = {name: config.site(name).endpoint for name in (pair.source, pair.target)}
    at = moment_text(switch.at) if switch.at else ""
    found = Whereabouts(
        pair.name, switch.active, sites[switch.active], view.record.epoch, at, sites
    )
    return found, switch.under_way
