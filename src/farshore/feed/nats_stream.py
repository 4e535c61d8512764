"""One durable pull consumer of a JetStream stream. The only place that knows nats-py's errors.

Pull requests are our own: nats-py's `fetch` of more than one message waits for the whole
batch or its timeout, and so holds back the first one. Requests, status messages and the
forms of acknowledgement: the NATS documentation, "JetStream wire API reference" and
ADR-13 ("Pull Subscribe internals"). There is no reconnecting in here: a broken
connection is an `Unreachable`, and the feed's supervisor starts it anew.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self

from farshore.config import NatsSource
from farshore.errors import (
    BadRequest,
    ConfigError,
    Denied,
    Gone,
    ServerFault,
    StoreError,
    Unreachable,
)

CONNECT_SECONDS_MAX = 10.0
"""For all servers of the list together."""

REQUEST_SECONDS_MAX = 5.0
CLOSE_SECONDS_MAX = 2.0
PULL_SECONDS = 30.0
"""How long one pull request waits at the server before it is made anew."""

HEARTBEAT_SECONDS = 5.0
"""The server says this often that an idle pull request is still there."""

HEARTBEATS_MISSED_MAX = 2

ACK_PENDING_MAX = 10_000
"""Messages without acknowledgement that a consumer made by us allows."""

_NONE_LEFT, _TIMED_OUT, _CONFLICT, _HEARTBEAT = "404", "408", "409", "100"


class Message(NamedTuple):
    """`token` is the subject on which its acknowledgement is published; `sequence` its
    place in the stream."""

    sequence: str
    token: str
    body: bytes
    receives: int


class NatsStream:
    """Every method raises a `StoreError`.

    `ack_wait_s`: how soon a message must be acknowledged or held. `again_s`: how long it may
    take until one that was neither comes again; the consumer's `backoff` may make it longer.
    """

    def __init__(self, source: NatsSource, connection: Any) -> None:
        self._source = source
        self._connection = connection
        self._inbox: Any = None
        self._asked = 0
        self.ack_wait_s = 0.0
        self.again_s = 0.0

    @classmethod
    async def open(cls, source: NatsSource, secret: str, *, ack_wait_s: float) -> Self:
        """Connect, and make the consumer where it is not there yet.

        `ack_wait_s` is for a new consumer; one that exists keeps its own. `Gone` when there
        is no such stream; `BadRequest` when the consumer would lose messages; `ConfigError`
        when nats-py is missing.
        """
        connection = await _connect(source, secret)
        opened = cls(source, connection)
        try:
            with opened._watched("open"):
                info = await opened._consumer(ack_wait_s)
                opened.ack_wait_s, opened.again_s = _checked(source, info.config)
                opened._inbox = await connection.subscribe(connection.new_inbox())
        except BaseException:
            await _close(connection)
            raise
        return opened

    async def _consumer(self, ack_wait_s: float) -> Any:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
        from nats.js.errors import NotFoundError

        source = self._source
        manager = self._connection.jsm(timeout=REQUEST_SECONDS_MAX)
        try:
            return await manager.consumer_info(source.stream, source.consumer)
        except NotFoundError:
            wanted = ConsumerConfig(
                durable_name=source.consumer,
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ack_wait_s,
                max_ack_pending=ACK_PENDING_MAX,
            )
            return await manager.add_consumer(source.stream, wanted)

    @property
    def asked(self) -> int:
        """Messages that the present pull request may still give."""
        return self._asked

    async def ask(self, most: int) -> None:
        """Begin a pull request. Only when the last one is at its end (`asked` is 0)."""
        source = self._source
        request = {
            "batch": most,
            "expires": int(PULL_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{source.stream}.{source.consumer}"
        with _translated("pull", source):
            await self._connection.publish(
                subject, json.dumps(request).encode(), reply=self._inbox.subject
            )
        self._asked = most

    async def next(self) -> Message | None:
        """The next message; None when the server has ended the pull request."""
        patience = HEARTBEAT_SECONDS * (HEARTBEATS_MISSED_MAX + 0.5)
        while True:
            with self._watched("pull"):
                received = await self._inbox.next_msg(timeout=patience)
            status = (received.headers or {}).get("Status", "") if not received.reply else ""
            if not status:
                self._asked -= 1
                return _message(received)
            if status != _HEARTBEAT:
                self._asked = 0
                self._refuse(status, (received.headers or {}).get("Description", ""))
                return None

    def _refuse(self, status: str, description: str) -> None:
        """A pull request that has merely run out is no error."""
        source = self._source
        if status in (_NONE_LEFT, _TIMED_OUT):
            return
        if status == _CONFLICT and "consumer deleted" in description.lower():
            raise Gone(
                f"The consumer {source.consumer} of the stream {source.stream} was deleted.",
                hint="The feed makes it anew when it starts again.",
            )
        raise Unreachable(
            f"The NATS server ended the pull request of {source.consumer}: {status} {description}."
        )

    async def ack(self, token: str) -> None:
        """Not needed again."""
        await self._say(token, b"+ACK")

    async def hold(self, tokens: list[str]) -> None:
        """Still in work: the wait for an acknowledgement begins anew."""
        for token in tokens:
            await self._say(token, b"+WPI")

    async def give_back(self, token: str, delay_s: float = 0.0) -> None:
        """Deliver it again, after `delay_s`."""
        delay = b" " + json.dumps({"delay": int(delay_s * 1e9)}).encode() if delay_s else b""
        await self._say(token, b"-NAK" + delay)

    async def end(self, token: str, why: str) -> None:
        """Never deliver it again. The server publishes an advisory (MSG_TERMINATED) with `why`."""
        await self._say(token, b"+TERM " + why.encode())

    async def _say(self, token: str, words: bytes) -> None:
        with self._watched("acknowledge"):
            await self._connection.publish(token, words)

    @contextmanager
    def _watched(self, action: str) -> Iterator[None]:
        """A refusal comes later than the words that were refused, and to nobody's call."""
        import nats.errors

        with _translated(action, self._source):
            try:
                yield
            except (nats.errors.Error, OSError) as error:
                raise self._connection.last_error or error from None
            if self._connection.last_error is not None:
                raise self._connection.last_error

    async def stop(self) -> None:
        """Receive nothing more, and give back what came and was not read."""
        with self._watched("stop"):
            await self._inbox.unsubscribe()
            for _ in range(self._inbox.pending_msgs):
                received = await self._inbox.next_msg(timeout=REQUEST_SECONDS_MAX)
                if received.reply:
                    await self.give_back(received.reply)

    async def aclose(self) -> None:
        """What was said before is on its way to the server first."""
        await _close(self._connection)


