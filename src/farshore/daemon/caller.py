"""One caller's connection to the daemon, before anybody knows who it is.

uvicorn's reader of requests has bounds for neither the size of a head nor the time that one may
take: a caller without a token could fill memory (1 GiB in 2 s, measured), or hold connections
until no file was left for the sites.
"""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SILENT_BYTES_MAX = 64 * 1024
"""Bytes that bring neither a whole head nor a body; and what came with them in one read."""

SILENT_SECONDS_MAX = 10.0
"""How long a head may take, and what is left of a body that nobody reads any more."""

CONNECTIONS_MAX = 2048
"""Of all callers together, those that wait for a change among them."""


def connections_max() -> int:
    """Half of the files that this process may open are for others than callers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else min(CONNECTIONS_MAX, soft // 2)


class Caller(HttpToolsProtocol):
    """A connection that is given up when it says too much, or too slowly, before it asks."""

    _silent = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if len(self.connections) > connections_max():
            transport.abort()
        else:
            self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_content()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._silent += len(data)
        if not self._is_answered_for:
            self._be_patient()
        super().data_received(data)
        if self._silent > SILENT_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_headers_complete(self) -> None:
        self._be_content()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._be_content()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """What was answered before all of it came, has so long to come to its end."""
        if self.cycle.more_body:
            self._be_patient()
        super().on_response_complete()

    @property
    def _is_answered_for(self) -> bool:
        """A request is being answered: whoever answers has bounds of its own for its body."""
        return self.cycle is not None and not self.cycle.response_complete

    def _be_patient(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(SILENT_SECONDS_MAX, self.transport.abort)

    def _be_content(self) -> None:
        self._silent = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
