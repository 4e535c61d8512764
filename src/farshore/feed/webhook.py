"""Events that servers send to us over HTTP: a route, and the feed behind it.

A sender is told 200 only when its hints are durable. All else makes it try again, or says
that trying again is of no use: 400 no event, 401 no token, 408 the body did not come, 413
too long, 503 not now (with Retry-After). MinIO and SeaweedFS send
`Authorization: Bearer TOKEN`; Ceph RGW, and SNS, send the user and password of their
endpoint's URL as Basic, where the password is the token and the user is not looked at.

Who asks for a token gets a Basic challenge first: SNS sends its password only then.

A replayed event asks for a look and can do nothing else, so it needs no protection beyond
the token.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
from base64 import b64decode
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Literal, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from farshore.errors import ConfigError, Corrupt, StateError, Throttled
from farshore.feed.events import MESSAGE_BYTES_MAX, Event, read_event
from farshore.feed.hint import (
    SENDER_LATE_S,
    Delivery,
    Hint,
    Listener,
    Nobody,
    Settles,
)

PATH = "/webhook"

BODY_SECONDS_MAX = 30.0
"""How long a sender may take to send one event."""

REQUESTS_MAX = 64
"""Events being received at one time; each may hold a body of `MESSAGE_BYTES_MAX`."""

RETRY_AFTER_SECONDS = 5
INTAKE_SECONDS_MAX = 8.0
"""How long a sender waits for its event to be durable. SeaweedFS gives up after 10 s."""

POSTS_MAX = 1000
"""Events that wait for the journal; more are told to come again."""

DELIVERY_HINTS_MAX = 1000
"""One delivery takes every waiting event up to so many hints: one commit for all of them."""

LARGE_BODY_BYTES = 64 * 1024
"""Bodies above it are read in a thread: the event loop has other things to do."""

Outcome = Literal[
    "accepted", "foreign", "notice", "malformed", "denied", "late", "too_long", "busy"
]
"""How a request ended. foreign: only of buckets that are not replicated, answered with 200,
since sending it again is of no use. notice: no event, but something for a person."""

LOST: tuple[Outcome, ...] = ("malformed", "late", "too_long", "busy")
"""Outcomes after which a sender with a valid token may forget what it had to tell."""

WHY: dict[Outcome, str] = {
    "malformed": "it cannot be read",
    "late": "it did not come to its end",
    "too_long": "it is too long",
    "busy": "it could not be kept when it came",
}

Intake = Callable[[Sequence[Hint]], Awaitable[int]]
"""Answers how many are of buckets that are replicated, when these are durable. `Throttled`
or `StateError`: not now, try again."""


def webhook_routes(
    tokens: Callable[[], Sequence[str]],
    intake: Intake,
    *,
    path: str = PATH,
    count: Callable[[Outcome], None] = lambda outcome: None,
    listener: Callable[[], Listener] = Nobody,
) -> list[Route]:
    """The route that receives events.

    `tokens` is asked at every request and answers those that are valid now: two while one
    replaces the other. `count` is told how each request ended, `listener` of what a sender
    may have had to tell in vain. `ConfigError` when a token is empty, or there is none.
    """
    _require_tokens(tokens())
    receiver = _Receiver(tokens, intake, count, listener)
    return [Route(path, receiver.receive, methods=["POST"], name="webhook")]


def _require_tokens(tokens: Sequence[str]) -> None:
    if not tokens or not all(tokens):
        raise ConfigError(
            "The webhook has no token, and would take events from everybody.",
            hint="Give its feed a token, for example one made by: openssl rand -hex 32",
        )


class _Refusal(Exception):
    """How a request ends that is not taken."""

    def __init__(self, outcome: Outcome, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.status = status


class _Receiver:
    """Takes one request after the other, several at a time."""

    def __init__(
        self,
        tokens: Callable[[], Sequence[str]],
        intake: Intake,
        count: Callable[[Outcome], None],
        listener: Callable[[], Listener],
    ) -> None:
        self._tokens = tokens
        self._intake = intake
        self._count = count
        self._listener = listener
        self._under_way = 0

    async def receive(self, request: Request) -> Response:
        self._under_way += 1
        try:
            outcome, text = await self._take(request)
        except _Refusal as refusal:
            self._count(refusal.outcome)
            if refusal.outcome in LOST:
                self._listener().unreadable(f"An event was refused: {WHY[refusal.outcome]}.")
            return _answer(refusal)
        finally:
            self._under_way -= 1
        self._count(outcome)
        return PlainTextResponse(f"{text}\n")

    async def _take(self, request: Request) -> tuple[Outcome, str]:
        if not is_allowed(request.headers.get("authorization", ""), self._tokens()):
            raise _Refusal("denied", HTTPStatus.UNAUTHORIZED, "a valid token is needed")
        if self._under_way > REQUESTS_MAX:
            raise _Refusal("busy", HTTPStatus.SERVICE_UNAVAILABLE, "too many events at one time")
        body = await _body(request)
        try:
            if len(body) > LARGE_BODY_BYTES:
                event = await run_in_threadpool(read_event, body)
            else:
                event = read_event(body)
        except Corrupt as error:
            raise _Refusal("malformed", HTTPStatus.BAD_REQUEST, error.message) from error
        if event.notice:
            self._listener().noticed(event.notice)
            return "notice", f"A person must act. {event.notice.text}"
        return await self._keep(event)

    async def _keep(self, event: Event) -> tuple[Outcome, str]:
        if not event.hints:
            return "accepted", "nothing to do"
        try:
            ours = await self._intake(event.hints)
        except (Throttled, StateError) as error:
            text = "the event cannot be kept now"
            raise _Refusal("busy", HTTPStatus.SERVICE_UNAVAILABLE, text) from error
        return ("accepted", "durable") if ours else ("foreign", "not a bucket that is replicated")


def _answer(refusal: _Refusal) -> Response:
    headers = {}
    if refusal.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="farshore", Bearer'
    if refusal.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return PlainTextResponse(f"{refusal}\n", refusal.status, headers)


async def _body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > MESSAGE_BYTES_MAX:
        raise _too_long()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MESSAGE_BYTES_MAX:
                    raise _too_long()
    except (TimeoutError, ClientDisconnect):
        raise _Refusal("late", HTTPStatus.REQUEST_TIMEOUT, "the event did not come") from None
    return bytes(body)


def _too_long() -> _Refusal:
    text = f"an event has {MESSAGE_BYTES_MAX} bytes at most"
    return _Refusal("too_long", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)


def is_allowed(authorization: str, tokens: Sequence[str]) -> bool:
    """Whether an Authorization header carries one of `tokens`, as Bearer or as Basic's
    password. Every token is compared, in a time that does not depend on where they differ."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        shown = given.encode("latin-1", "replace").strip()
    elif scheme.lower() == "basic":
        shown = _password(given)
    else:
        return False
    known = [token.encode("utf-8", "surrogateescape") for token in tokens if token]
    return sum(hmac.compare_digest(shown, token) for token in known) > 0


