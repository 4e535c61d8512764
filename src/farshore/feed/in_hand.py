"""What a queue's feed has given out and not settled; and the messages that nobody can read."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from farshore.feed.hint import Hint

POISON_KEPT_MAX = 100
"""Unreadable messages that are remembered by name; the counts go on."""

POISON_RECEIVES_MAX = 5
"""Receives of one unreadable message before its feed gives it up: each feed says how."""


class InHand:
    """Messages in work: their ids, and the newest token that holds each. At most `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._tokens: dict[str, str] = {}
        self._reserved = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, message: str) -> bool:
        return message in self._tokens

    async def reserve(self, most: int) -> int:
        """Room for 1 to `most` messages, as soon as there is some. `release` gives it back."""
        while (room := self.most - len(self._tokens) - self._reserved) <= 0:
            self._changed.clear()
            await self._changed.wait()
        got = min(room, most)
        self._reserved += got
        return got

    def release(self, reserved: int) -> None:
        self._reserved -= reserved
        self._changed.set()

    def hold(self, message: str, token: str) -> bool:
        """True for a new message; one that came again while in work gets its newer token."""
        is_new = message not in self._tokens
        self._tokens[message] = token
        return is_new

    def drop(self, message: str, default: str) -> str:
        """Its newest token, or `default` when it is not held any more."""
        self._changed.set()
        return self._tokens.pop(message, default)

    def clear(self) -> None:
        self._tokens.clear()
        self._changed.set()

    def tokens(self) -> list[str]:
        return list(self._tokens.values())


class Poisoned(NamedTuple):
    """One unreadable message: its id in the queue, receives so far, and what is wrong."""

    message: str
    receives: int
    why: str


class Poison:
    """Unreadable messages. They are left to their queue, and never forgotten in silence."""

    def __init__(self) -> None:
        self.receives = 0
        self.messages = 0
        self._kept: OrderedDict[str, Poisoned] = OrderedDict()

    def note(self, message: str, receives: int, why: str) -> bool:
        """Whether it is new: each counts once, as long as this process remembers it."""
        is_new = message not in self._kept
        self.receives += 1
        self.messages += is_new
        self._kept[message] = Poisoned(message, receives, why)
        self._kept.move_to_end(message)
        if len(self._kept) > POISON_KEPT_MAX:
            self._kept.popitem(last=False)
        return is_new

    def kept(self) -> list[Poisoned]:
        """The latest ones, the newest last."""
        return list(self._kept.values())


class MessageDelivery:
    """A `Delivery` of one message. `settle` may be called again: it acts once."""

    def __init__(self, hints: tuple[Hint, ...], settle: Callable[[], Awaitable[None]]) -> None:
        self.hints = hints
        self._settle = settle
        self._is_settled = False

    async def settle(self) -> None:
        """A `StoreError` when the queue could not be told: the hints will come again."""
        if not self._is_settled:
            await self._settle()
            self._is_settled = True


async def end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have gone; what they raise now is of no use."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
