"""A hint: "look at this key". It may be lost, doubled, late and out of order.

A hint never says what to copy. The engine looks at both histories of the key and does
what their alignment asks for, so that a wrong hint costs a look and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, NamedTuple, Protocol


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

    def deliveries(self) -> AsyncGenerator[Delivery, None]: ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