def _password(given: str) -> bytes:
    """b"" for what is not Basic: no token is empty."""
    try:
        return b64decode(given.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


class _Post(NamedTuple):
    """One event that waits for the journal."""

    hints: tuple[Hint, ...]
    settled: asyncio.Future[None]


class _Posts:
    """A delivery: every event that was waiting."""

    def __init__(self, posts: Sequence[_Post]) -> None:
        self._posts = posts

    @property
    def hints(self) -> tuple[Hint, ...]:
        return tuple(hint for post in self._posts for hint in post.hints)

    async def settle(self) -> None:
        for post in self._posts:
            if not post.settled.done():
                post.settled.set_result(None)


class WebhookFeed:
    """The receiver's other end: what was sent to `routes` comes out of `deliveries`.

    A sender waits until its delivery is settled. Where that takes too long, or where the
    feed is closed, it is told to come again.
    """

    settles: Settles = "durable"
    late_s = SENDER_LATE_S

    def __init__(
        self,
        tokens: Callable[[], Sequence[str]],
        *,
        name: str = "webhook",
        path: str = PATH,
        intake_seconds_max: float = INTAKE_SECONDS_MAX,
        posts_max: int = POSTS_MAX,
        count: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.name = name
        self._listener: Listener = Nobody()
        self.routes = webhook_routes(
            tokens, self.intake, path=path, count=count, listener=lambda: self._listener
        )
        self._intake_seconds_max = intake_seconds_max
        self._waiting: asyncio.Queue[_Post] = asyncio.Queue(posts_max)
        self._unsettled: set[asyncio.Future[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Events that no delivery has taken yet: for a gauge."""
        return self._waiting.qsize()

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def intake(self, hints: Sequence[Hint]) -> int:
        """Returns when a delivery with these hints was settled; all of them count as ours.
        `Throttled`: not now."""
        settled = asyncio.get_running_loop().create_future()
        if self._closed or self._waiting.full():
            raise _not_now("is closed" if self._closed else "has too many events waiting")
        self._waiting.put_nowait(_Post(tuple(hints), settled))
        self._unsettled.add(settled)
        try:
            async with asyncio.timeout(self._intake_seconds_max):
                await settled
        except TimeoutError:
            raise _not_now(f"was not served for {self._intake_seconds_max:.0f} s") from None
        finally:
            self._unsettled.discard(settled)
        return len(hints)

    async def deliveries(self) -> AsyncGenerator[Delivery, None]:
        while True:
            yield _Posts(self._gather(await self._waiting.get()))

    def _gather(self, first: _Post) -> list[_Post]:
        posts, count = [first], len(first.hints)
        while count < DELIVERY_HINTS_MAX and not self._waiting.empty():
            posts.append(self._waiting.get_nowait())
            count += len(posts[-1].hints)
        return posts

    async def aclose(self) -> None:
        """Every sender that still waits is told to come again."""
        self._closed = True
        for settled in self._unsettled:
            if not settled.done():
                settled.set_exception(_not_now("is being closed"))


def _not_now(why: str) -> Throttled:
    return Throttled(
        f"The webhook's journal {why}.",
        hint="The sender tries again; what it gives up is found by the next scan.",
        retry_after=RETRY_AFTER_SECONDS,
    )
