"""The bounds of what a queue's feed holds, and what it remembers of unreadable messages."""

from __future__ import annotations

import asyncio

import pytest

from farshore.errors import Unreachable
from farshore.feed.hint import Hint
from farshore.feed.in_hand import POISON_KEPT_MAX, InHand, MessageDelivery, Poison

HINTS = (Hint("files", "k"),)


async def test_room_is_what_is_neither_held_nor_promised() -> None:
    hand = InHand(10)
    hand.hold("a", "token")
    assert await hand.reserve(4) == 4
    assert await hand.reserve(10) == 5
    waiting = asyncio.ensure_future(hand.reserve(10))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert hand.drop("a", "") == "token"
    assert await waiting == 1
    hand.release(10)
    assert await hand.reserve(99) == 10


def test_a_message_that_comes_again_gets_its_newer_token() -> None:
    hand = InHand(10)
    assert hand.hold("a", "old")
    assert not hand.hold("a", "new")
    assert hand.tokens() == ["new"]
    assert hand.drop("a", "own") == "new"
    assert hand.drop("a", "own") == "own"  # held no longer: its delivery's own
    assert hand.tokens() == []


async def test_a_delivery_settles_once_and_again_only_after_a_failure() -> None:
    answers: list[Exception | None] = [Unreachable("no"), None]
    calls = 0

    async def settle() -> None:
        nonlocal calls
        calls += 1
        if error := answers.pop(0):
            raise error

    delivery = MessageDelivery(HINTS, settle)
    with pytest.raises(Unreachable):
        await delivery.settle()
    await delivery.settle()
    await delivery.settle()
    assert calls == 2


def test_poison_is_counted_without_end_and_remembered_within_bounds() -> None:
    poison = Poison()
    for number in range(POISON_KEPT_MAX + 5):
        assert poison.note(str(number), 1, "unreadable")
    assert not poison.note("7", 2, "unreadable"), "the same one again"
    assert (poison.messages, poison.receives) == (POISON_KEPT_MAX + 5, POISON_KEPT_MAX + 6)
    kept = poison.kept()
    assert len(kept) == POISON_KEPT_MAX
    assert (kept[0].message, kept[-1].message, kept[-1].receives) == ("5", "7", 2)
