"""Tasks that work together: one error, and no cancellation is lost."""

from __future__ import annotations

import asyncio

import pytest

from farshore.errors import Refused
from farshore.tasks import together


async def refused() -> None:
    raise Refused("no longer")


async def held() -> None:
    await asyncio.Event().wait()


async def refused_when_cancelled() -> None:
    try:
        await held()
    finally:
        await refused()


async def test_the_first_error_ends_the_others_and_comes_alone() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        async with together() as group:
            tasks.extend(group.create_task(each) for each in (held(), refused()))

    with pytest.raises(Refused, match="no longer"):
        await work()
    assert tasks[0].cancelled()


async def test_the_bodys_own_error_comes_alone_too() -> None:
    async def work() -> None:
        async with together() as outer:
            outer.create_task(held())
            async with together() as inner:
                inner.create_task(held())
                await refused()

    with pytest.raises(Refused):
        await work()
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_cancellation_is_not_lost_where_a_task_fails_at_the_same_moment() -> None:
    """A worker that goes on after its cancellation is waited for in vain: so a daemon once did
    not turn round, when it learnt in two ways at once that it had no right to copy any more."""
    rounds = 0

    async def worker() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            try:
                async with together() as group:
                    group.create_task(refused_when_cancelled())
            except Refused:
                await asyncio.sleep(0)

    work = asyncio.create_task(worker())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.cancel()
    done, _ = await asyncio.wait([work], timeout=5)
    assert done == {work}
    assert work.cancelled()
    assert rounds == 1


async def test_a_limit_of_time_around_it_is_told_as_that() -> None:
    async def work() -> None:
        async with asyncio.timeout(0.01), together() as group:
            group.create_task(refused_when_cancelled())

    with pytest.raises(TimeoutError):
        await work()


async def test_without_an_error_it_ends_when_all_have() -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return 7

    async with together() as group:
        task = group.create_task(later())
    assert task.result() == 7
