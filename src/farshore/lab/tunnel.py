"""One connection through a link: two sockets and a flow each way.

client <--socket--> Side(client) == Flow ==> Side(server) <--socket--> server
                    Side(client) <== Flow == Side(server)
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Protocol

from farshore.lab.flow import End, Flow, Line

WRITE_BUFFER_BYTES = 1024 * 1024
"""What a socket's own buffer may hold before its flow is told to wait."""

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: close() sends RST and forgets unsent bytes (socket(7))."""


class Keeper(Protocol):
    """The link that keeps the books of its tunnels."""

    def opened(self, tunnel: Tunnel) -> None: ...

    def closed(self, tunnel: Tunnel) -> None: ...

    def room(self, tunnel: Tunnel, size: int) -> int: ...


def _break(transport: asyncio.Transport | None) -> None:
    """Close a socket with RST."""
    if transport is None or transport.is_closing():
        return
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


class Side(asyncio.Protocol):
    """One end of a tunnel: where its bytes come from and go to."""

    def __init__(self, tunnel: Tunnel, outgoing: Flow, incoming: Flow) -> None:
        self.transport: asyncio.Transport | None = None
        self._tunnel = tunnel
        self._outgoing = outgoing
        self._incoming = incoming

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        # asyncio does so by itself only for sockets whose protocol is named, and accepted
        # ones have none: small writes would wait up to 40 ms for the peer's acknowledgement.
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self._outgoing.source = transport
        self._incoming.sink = transport
        self._outgoing.regulate()
        self._incoming.wake()
        self._tunnel.joined(self)

    def data_received(self, data: bytes) -> None:
        self._outgoing.take(data)

    def eof_received(self) -> bool:
        self._outgoing.end(End.FIN)
        return True  # the other direction may still have something to say

    def pause_writing(self) -> None:
        self._incoming.set_sink_full(True)

    def resume_writing(self) -> None:
        self._incoming.set_sink_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._outgoing.source = None
        self._incoming.sink = None
        self._incoming.stop()
        self._tunnel.lost(self, broken=exc is not None)


class Tunnel:
    """A client's connection and the one that was opened for it."""

    def __init__(self, line: Line, keeper: Keeper) -> None:
        self.carried = 0
        """Bytes counted towards `LinkSettings.reset_after`."""
        self._keeper = keeper
        self._open = 0
        self._directions = 2
        self._flows = (Flow(line, self), Flow(line, self))
        self.client = Side(self, self._flows[0], self._flows[1])
        self.server = Side(self, self._flows[1], self._flows[0])

    def joined(self, side: Side) -> None:
        """A side's socket is there. The client's is always first."""
        self._open += 1
        client = self.client.transport
        if side is self.client:
            self._keeper.opened(self)
        elif client is None or client.is_closing():  # it left while we were connecting
            self.reset()

    def lost(self, side: Side, *, broken: bool) -> None:
        """A side's socket is gone; a broken one breaks the other, after its last bytes."""
        self._open -= 1
        if broken:
            self._flows[0 if side is self.client else 1].end(End.RST)
        if self._open == 0:
            self._keeper.closed(self)

    def wake(self) -> None:
        """The line's settings changed."""
        for flow in self._flows:
            flow.wake()

    def room(self, size: int) -> int:
        return self._keeper.room(self, size)

    def finished(self) -> None:
        """One direction has ended; with the second, the tunnel closes."""
        self._directions -= 1
        if self._directions == 0:
            for side in (self.client, self.server):
                if side.transport is not None:
                    side.transport.close()

    def reset(self) -> None:
        """Break both sides now."""
        for flow in self._flows:
            flow.stop()
        _break(self.client.transport)
        _break(self.server.transport)
