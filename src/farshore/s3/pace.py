"""Going slower: requests and bytes of a site pass through a gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from farshore.clock import Clock, SystemClock
from farshore.s3.store import Body, Chunk, ObjectInfo, ObjectRead, Store, Stream
from farshore.s3.wrap import Operation, Through, Wrapper

T = TypeVar("T")

NAP_S = 1.0
"""Who waits looks at the rate this often: it may have been changed."""

BURST_S = 1.0
"""A bucket that has not been used for a while lets this many seconds' worth go at once."""


class Gate(Protocol):
    """Lets requests and bytes through at some pace."""

    async def request(self) -> None:
        """Wait until one more request may go."""
        ...

    async def transfer(self, count: int) -> None:
        """Wait until `count` more bytes may go, in either direction."""
        ...


class TokenBucket:
    """`rate` tokens a second; 0: no limit. Who takes more than there are, waits until they
    are paid for.

    Debts add up in the order of asking, so that the pace holds however many ask at once.
    The rate may be changed at any time; who waits already then goes by the new one.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rate = rate
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self.level = rate * BURST_S
        self._at = self._clock.monotonic()

    async def take(self, count: float) -> None:
        """Take `count` tokens, waiting for as long as that puts the bucket in debt."""
        now = self._clock.monotonic()
        self.level = min(self.level + (now - self._at) * self.rate, self.rate * BURST_S) - count
        self._at = now
        debt = -self.level
        while debt > 0 and self.rate > 0:
            rate = self.rate
            seconds = min(debt / rate, NAP_S)
            await self._sleep(seconds)
            debt -= seconds * rate if seconds == NAP_S else debt

    def change(self, rate: float) -> None:
        """Another rate from now on. What was taken at the old one is settled by it."""
        now = self._clock.monotonic()
        self.level = min(self.level + (now - self._at) * self.rate, self.rate * BURST_S)
        if not self.rate or not rate:
            self.level = 0.0  # without a limit nothing was owed, and nothing is
        self._at = now
        self.rate = rate


class RateGate:
    """A gate of two token buckets. None lets everything through."""

    def __init__(self, requests: TokenBucket | None, transfers: TokenBucket | None) -> None:
        self._requests = requests
        self._transfers = transfers

    async def request(self) -> None:
        if self._requests is not None and self._requests.rate:
            await self._requests.take(1)

    async def transfer(self, count: int) -> None:
        if self._transfers is not None and self._transfers.rate:
            await self._transfers.take(count)


class Throttle:
    """The rates of every site, which can be changed while stores are in use. 0: no limit.

    `rates` answers (requests, bytes) per second for a site that is asked for first.
    """

    def __init__(self, rates: Callable[[str], tuple[float, float]]) -> None:
        self._rates = rates
        self._buckets: dict[str, tuple[TokenBucket, TokenBucket]] = {}

    def gate(self, site: str) -> RateGate:
        """What all stores of that site pass through."""
        return RateGate(*self.buckets(site))

    def buckets(self, site: str) -> tuple[TokenBucket, TokenBucket]:
        """One for requests and one for bytes, made when they are first asked for."""
        if site not in self._buckets:
            requests, transfers = self._rates(site)
            self._buckets[site] = (TokenBucket(requests), TokenBucket(transfers))
        return self._buckets[site]

    def change(self, site: str, requests_per_s: float, bytes_per_s: float) -> None:
        """Other rates for one site, from now on."""
        if site in self._buckets:
            requests, transfers = self._buckets[site]
            requests.change(requests_per_s)
            transfers.change(bytes_per_s)


class Limited(Wrapper):
    """Passes every request, and every byte of a body, through a gate."""

    def __init__(self, inner: Store, gate: Gate) -> None:
        super().__init__(inner)
        self._gate = gate

    async def around(self, operation: Operation, call: Callable[[], Awaitable[T]]) -> T:
        await self._gate.request()
        if isinstance(operation.body, bytes) and operation.body:
            await self._gate.transfer(len(operation.body))
        return await call()

    def sending(self, body: Body) -> Body:
        if isinstance(body, Stream):
            return Stream(body.length, _Paced(body.chunks, self._gate))
        return body

    def reading(self, read: ObjectRead) -> ObjectRead:
        return _PacedRead(read, self._gate)


class _Paced(Through):
    """Chunks of a body, each let through by the gate."""

    def __init__(self, chunks: AsyncIterator[Chunk], gate: Gate) -> None:
        super().__init__(chunks)
        self._gate = gate

    async def __anext__(self) -> Chunk:
        chunk = await anext(self._chunks)
        await self._gate.transfer(len(chunk))
        return chunk


class _PacedRead:
    """An open GET whose body goes through the gate."""

    def __init__(self, read: ObjectRead, gate: Gate) -> None:
        self._read = read
        self._gate = gate

    @property
    def info(self) -> ObjectInfo:
        return self._read.info

    @property
    def body_length(self) -> int:
        return self._read.body_length

    async def read(self) -> bytes:
        await self._gate.transfer(self._read.body_length)
        return await self._read.read()

    def chunks(self) -> AsyncIterator[Chunk]:
        return _Paced(self._read.chunks(), self._gate)
