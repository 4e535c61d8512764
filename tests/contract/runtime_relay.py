"""A line before HAProxy's runtime API that can be made bad: answers lost, or none at all."""

from __future__ import annotations

import asyncio

from farshore.lab.ports import HOST

CHANGES = (b"set map", b"add map", b"shutdown")


class Relay:
    """Listens on a free TCP port and hands each command to a unix socket."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._port = 0
        self._losing = False
        self._healed = asyncio.Event()
        self._healed.set()

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, HOST, self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Connections are refused from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def lose_answer(self) -> None:
        self._losing = True

    def mute(self) -> None:
        self._healed.clear()

    async def heal(self) -> None:
        self._losing = False
        self._healed.set()
        await self.open()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            command = await reader.readline()
            muted = not self._healed.is_set()
            await self._healed.wait()
            if muted:
                return  # nobody waits for this answer any more, and nothing was done
            answer = await self._asked(command)
            if self._losing and command.startswith(CHANGES):
                self._losing = False
                return
            writer.write(answer)
            await writer.drain()
        except ConnectionError:
            pass  # the driver has given up
        finally:
            writer.close()

    async def _asked(self, command: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._target)
        writer.write(command)
        answer = await reader.read()
        writer.close()
        return answer
