"""Which way the pair is copied now: the file says where it began, the record where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from farshore.cli.console import load_config, run

if TYPE_CHECKING:
    from farshore.config import Config


def load_facing(context: typer.Context) -> Config:
    """The configuration that faces the recorded primary; as the file has it where nothing was
    recorded, or no control bucket answers."""
    return run(faced(load_config(context)))


async def faced(config: Config) -> Config:
    """The same for a configuration that is loaded already."""
    from farshore.clock import SystemClock
    from farshore.config.facing import facing
    from farshore.control.record import open_plane
    from farshore.errors import ConfigError

    try:
        async with open_plane(config, SystemClock()) as plane:
            view = await plane.peek()
    except ConfigError:
        return config  # no keys at all: the command itself will say so
    return facing(config, view.record.primary)
