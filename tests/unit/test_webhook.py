"""The webhook: who may send, what is answered, and the feed behind it."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import quote_plus

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from farshore.errors import ConfigError, FarshoreError, StateError, Throttled
from farshore.feed import webhook
from farshore.feed.events import MESSAGE_BYTES_MAX
from farshore.feed.hint import Hint, Notice
from farshore.feed.webhook import PATH, Outcome, WebhookFeed, is_allowed, webhook_routes
from tests.contract.feed_suite import FeedSuite, reading, take

TOKEN = "0123456789abcdef-new"
OLD_TOKEN = "0123456789abcdef-old"
BEARER = f"Bearer {TOKEN}"
CHALLENGE = 'Basic realm="farshore", Bearer'
TURNS_MAX = 1000
"""Turns of the event loop that others may need."""


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: str


async def post(
    app: Starlette,
    body: bytes | Sequence[Message],
    authorization: str | None = BEARER,
    **headers: str,
) -> Answer:
    """One request of ASGI; a sequence of messages is sent as it is."""
    messages: list[Message] = (
        [{"type": "http.request", "body": body, "more_body": False}]
        if isinstance(body, bytes)
        else list(body)
    )
    sent: list[Message] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()  # a sender that sends no more
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"authorization": authorization, **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in given.items()
            if value is not None
        ],
    }
    await app(scope, receive, send)
    start, *rest = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(m["body"] for m in rest).decode())


def event(*keys: str) -> bytes:
    records = [
        {
            "eventName": "ObjectCreated:Put",
            "eventSource": "aws:s3",
            "eventTime": "2026-11-22T14:02:11.400Z",
            "s3": {"bucket": {"name": "files"}, "object": {"key": quote_plus(key)}},
        }
        for key in keys
    ]
    return json.dumps({"Records": records}).encode()


class Journal:
    """Takes hints, and can refuse to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.error: FarshoreError | None = None
        self.outcomes: list[Outcome] = []
        self.doubts: list[str] = []
        self.notices: list[Notice] = []
        self.tokens = [TOKEN, OLD_TOKEN]
        self.app = Starlette(
            routes=webhook_routes(
                lambda: self.tokens,
                self.intake,
                count=self.outcomes.append,
                listener=lambda: self,
            )
        )

    async def intake(self, hints: Sequence[Hint]) -> int:
        if self.error is not None:
            raise self.error
        self.taken += [hint.key for hint in hints if hint.bucket == "files"]
        return sum(hint.bucket == "files" for hint in hints)

    def answered(self) -> None:
        raise AssertionError("nobody is asked")

    def unreadable(self, why: str) -> None:
        self.doubts.append(why)

    def noticed(self, notice: Notice) -> None:
        self.notices.append(notice)


@pytest.fixture
def journal() -> Journal:
    return Journal()


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


async def test_an_event_is_taken(journal: Journal) -> None:
    answer = await post(journal.app, event("a b", "c"))
    assert (answer.status, journal.taken, journal.outcomes) == (200, ["a b", "c"], ["accepted"])


async def test_a_replayed_event_is_only_told_again(journal: Journal) -> None:
    for _ in range(2):
        assert (await post(journal.app, event("k"))).status == 200
    assert journal.taken == ["k", "k"]


@pytest.mark.parametrize(
    "authorization",
    [
        BEARER,
        f"bearer {OLD_TOKEN}",
        f"Bearer   {TOKEN} ",
        basic(f"user:{TOKEN}"),
        basic(f":{TOKEN}"),
    ],
)
async def test_who_may_send(journal: Journal, authorization: str) -> None:
    assert (await post(journal.app, event("k"), authorization)).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        TOKEN,
        f"Token {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer ünkü",
        "Basic",
        "Basic ?",
        basic(TOKEN),
        basic(f"{TOKEN}:"),
        basic("user:wrong"),
        basic(f"user:{TOKEN}:"),
    ],
)
async def test_who_may_not(journal: Journal, authorization: str | None) -> None:
    answer = await post(journal.app, event("k"), authorization)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, CHALLENGE)
    assert (journal.taken, journal.outcomes) == ([], ["denied"])
    assert TOKEN not in answer.body


