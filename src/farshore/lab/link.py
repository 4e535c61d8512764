"""The link process: a TCP line between farshore and every site of one lab.

    python -m farshore.lab.link CONTROL_SOCKET

It speaks JSON lines on a unix socket: one request, one answer. Requests:
`{"do": "open", "site"}` -> `{"ports": {"s3", "filer", "filer_grpc"}}`; `{"do": "aim", "site",
"targets": {"s3": port, …} | null}`, where a door without a target refuses; `{"do": "set",
"site", "settings"}`;
`{"do": "get", "site"}` -> `{"settings", "connections"}`.

Standard input is the lifeline of the command that starts the lab. Should it close
before the word `up` came, that command is dead: the link ends what it left behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from farshore.lab import process
from farshore.lab.flow import Line
from farshore.lab.ports import HOST, hold
from farshore.lab.settings import LinkSettings
from farshore.lab.tunnel import Tunnel

BACKLOG = 1024
TUNNELS_MAX = 4096
"""Connections through one site's link; more are reset."""

UP = b"up"
"""The word on the lifeline that says: the lab is up, stay."""

DOORS = ("s3", "filer", "filer_grpc")
"""What is reached through each site's link."""


class Door:
    """One listening port of a link. The port stays ours while nobody listens on it.

    Shutting a listening socket down makes the kernel refuse connections and keep the
    binding; listen() opens it again (Linux's tcp_disconnect keeps a bound port). So a
    dead site refuses as a host does whose server has died, and no stranger can step in.
    """

    def __init__(self, link: Link) -> None:
        self.target: int | None = None
        self._link = link
        (self._bound,) = hold(1)
        # Not before the bind, which is to be exclusive; before listening, or connections
        # that linger (TIME_WAIT) forbid listening a second time.
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port: int = self._bound.getsockname()[1]
        self._server: asyncio.Server | None = None

    async def listen(self, wanted: bool) -> None:
        """Accept connections, or refuse them."""
        if wanted and self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: self._link.tunnel(self).client, sock=self._bound.dup(), backlog=BACKLOG
            )
        elif not wanted and self._server is not None:
            self._bound.shutdown(socket.SHUT_RD)
            self._server.close()
            self._server = None


class Link:
    """One site's line: its doors, its settings, its connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.line = Line(loop, seed=sum(name.encode()))
        self.doors = {door: Door(self) for door in DOORS}
        self.tunnels: dict[Tunnel, Door] = {}
        self._awaiting: dict[Tunnel, Door] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def tunnel(self, door: Door) -> Tunnel:
        """A tunnel for a connection that is just being accepted."""
        made = Tunnel(self.line, self)
        self._awaiting[made] = door
        return made

    def opened(self, tunnel: Tunnel) -> None:
        """The client's side is there: connect the server's, unless the line is cut."""
        self.tunnels[tunnel] = self._awaiting.pop(tunnel)
        if len(self.tunnels) > TUNNELS_MAX:
            tunnel.reset()
        elif not self.line.frozen:
            self._connect(tunnel)
        else:
            self._awaiting[tunnel] = self.tunnels[tunnel]

    def closed(self, tunnel: Tunnel) -> None:
        self.tunnels.pop(tunnel, None)
        self._awaiting.pop(tunnel, None)

    def room(self, tunnel: Tunnel, size: int) -> int:
        """Count towards the reset that is set, if one is."""
        limit = self.line.settings.reset_after
        if limit is None:
            return size
        tunnel.carried += size
        if tunnel.carried <= limit:
            return size
        self.line.settings = replace(self.line.settings, reset_after=None)
        return size - (tunnel.carried - limit)

    def _connect(self, tunnel: Tunnel) -> None:
        task = self.line.loop.create_task(self._reach(tunnel, self.tunnels[tunnel].target))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _reach(self, tunnel: Tunnel, port: int | None) -> None:
        if port is None:
            tunnel.reset()
            return
        try:
            await self.line.loop.create_connection(lambda: tunnel.server, HOST, port)
        except OSError:
            tunnel.reset()

    async def aim(self, targets: dict[str, int] | None) -> None:
        """The site's own ports, or None while it is dead."""
        for name, door in self.doors.items():
            door.target = targets.get(name) if targets else None
        await self._settle()

    async def apply(self, settings: LinkSettings) -> None:
        """Take new settings; they hold for the connections that exist, too."""
        self.line.settings = settings
        for tunnel in list(self.tunnels):
            tunnel.carried = 0
            if settings.refuse:
                tunnel.reset()
            tunnel.wake()
        self.line.pump()
        if not settings.cut:
            self._connect_awaiting()
        await self._settle()

    def _connect_awaiting(self) -> None:
        """The line is whole again: connect what came while it was cut."""
        for tunnel in list(self._awaiting):
            if tunnel in self.tunnels:
                del self._awaiting[tunnel]
                self._connect(tunnel)

    async def _settle(self) -> None:
        """Listen or refuse. A cut line does not refuse: nobody is there to say no."""
        settings = self.line.settings
        for door in self.doors.values():
            reachable = door.target is not None or settings.cut
            await door.listen(reachable and not settings.refuse)


class Control:
    """Carries out the requests of the lab's commands."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request's answer."""
        if request["do"] == "open":
            link = Link(asyncio.get_running_loop(), request["site"])
            self._links[request["site"]] = link
            return {"ports": {name: door.port for name, door in link.doors.items()}}
        link = self._links[request["site"]]
        if request["do"] == "aim":
            await link.aim(request["targets"])
        elif request["do"] == "set":
            await link.apply(LinkSettings(**request["settings"]))
        return {"settings": link.line.settings.to_json(), "connections": len(link.tunnels)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One command's conversation."""
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self.answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # the command went away; there is nobody to tell
        finally:
            writer.close()


def _give_up(socket_path: Path) -> None:
    """The starting command died: end its other processes, then this one."""
    process.sweep(os.environ[process.MARK])
    shutil.rmtree(socket_path.parent, ignore_errors=True)
    os._exit(1)


def _watch_lifeline(loop: asyncio.AbstractEventLoop, socket_path: Path) -> None:
    def readable() -> None:
        loop.remove_reader(0)
        if os.read(0, len(UP)) != UP:
            _give_up(socket_path)

    loop.add_reader(0, readable)


async def _run(socket_path: Path) -> None:
    _watch_lifeline(asyncio.get_running_loop(), socket_path)
    server = await asyncio.start_unix_server(Control().serve, str(socket_path))
    await server.serve_forever()


def _raise_file_limit() -> None:
    """Each connection takes two descriptors; the soft limit is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(socket_path: Path) -> None:
    _raise_file_limit()
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(socket_path))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
