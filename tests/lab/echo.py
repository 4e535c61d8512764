"""A link with a server behind it that is no S3: what the line does can be seen byte by byte."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from farshore.lab import process
from farshore.lab.control import Control, start_link
from farshore.lab.link import UP
from farshore.lab.ports import HOST

SITE = "east"
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A link's port, its control, and the port of the echo server behind it."""

    port: int
    control: Control
    target: int

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port)

    def aim(self, port: int | None) -> None:
        self.control.aim(SITE, None if port is None else {"s3": port, "filer": port})


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the link was told to break it
    finally:
        writer.close()


@asynccontextmanager
async def line() -> AsyncIterator[Line]:
    """A link process, up and aimed at an echo server."""
    server = await asyncio.start_server(_echo, HOST, 0)
    target = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="farshore-link-") as folder:
        runtime = Path(folder)
        lifeline_end, lifeline = os.pipe()
        running = start_link(secrets.token_hex(8), runtime, runtime / "log", lifeline_end)
        try:
            os.write(lifeline, UP)
            control = Control(runtime)
            control.wait(running)
            made = Line(control.open(SITE)["s3"], control, target)
            made.aim(target)
            yield made
            assert (runtime / "log").read_text() == ""
        finally:
            process.kill(running)
            os.close(lifeline_end)
            os.close(lifeline)
            server.close()
            await server.wait_closed()
