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


async def _run(config: Config, console: Console) -> None:
    from farshore.daemon.assembly import daemon

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with daemon(config, console.note) as service:
        loop.add_signal_handler(signal.SIGHUP, service.reread)
        work = asyncio.create_task(service.run())
        waiting = asyncio.create_task(stopped.wait())
        done, _ = await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if work in done:
            await work
        console.note("stopping: what is in flight is given back to the journal")
        service.stop()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
