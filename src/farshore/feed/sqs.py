"""AWS S3 events from an SQS queue: direct, through an SNS topic, or from EventBridge.

A message is deleted only when its delivery is settled, that is, when its keys were
applied. Until then it is kept hidden from other receivers; if this process dies, SQS
gives it to the next one. A message that cannot be read is counted and never deleted:
it comes again, so that the queue's redrive policy can take it to a dead-letter queue.
Where there is no such policy it is put aside for hours after `POISON_RECEIVES_MAX`
receives, and stays until the queue's own retention ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from farshore.config.values import SQS_WAIT_S
from farshore.credentials import Credentials
from farshore.errors import Corrupt, Denied, FarshoreError, StoreError, Unreachable
from farshore.feed.events import read_event
from farshore.feed.hint import Listener, Nobody, Settles
from farshore.feed.in_hand import POISON_RECEIVES_MAX, InHand, MessageDelivery, Poison, end
from farshore.feed.sqs_queue import ATTEMPTS_MAX, BATCH_MAX, READ_SECONDS_SPARE, Message, SqsQueue

VISIBILITY_SECONDS = 30
"""How soon messages come again after this process died, or that an answer lost on its way held."""

SENDER_LATE_SECONDS = 120.0
"""AWS: "typically delivered in seconds but can sometimes take a minute or longer". Twice that."""

IN_HAND_MAX = 2000
"""Messages in work at one time."""

RECEIVERS_MAX = 8
"""Requests that receive at one time, while the queue gives full batches."""

DELETERS_MAX = 4
"""Requests that delete at one time."""

ASIDE_SECONDS = 11 * 3600
"""How long an unreadable message is put aside. SQS allows 12 hours from its receive."""

GIVE_BACK_SECONDS_MAX = 5.0
"""How long closing may take to give messages back; SQS does it by itself, later."""


def late_s(wait_s: int, visibility_s: int = VISIBILITY_SECONDS) -> float:
    """By how much a feed may be late whose requests wait for so long: `SqsFeed.late_s`."""
    request_s = wait_s + READ_SECONDS_SPARE
    return SENDER_LATE_SECONDS + (ATTEMPTS_MAX - 1) * max(visibility_s, request_s)


class _Received(NamedTuple):
    """`is_full`: the queue gave all that was asked for, so there is more."""

    deliveries: list[MessageDelivery]
    is_full: bool


class SqsFeed:
    """A `Feed` of one queue. `keys` is called at each new connection, so that temporary
    keys can be fetched again. `poison` counts what could not be read."""

    settles: Settles = "applied"

    def __init__(
        self,
        queue_url: str,
        *,
        region: str,
        keys: Callable[[], Awaitable[Credentials]],
        ca_file: Path | None = None,
        visibility_s: int = VISIBILITY_SECONDS,
        wait_s: int = SQS_WAIT_S,
        in_hand_max: int = IN_HAND_MAX,
    ) -> None:
        self.name = f"sqs {queue_url.rpartition('/')[2]}"
        self.poison = Poison()
        self._url = queue_url
        self._region = region
        self._keys = keys
        self._ca_file = ca_file
        self._visibility_s = visibility_s
        self._wait_s = wait_s
        self._in_hand = InHand(in_hand_max)
        self._listener: Listener = Nobody()
        self._queue: SqsQueue | None = None
        self._has_answered = False  # since it was connected
        self._deletions = _Deletions(self._delete)

    @property
    def late_s(self) -> float:
        """The sender's delay, and that of a message whose receive got lost on the way: it is
        hidden until its visibility timeout ends, or we give the request up and try again."""
        return late_s(self._wait_s, self._visibility_s)

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def deliveries(self) -> AsyncGenerator[MessageDelivery, None]:
        """See `Feed`. What was given out before and not settled comes again."""
        self._in_hand.clear()
        self._has_answered = False
        try:
            queue = await self._open()
            async with aclosing(self._read(queue)) as read:
                async for delivery in read:
                    yield delivery
        except Denied:
            await self._disconnect()  # the next start fetches the keys anew
            raise

    async def aclose(self) -> None:
        """Unsettled messages are given back at once, as far as SQS can be reached."""
        if self._queue and len(self._in_hand):
            with suppress(StoreError, TimeoutError):  # their visibility timeout does the same
                async with asyncio.timeout(GIVE_BACK_SECONDS_MAX):
                    await self._queue.hold(self._in_hand.tokens(), 0)
        self._in_hand.clear()
        await self._disconnect()

    async def _open(self) -> SqsQueue:
        if self._queue is None:
            keys = await self._keys()
            self._queue = await SqsQueue.open(
                self._url, self._region, keys, wait_s=self._wait_s, ca_file=self._ca_file
            )
        return self._queue

    async def _disconnect(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            await queue.aclose()

    async def _read(self, queue: SqsQueue) -> AsyncGenerator[MessageDelivery, None]:
        """One receiver while the queue is calm, more while it gives full batches."""
        keeper = asyncio.create_task(self._keep(queue))
        receivers = {asyncio.create_task(self._receive(queue))}
        try:
            while True:
                done, _ = await asyncio.wait(
                    {keeper, *receivers}, return_when=asyncio.FIRST_COMPLETED
                )
                if keeper in done:
                    keeper.result()  # it ends only by an error
                finished = receivers & done
                receivers -= finished
                received = [task.result() for task in finished]
                wanted = max(1, len(receivers) + 2 * sum(one.is_full for one in received))
                for _ in range(len(receivers), min(wanted, RECEIVERS_MAX)):
                    receivers.add(asyncio.create_task(self._receive(queue)))
                for one in received:
                    for delivery in one.deliveries:
                        yield delivery
        finally:
            await end({keeper, *receivers})

    async def _receive(self, queue: SqsQueue) -> _Received:
        room = await self._in_hand.reserve(BATCH_MAX)
        # The first answer tells that the queue is there: it is not waited for.
        wait_s = self._wait_s if self._has_answered else 0
        try:
            messages = await queue.receive(room, wait_s=wait_s, visibility_s=self._visibility_s)
            self._has_answered = True
            self._listener.answered()
            found = [await self._delivery(queue, message) for message in messages]
        finally:
            self._in_hand.release(room)
        return _Received([one for one in found if one is not None], len(messages) == room)

    async def _delivery(self, queue: SqsQueue, message: Message) -> MessageDelivery | None:
        """None for what needs no work: no change is named, it is in work, or cannot be read."""
        try:
            hints, notice = read_event(message.body)
        except Corrupt as error:
            await self._leave(queue, message, str(error))
            return None
        if notice:
            self._listener.noticed(notice)
        if not hints:
            await self._deletions.add(message.receipt)
            return None
        if not self._in_hand.hold(message.message_id, message.receipt):
            return None
        settle = partial(self._settle, message.message_id, message.receipt)
        return MessageDelivery(tuple(hints), settle)

    async def _leave(self, queue: SqsQueue, message: Message, why: str) -> None:
        """To the redrive policy; where there is none, out of the way."""
        if self.poison.note(message.message_id, message.receives, why):
            self._listener.unreadable(why)
        if message.receives > POISON_RECEIVES_MAX:
            await queue.hold([message.receipt], ASIDE_SECONDS)

    async def _settle(self, message_id: str, receipt: str) -> None:
        await self._deletions.add(self._in_hand.drop(message_id, receipt))

    async def _delete(self, receipts: list[str]) -> None:
        if self._queue is None:
            raise Unreachable(
                f"The feed {self.name} is not connected: the messages will come again."
            )
        await self._queue.delete(receipts)

    async def _keep(self, queue: SqsQueue) -> None:
        """Hold what is in work, well before it would be given to somebody else."""
        while True:
            await asyncio.sleep(self._visibility_s / 3)
            await queue.hold(self._in_hand.tokens(), self._visibility_s)


class _Deletions:
    """Deletes that wait while others are on their way, and then go together."""

    def __init__(self, delete: Callable[[list[str]], Awaitable[None]]) -> None:
        self._delete = delete
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._workers: set[asyncio.Task[None]] = set()

    async def add(self, receipt: str) -> None:
        """Returns when SQS has deleted it; a `StoreError` when it has not."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((receipt, done))
        if len(self._workers) < DELETERS_MAX:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            error: FarshoreError | None = None
            try:
                await self._delete([receipt for receipt, _ in batch])
            except FarshoreError as caught:
                error = caught
            for _, done in batch:
                _tell(done, error)


def _tell(done: asyncio.Future[None], error: FarshoreError | None) -> None:
    if done.done():
        return  # whoever waited was cancelled
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
