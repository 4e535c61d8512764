"""Trying again and going slower, with a store in memory that fails on command."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest

from farshore.errors import (
    BadListing,
    Corrupt,
    Denied,
    OutcomeUnknown,
    Precondition,
    ServerFault,
    StoreError,
    Throttled,
    Unreachable,
)
from farshore.s3.client import S3Client
from farshore.s3.pace import BURST_S, Limited, RateGate, TokenBucket
from farshore.s3.store import Store, Stream
from farshore.s3.wrap import Operation, Retrying, RetryPolicy, Wrapper
from farshore.testing.store.call import Call
from farshore.testing.store.memory import MemoryStore
from tests.unit.sites import ManualClock

PROTOCOL: list[type[Store]] = [S3Client, Wrapper, Retrying, Limited]
"""Checked by the type checker: each is a whole store."""


class Failing:
    """A hook that raises the given errors, one per call of `operation`, then none."""

    def __init__(self, operation: str, errors: list[StoreError]) -> None:
        self._operation = operation
        self._errors = errors
        self.calls = 0

    async def before(self, call: Call) -> None:
        if call.operation != self._operation:
            return
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)

    async def after(self, call: Call) -> None:
        """Nothing happens after."""


class Trial(NamedTuple):
    """A store that fails, the same store with retries, and the pauses that were made."""

    plain: MemoryStore
    store: Retrying
    failing: Failing
    pauses: list[float]
    told: list[tuple[str, str]]


async def trial(operation: str, *errors: StoreError, policy: RetryPolicy | None = None) -> Trial:
    failing = Failing(operation, list(errors))
    plain = MemoryStore("west", clock=ManualClock(), hook=failing)
    pauses: list[float] = []
    told: list[tuple[str, str]] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    def on_retry(what: Operation, error: StoreError, delay: float) -> None:
        assert delay >= 0
        told.append((what.name, error.cause_word))

    store = Retrying(
        plain,
        policy or RetryPolicy(attempts_max=3, delay_s_first=1.0, delay_s_max=10.0),
        rng=random.Random(1),
        sleep=sleep,
        on_retry=on_retry,
    )
    waiting, failing._errors = failing._errors, []
    await plain.create_bucket("b")
    await plain.put_versioning("b", True)
    await plain.put("b", "k", b"content")
    failing.calls = 0
    failing._errors = waiting
    return Trial(plain, store, failing, pauses, told)


async def ids(store: Store) -> list[str]:
    return [entry.version_id for entry in (await store.list_versions("b")).entries]


async def opened(store: Store) -> bytes:
    async with store.get("b", "k") as read:
        return await read.read()


Act = Callable[[Store], Awaitable[object]]

REPEATABLE: dict[str, Act] = {
    "list_versions": lambda s: s.list_versions("b"),
    "head": lambda s: s.head("b", "k"),
    "get": opened,
    "get_tags": lambda s: s.get_tags("b", "k"),
    "put_tags": lambda s: s.put_tags("b", "k", "", (("a", "b"),)),
    "list_uploads": lambda s: s.list_uploads("b"),
    "list_buckets": lambda s: s.list_buckets(),
    "create_bucket": lambda s: s.create_bucket("b"),
    "get_versioning": lambda s: s.get_versioning("b"),
    "put_versioning": lambda s: s.put_versioning("b", True),
}
ADDING: dict[str, Act] = {
    "put": lambda s: s.put("b", "k", b"new"),
    "delete": lambda s: s.delete("b", "k"),
    "create_upload": lambda s: s.create_upload("b", "k"),
}


@pytest.mark.parametrize("operation", REPEATABLE)
@pytest.mark.parametrize(
    "error",
    [Unreachable("u"), Throttled("t"), ServerFault("f"), OutcomeUnknown("o"), Corrupt("c")],
    ids=lambda e: e.cause_word,
)
async def test_what_can_be_repeated_is_tried_again(operation: str, error: StoreError) -> None:
    made = await trial(operation, error)
    await REPEATABLE[operation](made.store)
    assert made.failing.calls == 2
    assert made.told == [(operation, error.cause_word)]


@pytest.mark.parametrize("operation", ADDING)
@pytest.mark.parametrize("error", [Unreachable("u"), Throttled("t")], ids=lambda e: e.cause_word)
async def test_what_adds_is_tried_again_where_nothing_can_have_happened(
    operation: str, error: StoreError
) -> None:
    made = await trial(operation, error)
    await ADDING[operation](made.store)
    assert made.failing.calls == 2


@pytest.mark.parametrize("operation", [*ADDING, "complete_upload"])
@pytest.mark.parametrize(
    "error",
    [ServerFault("it broke", status=500, code="InternalError"), OutcomeUnknown("no answer")],
    ids=lambda e: e.cause_word,
)
async def test_what_adds_is_not_repeated_when_it_may_have_happened(
    operation: str, error: StoreError
) -> None:
    made = await trial(operation, error)
    act: Act = ADDING.get(operation) or (lambda s: s.complete_upload("b", "k", "u", []))
    with pytest.raises(OutcomeUnknown) as caught:
        await act(made.store)
    assert made.failing.calls == 1
    assert made.pauses == []
    assert (caught.value.message, caught.value.code) == (error.message, error.code)


async def test_a_purge_by_version_can_be_repeated() -> None:
    made = await trial("delete", OutcomeUnknown("o"), ServerFault("f"))
    (version_id,) = await ids(made.plain)
    await made.store.delete("b", "k", version_id)
    assert made.failing.calls == 3
    assert await ids(made.plain) == []


async def test_a_part_can_be_repeated() -> None:
    made = await trial("put_part", ServerFault("f"), OutcomeUnknown("o"))
    upload = await made.store.create_upload("b", "k")
    await made.store.put_part("b", "k", upload, 1, b"part")
    assert [part.size for part in await made.store.list_parts("b", "k", upload)] == [4]


@pytest.mark.parametrize(
    "error", [Denied("d"), Precondition("p"), BadListing("l")], ids=lambda e: e.cause_word
)
async def test_a_refusal_stands(error: StoreError) -> None:
    made = await trial("list_versions", error)
    with pytest.raises(type(error)) as caught:
        await made.store.list_versions("b")
    assert caught.value is error
    assert made.failing.calls == 1


async def test_an_unreachable_that_time_cannot_mend_stands() -> None:
    untrusted = Unreachable("its certificate is not trusted")
    untrusted.retryable = False
    for operation, act in (("head", REPEATABLE["head"]), ("put", ADDING["put"])):
        made = await trial(operation, untrusted)
        with pytest.raises(Unreachable):
            await act(made.store)
        assert made.failing.calls == 1


async def test_attempts_end_and_the_last_error_is_raised() -> None:
    errors = [Throttled(str(number)) for number in range(5)]
    made = await trial("head", *errors)
    with pytest.raises(Throttled, match="2"):
        await made.store.head("b", "k")
    assert made.failing.calls == 3
    assert len(made.pauses) == 2


async def test_pauses_double_within_their_bounds_and_are_random() -> None:
    policy = RetryPolicy(attempts_max=2000, delay_s_first=1.0, delay_s_max=10.0)
    made = await trial("head", *[ServerFault("f") for _ in range(1500)], policy=policy)
    await made.store.head("b", "k")
    for number, ceiling in enumerate([1.0, 2.0, 4.0, 8.0, 10.0, 10.0]):
        assert ceiling / 2 <= made.pauses[number] <= ceiling
    assert len(made.pauses) == 1500
    assert max(made.pauses) <= 10.0
    assert len(set(made.pauses)) > 1000


@pytest.mark.parametrize(("asked", "expected"), [(7.0, 7.0), (3600.0, 10.0)])
async def test_the_servers_own_delay_is_kept_within_the_bound(
    asked: float, expected: float
) -> None:
    made = await trial("head", Throttled("t", retry_after=asked))
    await made.store.head("b", "k")
    assert made.pauses == [expected]


async def test_a_cancelled_call_is_not_tried_again() -> None:
    made = await trial("head")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await made.store.around(Operation("head", True), cancelled)
    assert made.pauses == []


# Streams are read once.


async def parts(*content: bytes) -> AsyncIterator[bytes]:
    for part in content:
        yield part


async def test_a_stream_nobody_has_read_goes_with_the_second_attempt() -> None:
    made = await trial("put", Unreachable("u"))
    await made.store.put("b", "s", Stream(4, parts(b"ab", b"cd")))
    async with made.store.get("b", "s") as read:
        assert await read.read() == b"abcd"


async def test_a_stream_that_was_begun_is_not_sent_again() -> None:
    made = await trial("put_part")
    upload = await made.store.create_upload("b", "k")
    calls = 0

    class Breaking(Wrapper):
        """Takes a chunk, then loses its connection."""

        def sending(self, body: Stream | bytes) -> Stream | bytes:
            return body

        async def put_part(self, *args: object, **kw: object) -> str:
            nonlocal calls
            calls += 1
            body = args[4]
            assert isinstance(body, Stream)
            await anext(body.chunks)
            raise Throttled("after the first chunk")

    store = Retrying(Breaking(made.plain), rng=random.Random(1))
    with pytest.raises(Throttled):
        await store.put_part("b", "k", upload, 1, Stream(4, parts(b"ab", b"cd")))
    assert calls == 1


# What the wrapper leaves alone.


async def test_every_operation_is_forwarded_with_its_answer() -> None:
    plain = MemoryStore("west", clock=ManualClock())
    store: Store = Wrapper(plain)
    await store.create_bucket("b")
    await store.put_versioning("b", True)
    written = await store.put("b", "k", b"0123456789")
    assert store.site == "west"
    assert await store.get_versioning("b") == "Enabled"
    assert await store.list_buckets() == ["b"]
    assert await store.head("b", "k") == await plain.head("b", "k", written.version_id)
    async with store.get("b", "k", written.version_id, first=2, last=4) as read:
        assert (read.body_length, await read.read()) == (3, b"234")
    upload = await store.create_upload("b", "m")
    etag = await store.put_part("b", "m", upload, 1, b"part")
    assert [u.upload_id for u in await store.list_uploads("b", "m")] == [upload]
    await store.complete_upload("b", "m", upload, [(1, etag)])
    await store.abort_upload("b", "m", "absent")
    await store.put_tags("b", "k", written.version_id, (("a", "b"),))
    assert await store.get_tags("b", "k", written.version_id) == (("a", "b"),)
    await store.put_legal_hold("b", "k", written.version_id, True)
    await store.put_retention("b", "k", written.version_id, "GOVERNANCE", "2099-01-01T00:00:00Z")
    lock = (await plain.head("b", "k", written.version_id)).attributes.lock
    assert (lock.mode, lock.legal_hold) == ("GOVERNANCE", True)
    assert (await store.delete("b", "k")).is_marker
    page = await store.list_versions("b", prefix="k", limit=1)
    assert ([entry.is_marker for entry in page.entries], page.truncated) == ([True], True)
    assert await store.server_time_offset() == await plain.server_time_offset()
    assert store.presign("GET", "b", "k") == plain.presign("GET", "b", "k")
    await store.aclose()


# Going slower.


class SleepingClock(ManualClock):
    """A clock that moves by being slept on."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def bucket(clock: SleepingClock, rate: float) -> TokenBucket:
    return TokenBucket(rate, clock=clock, sleep=clock.sleep)


