"""A TCP proxy before a real server, whose line a test makes bad: cut, mute, or an answer lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from farshore.lab.ports import HOST

CHUNK_BYTES = 64 * 1024

IsChange = Callable[[bytes], bool]
"""Whether these bytes, as they came from a client, begin a request that changes something."""


class BadLine:
    """`port` stays the same over `cut` and `heal`. `changes` counts what was passed on."""

    def __init__(self, upstream_port: int, is_change: IsChange) -> None:
        self.port = 0
        self.changes = 0
        self._upstream = upstream_port
        self._is_change = is_change
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._served: set[asyncio.Task[None]] = set()
        self._loses = False
        self._mute = False

    async def heal(self) -> None:
        """As good as new; the first call opens the line."""
        self._loses = self._mute = False
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Connections are refused, and open ones end."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in self._open:
            writer.transport.abort()
        if self._served:
            await asyncio.wait(self._served)

    async def lose_answer(self) -> None:
        """The next change is passed on; when its answer comes, the client's connection ends."""
        self._loses = True

    async def silence(self) -> None:
        """Whatever comes is read, and goes nowhere."""
        self._mute = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        there, back = await asyncio.open_connection(HOST, self._upstream)
        self._open |= {writer, back}
        try:
            losing = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, back, losing))
                group.create_task(self._answers(there, writer, losing))
        finally:
            self._open -= {writer, back}
            writer.close()
            back.close()

    async def _requests(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self._mute:
                    continue
                if self._is_change(chunk):
                    self.changes += 1
                    if self._loses:
                        self._loses = False
                        losing.set()
                back.write(chunk)
                await back.drain()
        back.close()

    async def _answers(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await there.read(CHUNK_BYTES):
                if losing.is_set():
                    writer.transport.abort()
                    return
                writer.write(chunk)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def bad_line(upstream_port: int, is_change: IsChange) -> AsyncIterator[BadLine]:
    """A good line at first."""
    line = BadLine(upstream_port, is_change)
    await line.heal()
    try:
        yield line
    finally:
        await line.cut()
