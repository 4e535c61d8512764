"""How a long command shows where it stands: one moving line, or plain lines in a log."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

from farshore.cli.console import Console

MOVING_EVERY_S = 0.2
PLAIN_EVERY_S = 5.0

Line = Callable[[float], str]
"""Given the seconds since the start, one line that says where things stand."""


@contextlib.asynccontextmanager
async def shown(
    console: Console, line: Line, *, on_terminal: bool | None = None
) -> AsyncIterator[None]:
    """Show `line` while the body runs: in place on a terminal, else every few seconds."""
    moving = sys.stderr.isatty() if on_terminal is None else on_terminal
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def keep_showing() -> None:
        while True:
            await asyncio.sleep(MOVING_EVERY_S if moving else PLAIN_EVERY_S)
            text = line(loop.time() - began)
            if moving:
                sys.stderr.write(f"\r\x1b[2K{text}")
                sys.stderr.flush()
            else:
                console.note(text)

    task = asyncio.create_task(keep_showing())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if moving:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def human_bytes(count: float) -> str:
    """Bytes as people read them: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def human_seconds(seconds: float) -> str:
    """Seconds as people read them: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
