"""Cycles are collected by the clock, and answers make none."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from farshore.cli.garbage import EVERY_S, FIRST_S, YOUNG_MAX, collect_by_the_clock, collect_for_ever
from farshore.s3.framing import Framing

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """As it was, afterwards."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Cycle:
    """It knows itself: no reference count ever comes to nothing."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_refers_to_itself_is_freed_again_and_again() -> None:
    collect_by_the_clock()
    assert gc.get_threshold() == YOUNG_MAX
    slept: list[float] = []
    left: list[weakref.ref[Cycle]] = []
    freed: list[bool] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        freed.extend(ref() is None for ref in left[-1:])
        slept.append(seconds)
        left.append(weakref.ref(Cycle()))
        if len(slept) > 3:
            enough.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(collect_for_ever(sleep))
    await enough.wait()
    task.cancel()
    assert slept == [FIRST_S, EVERY_S, EVERY_S, EVERY_S]
    assert freed == [True, True, True]


def test_an_answer_in_chunks_leaves_no_cycle() -> None:
    gc.collect()
    framing = Framing(bodyless=False)
    framing.feed(CHUNKED)
    assert framing.complete
    del framing
    assert gc.collect() == 0