async def test_a_token_that_was_replaced_is_no_longer_valid(journal: Journal) -> None:
    assert (await post(journal.app, event("k"), f"Bearer {OLD_TOKEN}")).status == 200
    journal.tokens = [TOKEN]
    assert (await post(journal.app, event("k"), f"Bearer {OLD_TOKEN}")).status == 401


@pytest.mark.parametrize("tokens", [[], [""], [TOKEN, ""]])
def test_an_empty_token_is_nobodys(tokens: list[str]) -> None:
    assert not is_allowed("Bearer ", tokens)
    assert not is_allowed(basic("user:"), tokens)
    with pytest.raises(ConfigError) as caught:
        WebhookFeed(lambda: tokens)
    assert caught.value.hint


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b'{"Records": 5}'])
async def test_what_is_no_event_is_malformed(journal: Journal, body: bytes) -> None:
    assert (await post(journal.app, body)).status == 400
    assert (journal.taken, journal.outcomes) == ([], ["malformed"])
    assert journal.doubts == ["An event was refused: it cannot be read."]


async def test_events_of_buckets_that_are_not_replicated_are_told_apart(journal: Journal) -> None:
    answer = await post(journal.app, event("k").replace(b'"files"', b'"others"'))
    assert (answer.status, journal.taken, journal.outcomes) == (200, [], ["foreign"])
    assert journal.doubts == []


async def test_a_subscription_of_sns_is_for_a_person_to_confirm(journal: Journal) -> None:
    body = {
        "Type": "SubscriptionConfirmation",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:changes",
        "Token": "hunter2",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Confirm&Token=hunter2",
    }
    answer = await post(journal.app, json.dumps(body).encode())
    assert (answer.status, journal.outcomes, journal.doubts) == (200, ["notice"], [])
    assert "open the SubscribeURL" in answer.body
    assert "sns.eu-west-1.amazonaws.com" in answer.body
    assert "hunter2" not in answer.body
    assert [notice.kind for notice in journal.notices] == ["confirm"]


async def test_who_shows_no_token_is_told_how(journal: Journal) -> None:
    """SNS sends the password of its address only after a Basic challenge."""
    answer = await post(journal.app, event("k"), None)
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert (journal.outcomes, journal.doubts) == (["denied"], [])


async def test_nothing_is_read_of_who_may_not_send(journal: Journal) -> None:
    """No message of the body is there, and none is waited for."""
    assert (await post(journal.app, [], "Bearer wrong")).status == 401


async def test_a_large_event_is_read(journal: Journal) -> None:
    keys = [f"{number:04}{'k' * 200}" for number in range(400)]
    assert (await post(journal.app, event(*keys))).status == 200
    assert journal.taken == keys


async def test_a_body_that_is_announced_too_long(journal: Journal) -> None:
    answer = await post(journal.app, [], content_length=str(MESSAGE_BYTES_MAX + 1))
    assert (answer.status, journal.outcomes) == (413, ["too_long"])


