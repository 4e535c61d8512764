"""A hint: "look at this key". It may be lost, doubled, late and out of order.

A hint never says what to copy. The engine looks at both histories of the key and does
what their alignment asks for, so that a wrong hint costs a look and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

SENDER_LATE_S = 60.0
"""How late a sender may be with an event, where nothing else is known of it."""


class Hint(NamedTuple):
    """A key of a source bucket that has, or may have, changed.

    `at`: when, in Unix seconds by the source's clock; 0.0 when the event does not say.
    `sequence`: S3's sequencer, padded for comparison as text, or "".
    `size`: bytes of the new version where the event tells them, for the backlog's gauge.
    `versions`: ids of versions that are known to have been written, null ones and delete
    markers left out: should they be gone before anybody looks, they are counted.
    """

    bucket: str
    key: str
    at: float = 0.0
    sequence: str = ""
    size: int = 0
    versions: tuple[str, ...] = ()


class Delivery(Protocol):
    """Hints that came together, and the way to say that they may be forgotten."""

    @property
    def hints(self) -> tuple[Hint, ...]: ...

    async def settle(self) -> None:
        """These hints will not be needed again. Until then the feed may bring them anew."""
        ...


Settles = Literal["durable", "applied"]
"""When a delivery is settled: once its hints are in the journal (the sender cannot
repeat them), or only once every one of them has been applied or recorded as failed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that tells of no change, and that a person must see.

    `kind` is for metrics. `text` may be shown to anybody. `url`, where there is one, may be
    opened by whoever is to follow the notice: it holds a secret, and is never shown.
    """

    kind: Literal["confirm", "ended"]
    text: str
    url: str = field(default="", repr=False)


class Listener(Protocol):
    """Hears of what came through a feed and gave no hints."""

    def answered(self) -> None:
        """The source was asked and has answered, be it that it has nothing to tell. Said once a
        connection at least, and before its first delivery or soon after."""
        ...

    def unreadable(self, why: str) -> None:
        """A message came that nobody can read: it may have told of a change. Once for each
        message, as far as the feed can tell one from another."""
        ...

    def noticed(self, notice: Notice) -> None: ...


class Nobody:
    """The `Listener` before there is one."""

    def answered(self) -> None:
        """Not heard."""

    def unreadable(self, why: str) -> None:
        """Not heard."""

    def noticed(self, notice: Notice) -> None:
        """Not heard."""


class Feed(Protocol):
    """One source of hints.

    `deliveries` never ends by itself. It raises `Unreachable` (or another `StoreError`)
    when the connection is lost: the caller starts it again after a pause, and nothing that
    was not settled is lost where the source can repeat it.
    """

    @property
    def name(self) -> str:
        """For messages and metrics: "filer east", "webhook"."""
        ...

    @property
    def settles(self) -> Settles: ...

    @property
    def late_s(self) -> float:
        """By how many seconds the hint of a change may come after that of a later change, as
        long as the feed has not broken. 0.0: it tells changes in the order in which they
        were acknowledged."""
        ...

    def listen(self, listener: Listener) -> None:
        """Whom to tell of what is no hint. To be called before `deliveries`."""
        ...

    def deliveries(self) -> AsyncGenerator[Delivery, None]: ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
