"""One subscription, read by a thread of its own.

The filer sends each change in a message of its own, three for one PUT. Whoever asks for them
one by one on the event loop pays two changes of threads for each; on a machine that is busy
(16 runnable tasks on 2 cores, measured) that is 0.1 s a message, and hints come seconds late.
This thread takes all that has come without waiting, and wakes the loop once for all of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.experimental

from farshore.control.seal import Seal

RECEIVED_MAX = 1_000
"""Messages that were read and not yet taken; then the filer has to wait."""

RECEIVED_BYTES_MAX = 64 * 2**20
"""The same in bytes, and one message more: most have some hundred, the largest 64 MiB each."""

CLOSE_SECONDS_MAX = 2.0
"""How long closing waits for the thread, which ends by itself a little later in any case."""

MESSAGE_BYTES_MAX = 64 * 2**20
"""One message: 256 changes at most, each with every chunk of the old and the new body."""

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # For filers that give no signs of life. More often, and they close the connection.
    ("grpc.keepalive_time_ms", 75_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A subscription that fails is begun anew by the caller, after a pause of its own.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # The thread that reads is the one that asks the library for news: no other is woken.
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
)


class Room:
    """For so many messages and bytes. One thread fills it, the loop empties it."""

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._messages = 0
        self._bytes = 0
        self._is_closed = False

    def enter(self, size: int) -> None:
        """Wait until there is room for a message, of any size; at once when it is closed."""
        with self._changed:
            self._changed.wait_for(self._has_some)
            self._messages += 1
            self._bytes += size

    def _has_some(self) -> bool:
        full = self._messages >= self._messages_max or self._bytes >= self._bytes_max
        return self._is_closed or not full

    def leave(self, messages: int, size: int) -> None:
        """So much was taken."""
        with self._changed:
            self._messages -= messages
            self._bytes -= size
            self._changed.notify()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()


def _channel(address: str, seal: Seal | None) -> Any:
    """gRPC verifies the certificate and its name wherever there is TLS."""
    if seal is None:
        return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    named = (("grpc.ssl_target_name_override", seal.server_name),) if seal.server_name else ()
    ours = grpc.ssl_channel_credentials(seal.authorities, seal.key, seal.certificate)
    return grpc.secure_channel(address, ours, options=(*CHANNEL_OPTIONS, *named))


class FilerStream:
    """Serialised responses to one serialised `request`. It belongs to one event loop. With a
    `seal` over TLS, in the clear without."""

    def __init__(
        self,
        address: str,
        method: str,
        request: bytes,
        *,
        seal: Seal | None = None,
        received_max: int = RECEIVED_MAX,
        bytes_max: int = RECEIVED_BYTES_MAX,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._received: deque[bytes] = deque()
        self._room = Room(received_max, bytes_max)
        self._is_called = False  # the loop, and it has not come yet
        self._has_ended = False
        self._error: grpc.RpcError | None = None
        self._channel = _channel(address, seal)
        self._call: Any = self._channel.unary_stream(method)(request)
        self.thread = threading.Thread(target=self._read, name="filer", daemon=True)
        self.thread.start()

    async def take(self, seconds_max: float | None) -> list[bytes]:
        """All that has come, in order, at least one; [] at the end. Raises `grpc.RpcError`, and
        `TimeoutError` when nothing comes for so long."""
        async with asyncio.timeout(seconds_max):
            await self._until(lambda: bool(self._received) or self._has_ended)
        found = [self._received.popleft() for _ in range(len(self._received))]
        if found:
            self._room.leave(len(found), sum(map(len, found)))
        elif self._error is not None:
            raise self._error
        return found

    async def aclose(self) -> None:
        """End the subscription. What was not taken is forgotten."""
        self._call.cancel()
        self._room.close()  # it may wait for room: then it comes to see that it was cancelled
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._until(lambda: self._has_ended)
        self._channel.close()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._news.clear()
            await self._news.wait()

    def _read(self) -> None:
        """The thread."""
        try:
            for response in self._call:
                self._room.enter(len(response))
                self._received.append(response)
                self._tell()
        except grpc.RpcError as error:
            self._error = error
        finally:
            self._has_ended = True
            self._tell()

    def _tell(self) -> None:
        if not self._is_called:
            self._is_called = True
            with suppress(RuntimeError):  # the loop has been closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._is_called = False
        self._news.set()
