"""The filer feed against a filer of ours, which says what a real one says only at odd times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from farshore.errors import Corrupt, Denied, StoreError, Unreachable, Unsupported
from farshore.feed import filer
from farshore.feed.filer import FilerFeed
from farshore.feed.filer_stream import RECEIVED_BYTES_MAX, FilerStream
from farshore.feed.filer_wire import CLASSES, METHOD, request
from farshore.feed.hint import Delivery
from farshore.testing.clock import ManualClock

NOW = 1_767_225_600.0
SECOND = 10**9
BASE = int(NOW) * SECOND
NAME = "filer east"
AWAITED_SECONDS_MAX = 10.0

END = None
"""What ends a subscription. A next one would share what is said with one that has not ended."""


def change(moment: int, key: str, bucket: str = "files", **more: Any) -> dict[str, Any]:
    """A response that tells of a new plain file."""
    folder, _, name = f"/buckets/{bucket}/{key}".rpartition("/")
    entry = {"name": name.encode(), "attributes": {"file_size": 5}}
    return {
        "directory": folder.encode(),
        "event_notification": {"new_entry": entry, "new_parent_path": folder.encode()},
        "ts_ns": BASE + moment,
        **more,
    }


def beat(moment: int) -> dict[str, Any]:
    return {"ts_ns": BASE + moment}


def encoded(response: dict[str, Any]) -> bytes:
    made: bytes = CLASSES["Response"](**response).SerializeToString()
    return made


class OurFiler:
    """Answers every subscription with what the test puts in: responses, raw bytes, a status
    to end with, or None for an end without one. By TLS with `credentials`."""

    def __init__(self, credentials: Any = None) -> None:
        self.says: asyncio.Queue[dict[str, Any] | bytes | grpc.StatusCode | None] = asyncio.Queue()
        self.asked: list[Any] = []
        self.server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(self._subscribe)
        service, method = METHOD.strip("/").split("/")
        generic = grpc.method_handlers_generic_handler(service, {method: handler})
        self.server.add_generic_rpc_handlers((generic,))
        self.port = (
            self.server.add_secure_port("127.0.0.1:0", credentials)
            if credentials
            else self.server.add_insecure_port("127.0.0.1:0")
        )

    def say(self, *responses: dict[str, Any] | bytes | grpc.StatusCode | None) -> None:
        for response in responses:
            self.says.put_nowait(response)

    async def _subscribe(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.asked.append(CLASSES["Request"].FromString(request))  # type: ignore[attr-defined]  # made at run time
        while (said := await self.says.get()) is not None:
            if isinstance(said, grpc.StatusCode):
                await context.abort(said, "as the test wants it")
            yield said if isinstance(said, bytes) else encoded(said)


class Kept:
    """A cursor, and how often it was written."""

    def __init__(self, value: str = "") -> None:
        self.values = {NAME: value} if value else {}
        self.writes = 0

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    async def set(self, name: str, value: str) -> None:
        self.values[name] = value
        self.writes += 1

    @property
    def moment(self) -> int:
        """Since BASE."""
        return int(self.values[NAME]) - BASE if NAME in self.values else 0


@pytest.fixture
async def ours() -> AsyncIterator[OurFiler]:
    made = OurFiler()
    await made.server.start()
    yield made
    await made.server.stop(None)


@pytest.fixture
def kept() -> Kept:
    return Kept()


Open = Callable[..., FilerFeed]


@pytest.fixture
def open_feed(ours: OurFiler, kept: Kept) -> Open:
    def open_it(buckets: Sequence[str] = ("files",), **options: Any) -> FilerFeed:
        return FilerFeed(
            "east",
            f"127.0.0.1:{ours.port}",
            buckets,
            get_cursor=kept.get,
            set_cursor=kept.set,
            clock=options.pop("clock", ManualClock(NOW)),
            **options,
        )

    return open_it


async def read(feed: FilerFeed, count: int) -> list[Delivery]:
    """Deliveries until `count` hints have come; the subscription ends then."""
    taken: list[Delivery] = []
    async with asyncio.timeout(AWAITED_SECONDS_MAX), aclosing(feed.deliveries()) as deliveries:
        while sum(len(one.hints) for one in taken) < count:
            taken.append(await anext(deliveries))
    return taken


async def failure(feed: FilerFeed) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await read(feed, 1)
    return caught.value


async def test_it_asks_for_what_it_needs(ours: OurFiler, open_feed: Open) -> None:
    feed = open_feed()
    for _ in range(2):
        ours.say(change(1, "k"), END)
        await read(feed, 1)
    first, second = ours.asked
    assert first.path_prefix == "/buckets/files/"
    assert first.since_ns == BASE - int(filer.FIRST_SECONDS) * SECOND
    assert first.client_supports_batching
    assert first.client_supports_idle_heartbeat
    assert (second.client_id, second.client_epoch) == (first.client_id, first.client_epoch + 1)


async def test_many_buckets_are_one_subscription(ours: OurFiler, open_feed: Open) -> None:
    ours.say(change(1, "k", "files"), change(2, "l", "photos"), change(3, "m", "other"))
    ours.say(change(4, "n", "files"))
    taken = await read(open_feed(["files", "photos"]), 3)
    assert [(hint.bucket, hint.key, hint.size) for one in taken for hint in one.hints] == [
        ("files", "k", 5),
        ("photos", "l", 5),
        ("files", "n", 5),
    ]
    assert ours.asked[0].path_prefix == "/buckets/"


async def test_a_batch_is_read_whole(ours: OurFiler, open_feed: Open) -> None:
    ours.say(change(1, "a", events=[change(2, "b"), change(3, "c")]))
    (one,) = await read(open_feed(), 3)
    assert [hint.key for hint in one.hints] == ["a", "b", "c"]
    assert [hint.at for hint in one.hints] == [pytest.approx(NOW, abs=1e-6)] * 3


async def test_a_name_that_is_no_text_does_not_end_the_stream(
    ours: OurFiler, open_feed: Open
) -> None:
    odd = change(1, "x")
    odd["event_notification"]["new_entry"]["name"] = b"\xff\xfe"
    ours.say(odd, change(2, "k"))
    (one,) = await read(open_feed(), 1)
    assert [hint.key for hint in one.hints] == ["k"]


async def test_the_cursor_follows_what_is_settled_without_a_gap(
    ours: OurFiler, open_feed: Open, kept: Kept
) -> None:
    clock = ManualClock(NOW)
    async with aclosing(open_feed(clock=clock).deliveries()) as deliveries:
        taken = []
        for moment in (10, 20, 30):
            ours.say(change(moment, "k"))
            taken.append(await anext(deliveries))
        clock.advance(filer.CURSOR_SECONDS_MIN)
        await taken[1].settle()
        assert kept.moment == 0
        await taken[0].settle()
        assert kept.moment == 20
        await taken[2].settle()  # it is too early to write again
        assert kept.moment == 20
    assert (kept.moment, kept.writes) == (30, 2)


async def test_changes_of_others_move_the_cursor(
    ours: OurFiler, open_feed: Open, kept: Kept
) -> None:
    ours.say(change(10, "k", "other"), beat(15), change(20, "k"), END)
    (first,) = await read(open_feed(), 1)
    assert kept.moment in (0, 10)
    await first.settle()
    async with aclosing(open_feed().deliveries()) as deliveries:
        ours.say(change(30, "l"))
        delivery = await anext(deliveries)
        ours.say(change(40, "k", "other"), change(50, "m"))
        await anext(deliveries)
        await delivery.settle()
    assert kept.moment in (30, 40), "never 50; 40 where it was not read together with 50"


async def test_a_change_of_others_alone_moves_the_cursor(
    ours: OurFiler, open_feed: Open, kept: Kept
) -> None:
    async with aclosing(open_feed().deliveries()) as deliveries:
        ours.say(change(30, "l"))
        delivery = await anext(deliveries)
        await delivery.settle()
        ours.say(change(40, "k", "other"), END)
        with pytest.raises(Unreachable):
            await anext(deliveries)
    assert kept.moment == 40


async def test_it_goes_on_behind_the_cursor(ours: OurFiler, open_feed: Open, kept: Kept) -> None:
    kept.values[NAME] = str(BASE + 7)
    ours.say(change(8, "k"))
    await read(open_feed(), 1)
    assert ours.asked[0].since_ns == BASE + 8


@pytest.mark.parametrize("value", ["nonsense", str(BASE + 3600 * SECOND), "-5"])
async def test_a_cursor_that_cannot_be_is_not_believed(
    ours: OurFiler, open_feed: Open, kept: Kept, value: str
) -> None:
    kept.values[NAME] = value
    ours.say(change(8, "k"))
    await read(open_feed(), 1)
    assert ours.asked[0].since_ns == BASE - int(filer.FIRST_SECONDS) * SECOND


@pytest.mark.parametrize(
    ("end", "kind", "retryable"),
    [
        (None, Unreachable, True),
        (grpc.StatusCode.UNAVAILABLE, Unreachable, True),
        (grpc.StatusCode.UNKNOWN, Unreachable, True),
        (grpc.StatusCode.UNIMPLEMENTED, Unsupported, False),
        (grpc.StatusCode.PERMISSION_DENIED, Denied, False),
        (b"\xff\xff\xff", Corrupt, False),
    ],
    ids=str,
)
async def test_how_it_ends(
    ours: OurFiler,
    open_feed: Open,
    end: bytes | grpc.StatusCode | None,
    kind: type[StoreError],
    retryable: bool,
) -> None:
    ours.say(end)
    error = await failure(open_feed())
    assert (type(error), error.retryable) == (kind, retryable)
    assert error.hint


async def test_what_came_before_the_end_is_told(ours: OurFiler, open_feed: Open) -> None:
    ours.say(change(1, "k"), grpc.StatusCode.UNAVAILABLE)
    async with aclosing(open_feed().deliveries()) as deliveries:
        assert [hint.key for hint in (await anext(deliveries)).hints] == ["k"]
        with pytest.raises(Unreachable):
            await anext(deliveries)


async def test_silence_after_signs_of_life_is_an_end(ours: OurFiler, open_feed: Open) -> None:
    ours.say(beat(1))
    error = await failure(open_feed(silence_seconds_max=0.05))
    assert isinstance(error, Unreachable)
    assert "silent" in error.message


async def test_a_filer_that_never_gives_signs_may_be_silent(
    ours: OurFiler, open_feed: Open
) -> None:
    feed = open_feed(silence_seconds_max=0.0)
    async with aclosing(feed.deliveries()) as deliveries:
        for moment in (1, 2):
            ours.say(change(moment, "k"))
            assert (await anext(deliveries)).hints


async def test_closing_ends_who_waits(ours: OurFiler, open_feed: Open) -> None:
    feed = open_feed()
    waiting = asyncio.create_task(read(feed, 2))
    ours.say(change(1, "k"))
    while not ours.says.empty() or not ours.asked:  # noqa: ASYNC110  # our filer has no event for it
        await asyncio.sleep(0.001)
    await feed.aclose()
    with pytest.raises(Unreachable, match="ended the subscription"):
        await waiting


def stream_of(ours: OurFiler, received_max: int) -> FilerStream:
    asked = request(1, 1, "/buckets/", 0)
    return FilerStream(f"127.0.0.1:{ours.port}", METHOD, asked, received_max=received_max)


async def test_every_message_is_taken_once_and_in_order(ours: OurFiler) -> None:
    stream = stream_of(ours, 7)
    ours.say(*(change(n, f"{n}") for n in range(300)))
    taken: list[bytes] = []
    async with asyncio.timeout(AWAITED_SECONDS_MAX):
        while len(taken) < 300:
            some = await stream.take(None)
            assert 1 <= len(some) <= 7
            taken += some
    assert taken == [encoded(change(n, f"{n}")) for n in range(300)]
    await stream.aclose()


async def test_large_messages_are_not_heaped_up(ours: OurFiler) -> None:
    """However few they are: each may have 64 MiB."""
    asked = request(1, 1, "/buckets/", 0)
    large = [change(n, f"{n}" + "x" * 1000) for n in range(50)]
    at_once = 3 * len(encoded(large[0]))
    stream = FilerStream(f"127.0.0.1:{ours.port}", METHOD, asked, bytes_max=at_once)
    ours.say(*large)
    taken: list[bytes] = []
    async with asyncio.timeout(AWAITED_SECONDS_MAX):
        while len(taken) < len(large):
            some = await stream.take(None)
            assert sum(map(len, some)) <= at_once + len(encoded(large[-1]))
            taken += some
    assert taken == [encoded(one) for one in large]
    await stream.aclose()


@pytest.mark.parametrize("bytes_max", [1, RECEIVED_BYTES_MAX])
async def test_a_reader_that_nobody_takes_from_waits_and_can_be_ended(
    ours: OurFiler, bytes_max: int
) -> None:
    asked = request(1, 1, "/buckets/", 0)
    stream = FilerStream(
        f"127.0.0.1:{ours.port}", METHOD, asked, received_max=2, bytes_max=bytes_max
    )
    ours.say(*(change(n, f"{n}") for n in range(20)))
    assert len(await stream.take(AWAITED_SECONDS_MAX)) <= 2
    await stream.aclose()
    stream.thread.join(AWAITED_SECONDS_MAX)
    assert not stream.thread.is_alive()
