"""A site that was silent is left alone for a moment, and asked again afterwards."""

from __future__ import annotations

import asyncio

import pytest

from farshore.errors import Unreachable
from farshore.s3.silence import Remembering
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import Faulty
from farshore.testing.store.memory import MemoryStore
from farshore.testing.store.scripts import Fail, Fault


class Site:
    """A store that is down or up, and counts what reaches it."""

    def __init__(self) -> None:
        self.down = True
        self.asked = 0
        self.store = Faulty(MemoryStore("east", clock=ManualClock()), self._script)

    def _script(self, name: str, bucket: str, key: str, number: int) -> Fault | None:
        self.asked += 1
        if self.down:
            return Fail(lambda action: Unreachable("east is down", action=action))
        return None


async def test_what_was_silent_is_not_asked_again_for_a_while() -> None:
    site = Site()
    store = Remembering(site.store, 60.0)
    for _ in range(3):
        with pytest.raises(Unreachable, match="east is down"):
            await store.list_buckets()
    assert site.asked == 1


async def test_after_the_while_it_is_asked_and_what_answers_is_heard() -> None:
    site = Site()
    store = Remembering(site.store, 0.01)
    with pytest.raises(Unreachable):
        await store.list_buckets()
    site.down = False
    await asyncio.sleep(0.02)  # the memory is that short; nothing else could end it
    assert await store.list_buckets() == []


async def test_without_a_memory_every_call_goes_through() -> None:
    site = Site()
    store = Remembering(site.store, 0.0)
    for _ in range(3):
        with pytest.raises(Unreachable):
            await store.list_buckets()
    assert site.asked == 3