async def test_a_bucket_lets_a_burst_go_and_then_keeps_the_pace() -> None:
    clock = SleepingClock()
    tokens = bucket(clock, 10.0)
    for _ in range(int(10 * BURST_S)):
        await tokens.take(1)
    assert clock.slept == []
    for _ in range(3):  # three at the same moment wait one after the other
        await tokens.take(1)
    assert clock.slept == pytest.approx([0.1, 0.2, 0.3])


async def test_a_bucket_fills_up_to_its_burst_and_no_further() -> None:
    clock = SleepingClock()
    tokens = bucket(clock, 10.0)
    await tokens.take(10)
    clock.time += 1000
    await tokens.take(10)
    assert clock.slept == []
    await tokens.take(5)
    assert clock.slept == pytest.approx([0.5])


async def test_requests_and_bodies_both_ways_pass_the_gate() -> None:
    class Counting:
        requests = 0
        transferred: list[int] = []  # noqa: RUF012  # one instance, one test

        async def request(self) -> None:
            self.requests += 1

        async def transfer(self, count: int) -> None:
            self.transferred.append(count)

    gate = Counting()
    store = Limited(MemoryStore("west", clock=ManualClock()), gate)
    await store.create_bucket("b")
    await store.put("b", "k", b"12345")
    await store.put("b", "s", Stream(4, parts(b"ab", b"cd")))
    async with store.get("b", "k") as read:
        assert (await read.read(), read.info.size) == (b"12345", 5)
    async with store.get("b", "s") as read:
        assert [chunk async for chunk in read.chunks()] == [b"abcd"]
    assert gate.requests == 5
    assert gate.transferred == [5, 2, 2, 5, 4]


async def test_a_gate_without_limits_never_waits() -> None:
    gate = RateGate(None, None)
    await gate.request()
    await gate.transfer(1 << 40)


async def test_a_gate_with_limits_charges_the_right_bucket() -> None:
    clock = SleepingClock()
    gate = RateGate(bucket(clock, 1.0), bucket(clock, 100.0))
    await gate.request()
    await gate.transfer(100)
    assert clock.slept == []
    await gate.request()
    await gate.transfer(50)
    assert clock.slept == pytest.approx([1.0, 0.5])