def _message(received: Any) -> Message:
    about = received.metadata
    return Message(
        str(about.sequence.stream), received.reply, received.data, int(about.num_delivered)
    )


def _checked(source: NatsSource, config: Any) -> tuple[float, float]:
    """The consumer's shortest and longest wait for an acknowledgement, in seconds.

    With a `backoff`, its entries take the place of `ack_wait`, one a delivery.
    """
    problem = ""
    if config.deliver_subject:
        problem = "is a push consumer"
    elif getattr(config.ack_policy, "value", config.ack_policy) != "explicit":
        problem = "does not wait for each message's acknowledgement"
    elif (config.max_deliver or -1) > 0:
        problem = f"gives a message up, unsaid, after {config.max_deliver} deliveries (max_deliver)"
    if problem:
        raise BadRequest(
            f"The consumer {source.consumer} of the stream {source.stream} {problem}.",
            hint="Name another consumer: farshore makes the right one where there is none.",
        )
    waits = [float(wait) for wait in (config.backoff or ())] or [float(config.ack_wait)]
    return min(waits), max(waits)


async def _connect(source: NatsSource, secret: str) -> Any:
    nats = _library()
    options: dict[str, Any] = {"allow_reconnect": False, "max_reconnect_attempts": 1}
    options |= {"reconnect_time_wait": 0.1, "connect_timeout": CONNECT_SECONDS_MAX}
    options |= {"name": f"farshore {source.consumer}", "error_cb": _no_words}
    if source.user:
        options |= {"user": source.user, "password": secret}
    elif secret:
        options["token"] = secret
    if source.ca_file:
        options["tls"] = ssl.create_default_context(cafile=str(source.ca_file))
    connection = _client(nats, sealed=_is_sealed(source))
    try:
        with _translated("connect", source):
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await connection.connect(list(source.servers), **options)
    except BaseException:
        await _close(connection)  # nats-py leaves the socket open
        raise
    return connection


