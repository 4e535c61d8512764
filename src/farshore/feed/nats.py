"""MinIO's bucket notifications from a NATS JetStream stream, by a durable pull consumer.

A message is acknowledged only when its delivery is settled, that is, when its keys were
applied. Until then the server is told that it is in work; if this process dies, the
server delivers it to the next one. A message that cannot be read is counted and given
back to come again later; after `POISON_RECEIVES_MAX` deliveries it is ended, of which
the server publishes an advisory (NATS has no other dead-letter queue).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from functools import partial

from farshore.config import NatsSource
from farshore.errors import Corrupt, StoreError, Unreachable
from farshore.feed.events import read_event
from farshore.feed.hint import SENDER_LATE_S, Listener, Nobody, Settles
from farshore.feed.in_hand import POISON_RECEIVES_MAX, InHand, MessageDelivery, Poison, end
from farshore.feed.nats_stream import Message, NatsStream

ACK_WAIT_SECONDS = 60.0
"""How soon messages come again after this process died, where the consumer is ours."""

IN_HAND_MAX = 2000
"""Messages in work at one time."""

PULL_MAX = 256
"""Messages of one pull request."""

POISON_DELAY_SECONDS = 30.0
"""An unreadable message comes again after this, doubled each time."""

GIVE_BACK_SECONDS_MAX = 5.0
"""How long closing may take to give messages back; the server does it by itself, later."""


def late_s(again_s: float = ACK_WAIT_SECONDS) -> float:
    """By how much a feed may be late whose consumer gives messages anew after `again_s`."""
    return SENDER_LATE_S + again_s


class NatsFeed:
    """A `Feed` of one stream. `secret` answers the token, the password of the source's user,
    or ""; it is called at each new connection. `poison` counts what could not be read."""

    settles: Settles = "applied"

    def __init__(
        self,
        source: NatsSource,
        *,
        secret: Callable[[], str],
        ack_wait_s: float = ACK_WAIT_SECONDS,
        in_hand_max: int = IN_HAND_MAX,
        poison_delay_s: float = POISON_DELAY_SECONDS,
    ) -> None:
        self.name = f"nats {source.stream}"
        self.poison = Poison()
        self._source = source
        self._secret = secret
        self._ack_wait_s = ack_wait_s
        self._poison_delay_s = poison_delay_s
        self._in_hand = InHand(in_hand_max)
        self._listener: Listener = Nobody()
        self._stream: NatsStream | None = None

    @property
    def late_s(self) -> float:
        """The sender's delay, and that of a message which went to a process that has died:
        it comes again when the consumer's wait for an acknowledgement ends."""
        return late_s(self._ack_wait_s if self._stream is None else self._stream.again_s)

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def deliveries(self) -> AsyncGenerator[MessageDelivery, None]:
        """See `Feed`. What was given out before and not settled comes again."""
        self._in_hand.clear()
        await self._disconnect()
        stream = await NatsStream.open(self._source, self._secret(), ack_wait_s=self._ack_wait_s)
        self._stream = stream
        self._listener.answered()
        async with aclosing(self._read(stream)) as read:
            async for delivery in read:
                yield delivery

    async def aclose(self) -> None:
        """Unsettled messages are given back at once, as far as the server can be reached."""
        if self._stream is not None:
            with suppress(StoreError, TimeoutError):  # the consumer's ack wait does the same
                async with asyncio.timeout(GIVE_BACK_SECONDS_MAX):
                    for token in self._in_hand.tokens():
                        await self._stream.give_back(token)
        self._in_hand.clear()
        await self._disconnect()

    async def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _read(self, stream: NatsStream) -> AsyncGenerator[MessageDelivery, None]:
        keeper = asyncio.create_task(self._keep(stream))
        try:
            while True:
                if not stream.asked:
                    await self._ask(stream)
                message = await stream.next()
                delivery = await self._delivery(stream, message) if message else None
                if delivery:
                    yield delivery
        finally:
            await end({keeper})
            with suppress(StoreError):  # a broken connection has stopped by itself
                await stream.stop()

    async def _ask(self, stream: NatsStream) -> None:
        """The room is free again at once: one reader asks, and each message takes its own."""
        room = await self._in_hand.reserve(PULL_MAX)
        self._in_hand.release(room)
        await stream.ask(room)

    async def _delivery(self, stream: NatsStream, message: Message) -> MessageDelivery | None:
        """None for what needs no work: no change is named, it is in work, or cannot be read."""
        try:
            hints, notice = read_event(message.body)
        except Corrupt as error:
            await self._leave(stream, message, str(error))
            return None
        if notice:
            self._listener.noticed(notice)
        if not hints:
            await stream.ack(message.token)
            return None
        if not self._in_hand.hold(message.sequence, message.token):
            return None
        return MessageDelivery(tuple(hints), partial(self._settle, message.sequence, message.token))

    async def _leave(self, stream: NatsStream, message: Message, why: str) -> None:
        if self.poison.note(message.sequence, message.receives, why):
            self._listener.unreadable(why)
        if message.receives >= POISON_RECEIVES_MAX:
            await stream.end(message.token, why)
        else:
            delay_s = self._poison_delay_s * 2 ** (message.receives - 1)
            await stream.give_back(message.token, delay_s)

    async def _settle(self, sequence: str, token: str) -> None:
        token = self._in_hand.drop(sequence, token)
        if self._stream is None:
            raise Unreachable(
                f"The feed {self.name} is not connected: the messages will come again."
            )
        await self._stream.ack(token)

    async def _keep(self, stream: NatsStream) -> None:
        """Say that what is in work is in work, well before it would be delivered anew.

        It needs no watching: it ends only when the connection breaks, and so does the reader.
        """
        with suppress(StoreError):
            while True:
                await asyncio.sleep(stream.ack_wait_s / 3)
                await stream.hold(self._in_hand.tokens())