async def test_a_body_that_becomes_too_long(journal: Journal) -> None:
    chunk: Message = {
        "type": "http.request",
        "body": bytes(MESSAGE_BYTES_MAX // 4),
        "more_body": True,
    }
    answer = await post(journal.app, [chunk] * 5)
    assert (answer.status, journal.outcomes) == (413, ["too_long"])


async def test_a_sender_that_goes_away(journal: Journal) -> None:
    first: Message = {"type": "http.request", "body": event("k"), "more_body": True}
    answer = await post(journal.app, [first, {"type": "http.disconnect"}])
    assert (answer.status, journal.taken, journal.outcomes) == (408, [], ["late"])


@pytest.mark.parametrize("error", [StateError("the disk is full"), Throttled("too many")])
async def test_a_journal_that_cannot_take_it(journal: Journal, error: FarshoreError) -> None:
    journal.error = error
    answer = await post(journal.app, event("k"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert journal.outcomes == ["busy"]
    assert journal.doubts == ["An event was refused: it could not be kept when it came."]
    assert "disk" not in answer.body


async def test_too_many_at_one_time() -> None:
    go = asyncio.Event()

    async def slow(hints: Sequence[Hint]) -> int:
        await go.wait()
        return len(hints)

    app = Starlette(routes=webhook_routes(lambda: [TOKEN], slow))
    posts = [asyncio.create_task(post(app, event("k"))) for _ in range(webhook.REQUESTS_MAX + 3)]
    done, waiting = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 3:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    assert {task.result().status for task in done} == {503}
    go.set()
    assert {(await task).status for task in waiting} == {200}


class WebhookOrigin:
    """A sender that tries again until it is told 200, and the feed that it sends to."""

    bucket = "files"
    repeats = True
    severable = False
    knows_time = False
    answers = False

    def __init__(self) -> None:
        self.app: Starlette | None = None
        self.feed: WebhookFeed | None = None
        self.opened = asyncio.Event()
        self.senders: set[asyncio.Task[None]] = set()

    async def open(self) -> WebhookFeed:
        feed = WebhookFeed(lambda: [TOKEN])
        self.feed, self.app = feed, Starlette(routes=feed.routes)
        self.opened.set()
        return feed

    async def change(self, key: str) -> None:
        self.senders.add(asyncio.create_task(self._send(key)))

    async def _send(self, key: str) -> None:
        body = json.loads(event(key))
        del body["Records"][0]["eventTime"]
        while True:
            await self.opened.wait()
            assert self.app is not None
            app = self.app
            answer = await post(app, json.dumps(body).encode())
            if answer.status == 200:
                return
            assert answer.status == 503
            if self.app is app:  # nobody listens until the next feed is opened
                self.opened.clear()

    async def cut(self) -> None:
        raise AssertionError("never called: a sender comes to us")

    async def heal(self) -> None:
        raise AssertionError("never called: a sender comes to us")

    async def aclose(self) -> None:
        for sender in self.senders:
            sender.cancel()
        await asyncio.gather(*self.senders, return_exceptions=True)


@pytest.fixture
async def origin() -> AsyncIterator[WebhookOrigin]:
    made = WebhookOrigin()
    yield made
    await made.aclose()


class TestWebhookFeed(FeedSuite):
    """The contract of feeds."""


async def test_200_is_said_only_when_it_is_settled() -> None:
    feed = WebhookFeed(lambda: [TOKEN])
    sender = asyncio.create_task(post(Starlette(routes=feed.routes), event("k")))
    async with reading(feed) as deliveries:
        (delivery,) = await take(deliveries, "files", ["k"])
        assert not sender.done()
        await delivery.settle()
        assert (await sender).status == 200


async def test_events_that_wait_are_delivered_together() -> None:
    feed = WebhookFeed(lambda: [TOKEN])
    app = Starlette(routes=feed.routes)
    senders = [asyncio.create_task(post(app, event(f"k{number}"))) for number in range(10)]
    await until(lambda: feed.waiting == len(senders))
    async with reading(feed) as deliveries:
        delivery = await anext(deliveries)
        assert [hint.key for hint in delivery.hints] == [f"k{number}" for number in range(10)]
        await delivery.settle()
        assert {(await sender).status for sender in senders} == {200}


async def test_nobody_takes_it() -> None:
    feed = WebhookFeed(lambda: [TOKEN], intake_seconds_max=0.01)
    assert (await post(Starlette(routes=feed.routes), event("k"))).status == 503


async def test_what_its_sender_gave_up_may_be_settled_without_harm() -> None:
    feed = WebhookFeed(lambda: [TOKEN], intake_seconds_max=0.01)
    assert (await post(Starlette(routes=feed.routes), event("k"))).status == 503
    async with aclosing(feed.deliveries()) as deliveries:
        delivery = await anext(deliveries)
        await delivery.settle()
        await delivery.settle()


async def test_a_full_queue_says_so_at_once() -> None:
    feed = WebhookFeed(lambda: [TOKEN], posts_max=1)
    app = Starlette(routes=feed.routes)
    first = asyncio.create_task(post(app, event("k")))
    await until(lambda: feed.waiting == 1)
    assert (await post(app, event("l"))).status == 503
    await feed.aclose()
    assert (await first).status == 503
    assert (await post(app, event("m"))).status == 503


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds; it takes only their turns."""
    for _ in range(TURNS_MAX):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"it does not hold after {TURNS_MAX} turns")