def _is_sealed(source: NatsSource) -> bool:
    """Whether the configuration asks for TLS: then no server is spoken to without it."""
    return source.ca_file is not None or any(url.startswith("tls:") for url in source.servers)


def _client(nats: Any, *, sealed: bool) -> Any:
    """nats-py begins TLS only when the server asks for it, "tls://" or not: whoever stands in
    between could leave that out, and would get the token in the clear. So before the first words
    of ours, which hold the token, this one looks whether there is TLS."""

    class Client(nats.NATS):  # type: ignore[misc]  # nats-py has no types
        def _connect_command(self) -> bytes:
            if sealed and not _speaks_tls(self):
                raise NotSealed
            words: bytes = super()._connect_command()
            return words

    return Client()


def _speaks_tls(connection: Any) -> bool:
    """False, too, where nats-py keeps its socket elsewhere: better no feed than an open one."""
    writer = getattr(getattr(connection, "_transport", None), "_io_writer", None)
    return writer is not None and writer.get_extra_info("ssl_object") is not None


class NotSealed(OSError):
    """The server does not ask for TLS, and the configuration does."""


async def _close(connection: Any) -> None:
    """After a failed TLS handshake nats-py would wait for the end of the connection for ever."""
    if not connection.is_closed:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await connection.close()


async def _no_words(_: Exception) -> None:
    """nats-py would write errors to the log; each of them also reaches a caller."""


def _library() -> Any:
    try:
        import nats
    except ImportError:
        raise ConfigError(
            'A feed of kind "nats" needs nats-py, which is not installed.',
            hint="Install it: pip install 'farshore[nats]'",
        ) from None
    return nats


@contextmanager
def _translated(action: str, source: NatsSource) -> Iterator[None]:
    """nats-py's errors as ours."""
    import nats.errors
    import nats.js.errors

    what = f"{action} {source.stream}/{source.consumer} at {', '.join(source.servers)}"
    try:
        yield
    except nats.js.errors.NotFoundError as error:
        hint = f"Make the stream {source.stream}, with the subject that MinIO publishes to."
        raise Gone(f"NATS: {what}: not there ({error.description}).", hint=hint) from None
    except (nats.js.errors.ServiceUnavailableError, nats.js.errors.ServerError) as error:
        raise ServerFault(f"NATS: {what}: {error.description}.", action=what) from None
    except nats.js.errors.APIError as error:
        raise BadRequest(f"NATS: {what}: {error.description}.", action=what) from None
    except (nats.errors.Error, OSError) as error:
        raise _broken(what, error) from None


_REFUSALS = ("authoriz", "authentic", "permissions violation")
"""nats-py gives the server's refusals as texts only: "Authorization Violation",
"User Authentication Expired", "Permissions Violation for Publish to …"."""


def _broken(what: str, error: Exception) -> StoreError:
    if isinstance(error, NotSealed):
        return Unreachable(
            f"NATS: {what}: the server does not ask for TLS, and the configuration does.",
            action=what,
            hint="Nothing was sent. Switch TLS on there (`tls` in its configuration); or somebody "
            "stands in between. For a network that you trust: nats://, and no ca_file.",
        )
    if any(words in str(error).lower() for words in _REFUSALS):
        return Denied(
            f"NATS refused: {what}.",
            action=what,
            hint="Look at the feed's token, or user and password. The user must be allowed to "
            "publish to $JS.API.> and $JS.ACK.>, and to subscribe to _INBOX.>.",
        )
    return Unreachable(
        f"NATS: {what}: no answer ({type(error).__name__}).",
        action=what,
        hint="Is the server running, with JetStream, and does the network let us reach it?",
    )
