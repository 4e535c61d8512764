"""The conformance suite of `farshore.feed.hint.Feed`: one class, every implementation.

A test file subclasses `FeedSuite` and gives the fixture `origin`, a `FeedOrigin` of its
own for each test: a place where keys change, and feeds that tell of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Protocol, get_args

import pytest

from farshore.errors import StoreError
from farshore.feed.hint import Delivery, Feed, Hint, Notice, Settles
from tests.contract.disturbance import Line, told
from tests.unit.pairs import Pair

HINT_SECONDS_MAX = 20.0
"""A hint that has not come by then is lost."""

ANSWER_SECONDS_MAX = 10.0
"""A source that has not answered by then, though it has nothing to tell, counts as down."""

DELIVERIES_MAX = 1000
"""Deliveries read in search of some keys."""

SEED = 20260501
CHANGES, BATCH = 100, 25
DISTURBANCES = ("lost", "doubled", "late", "reordered")

CLOCKS_DIFFER_SECONDS_MAX = 60.0

LATE_SECONDS_MAX = 600.0
"""A feed that may be later than this is of no use for a watermark."""


class Ear:
    """A `Listener` that remembers."""

    def __init__(self) -> None:
        self.unread: list[str] = []
        self.notices: list[Notice] = []
        self.heard = asyncio.Event()

    def answered(self) -> None:
        self.heard.set()

    def unreadable(self, why: str) -> None:
        self.unread.append(why)

    def noticed(self, notice: Notice) -> None:
        self.notices.append(notice)


CONFIRMATION = json.dumps(
    {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "hunter2",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:changes",
        "Message": "You have chosen to subscribe to the topic.",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Confirm&Token=hunter2",
        "Timestamp": "2026-05-01T12:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/x.pem",
    }
)
"""As SNS sends it to a new subscriber."""

PLAIN_KEYS = tuple(f"many/{number:03}" for number in range(60))

ODD_KEYS = (
    "with space",
    "a+b",
    "a%20b",
    "%2e%2e/c",
    "?versionId=null",
    "#fragment",
    "<a>&amp;</a>",
    '"quotes"',
    "ümlaut/日本語",
    "\U0001f600.txt",
    "x" * 255,
)
"""Keys that every server keeps, and that a careless decoder changes."""


class FeedOrigin(Protocol):
    """Where changes happen, made anew for each test.

    `repeats`: what was not settled comes again to the next feed (a queue, a log, a sender
    that tries again). `severable`: `cut` and `heal` are real; where it is False they are
    never called. `knows_time`: its hints say when. `answers`: it is asked, and so can answer
    that there is nothing; False for one that calls us.
    """

    bucket: str
    repeats: bool
    severable: bool
    knows_time: bool
    answers: bool

    async def open(self) -> Feed:
        """A new feed of this origin, as a process that has just started makes it."""
        ...

    async def change(self, key: str) -> None:
        """Write the key. The source will tell of it; it need not have done so on return."""
        ...

    async def cut(self) -> None:
        """Make the origin unreachable, for the feeds that are open and for new ones."""
        ...

    async def heal(self) -> None:
        """Make it reachable again; nothing that was acknowledged is lost."""
        ...


@asynccontextmanager
async def reading(feed: Feed) -> AsyncIterator[AsyncGenerator[Delivery, None]]:
    """The feed's deliveries; the feed is closed at the end."""
    try:
        async with aclosing(feed.deliveries()) as deliveries:
            yield deliveries
    finally:
        await feed.aclose()


async def take(
    deliveries: AsyncGenerator[Delivery, None], bucket: str, keys: Iterable[str]
) -> list[Delivery]:
    """Read until each of `keys` was named at least once; answers what was read."""
    wanted = set(keys)
    taken: list[Delivery] = []
    async with asyncio.timeout(HINT_SECONDS_MAX):
        for _ in range(DELIVERIES_MAX):
            if not wanted:
                return taken
            taken.append(await anext(deliveries))
            wanted -= {hint.key for hint in taken[-1].hints if hint.bucket == bucket}
    raise AssertionError(f"not named in {DELIVERIES_MAX} deliveries: {sorted(wanted)[:5]}")


def hints_of(deliveries: Iterable[Delivery], bucket: str) -> list[Hint]:
    return [hint for one in deliveries for hint in one.hints if hint.bucket == bucket]


