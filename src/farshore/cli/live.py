"""`farshore run`: the daemon that keeps the far side seconds behind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import typer

from farshore.cli.console import Console, load_config
from farshore.cli.console import run as run_to_end

if TYPE_CHECKING:
    from farshore.config import Config


def run(context: typer.Context) -> None:
    """Replicate for ever: take hints from feeds, scan in the background, report exposure.

    Starts and goes on with either side down. Ctrl-C or SIGTERM ends it in order; killed in
    any other way, it goes on where it was when it is started again. A second one for the
    same pair stands by and takes over when the first ends. Limits are taken from the file
    within a second of its being written, and at SIGHUP.
    """
    run_to_end(_run(load_config(context), Console()))


TURN_LOOK_S = 1.0
"""How often it is looked whether the pair's direction has turned."""


async def _run(config: Config, console: Console) -> None:
    """One daemon for each direction that the control record asks for, until it is stopped."""
    from farshore.cli.direction import faced

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    while not stopped.is_set():
        facing = await faced(config)
        if await _one_way(config, facing, console, stopped):
            console.note(f"{facing.pair.target} is primary now: the direction turns round")


async def _one_way(
    config: Config, facing: Config, console: Console, stopped: asyncio.Event
) -> bool:
    """Work in one direction; answers whether it ended because the direction has turned."""
    from farshore.daemon.assembly import daemon

    async with daemon(facing, console.note) as service:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.reread)
        work = asyncio.create_task(service.run())
        waiting = asyncio.create_task(stopped.wait())
        turning = asyncio.create_task(_turned(config, facing))
        ends = {work, waiting, turning}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, turning):
            task.cancel()
        if work in done:
            await work
        console.note("stopping: what is in flight is given back to the journal")
        service.stop()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        if turning in done:
            turning.result()
        return turning in done


async def _turned(config: Config, facing: Config) -> None:
    """Return when the pair is to be copied the other way: there is another primary, and the
    record lets it be copied."""
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.core.roles import COPYING

    async with open_plane(config, SystemClock()) as plane:
        while True:
            view = await plane.peek()
            record = view.record
            if view.answering and record.primary != facing.pair.source and record.phase in COPYING:
                return
            await asyncio.sleep(TURN_LOOK_S)