async def settle(deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        await delivery.settle()


class FeedSuite:
    """All of the contract."""

    async def test_it_says_who_it_is_and_when_it_settles(self, origin: FeedOrigin) -> None:
        feed = await origin.open()
        assert feed.name
        assert feed.settles in get_args(Settles)
        assert 0.0 <= feed.late_s < LATE_SECONDS_MAX
        await feed.aclose()
        await feed.aclose()  # closing twice is no error

    async def test_a_change_gives_a_hint(self, origin: FeedOrigin) -> None:
        began = time.time()
        async with reading(await origin.open()) as deliveries:
            await origin.change("k")
            taken = await take(deliveries, origin.bucket, ["k"])
            await settle(taken)
        (hint, *_) = [h for h in hints_of(taken, origin.bucket) if h.key == "k"]
        if origin.knows_time:
            assert abs(hint.at - began) < CLOCKS_DIFFER_SECONDS_MAX
        else:
            assert hint.at == 0.0

    async def test_a_source_that_has_nothing_to_tell_is_seen_to_answer(
        self, origin: FeedOrigin
    ) -> None:
        feed, ear = await origin.open(), Ear()
        feed.listen(ear)
        async with reading(feed) as deliveries:
            first = asyncio.ensure_future(anext(deliveries))
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX if origin.answers else 0.1):
                    await ear.heard.wait()
            except TimeoutError:
                assert not origin.answers
            finally:
                first.cancel()
                await asyncio.wait([first])

    async def test_keys_arrive_as_they_are(self, origin: FeedOrigin) -> None:
        async with reading(await origin.open()) as deliveries:
            for key in ODD_KEYS:
                await origin.change(key)
            taken = await take(deliveries, origin.bucket, ODD_KEYS)
            await settle(taken)
        assert {hint.key for hint in hints_of(taken, origin.bucket)} == set(ODD_KEYS)

    async def test_every_one_of_many_changes_is_told(self, origin: FeedOrigin) -> None:
        async with reading(await origin.open()) as deliveries:
            for key in PLAIN_KEYS:
                await origin.change(key)
            await settle(await take(deliveries, origin.bucket, PLAIN_KEYS))

    async def test_a_second_change_of_a_key_is_told_after_the_first(
        self, origin: FeedOrigin
    ) -> None:
        async with reading(await origin.open()) as deliveries:
            for _ in range(2):
                await origin.change("k")
                await settle(await take(deliveries, origin.bucket, ["k"]))

    async def test_reading_goes_on_while_older_deliveries_are_not_settled(
        self, origin: FeedOrigin
    ) -> None:
        async with reading(await origin.open()) as deliveries:
            await origin.change("slow")
            slow = await take(deliveries, origin.bucket, ["slow"])
            await origin.change("quick")
            quick = await take(deliveries, origin.bucket, ["quick"])
            await settle(quick)
            await settle(slow)

    async def test_settling_twice_is_as_settling_once(self, origin: FeedOrigin) -> None:
        async with reading(await origin.open()) as deliveries:
            await origin.change("k")
            taken = await take(deliveries, origin.bucket, ["k"])
            await settle(taken)
            await settle(taken)

    async def test_what_was_settled_does_not_come_again(self, origin: FeedOrigin) -> None:
        async with reading(await origin.open()) as deliveries:
            await origin.change("old")
            await settle(await take(deliveries, origin.bucket, ["old"]))
        async with reading(await origin.open()) as deliveries:
            await origin.change("new")
            taken = await take(deliveries, origin.bucket, ["new"])
            await settle(taken)
        assert {hint.key for hint in hints_of(taken, origin.bucket)} == {"new"}

    async def test_what_was_not_settled_comes_again(self, origin: FeedOrigin) -> None:
        async with reading(await origin.open()) as deliveries:
            await origin.change("k")
            await take(deliveries, origin.bucket, ["k"])
        if not origin.repeats:
            return
        async with reading(await origin.open()) as deliveries:
            await settle(await take(deliveries, origin.bucket, ["k"]))

    async def test_settling_out_of_order_keeps_the_older_one(self, origin: FeedOrigin) -> None:
        async with reading(await origin.open()) as deliveries:
            await origin.change("older")
            await take(deliveries, origin.bucket, ["older"])
            await origin.change("newer")
            await settle(await take(deliveries, origin.bucket, ["newer"]))
        if not origin.repeats:
            return
        async with reading(await origin.open()) as deliveries:
            await settle(await take(deliveries, origin.bucket, ["older"]))

    async def test_changes_while_nobody_listens_are_told_later(self, origin: FeedOrigin) -> None:
        async with reading(await origin.open()) as deliveries:
            await origin.change("first")
            await settle(await take(deliveries, origin.bucket, ["first"]))
        if not origin.repeats:
            return
        await origin.change("unheard")
        async with reading(await origin.open()) as deliveries:
            await settle(await take(deliveries, origin.bucket, ["unheard"]))

    async def test_a_lost_connection_is_told_and_reading_begins_anew(
        self, origin: FeedOrigin
    ) -> None:
        if not origin.severable:
            return
        feed = await origin.open()
        async with aclosing(feed.deliveries()) as deliveries:
            await origin.change("before")
            await settle(await take(deliveries, origin.bucket, ["before"]))
            await origin.cut()
            with pytest.raises(StoreError) as caught:
                await take(deliveries, origin.bucket, ["never"])
        assert caught.value.retryable
        with pytest.raises(StoreError) as caught:
            async with aclosing(feed.deliveries()) as deliveries:
                await take(deliveries, origin.bucket, ["never"])
        assert caught.value.retryable
        await origin.heal()
        async with reading(feed) as deliveries:
            await origin.change("after")
            await settle(await take(deliveries, origin.bucket, ["after"]))

    async def test_lost_doubled_late_and_reordered_hints_cost_time_and_no_version(
        self, origin: FeedOrigin
    ) -> None:
        """10 % each. A reconcile finds what was lost; nothing is doubled."""
        rng = random.Random(SEED)
        pair = await Pair().ready()
        line = Line(pair, await origin.open(), origin.bucket, SEED)
        async with line.running():
            for number in range(0, CHANGES, BATCH):
                for one in range(number, number + BATCH):
                    await origin.change(await line.change(rng, one))
                await line.until(
                    lambda told=number + BATCH: line.feed.passed >= told,  # type: ignore[misc] # a lambda's default
                    HINT_SECONDS_MAX,
                )
            await line.until(line.is_idle, HINT_SECONDS_MAX)
            assert all(line.feed.done[kind] for kind in DISTURBANCES), told(line.feed)
            await line.reconcile()
            await line.until(line.is_idle, HINT_SECONDS_MAX)
            assert pair.equal(), (SEED, told(line.feed))
            assert await line.reconcile() == 0
