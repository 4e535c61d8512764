"""Reading one item ahead, so that a listing's next page travels while this one is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

Item = TypeVar("Item")


async def one_ahead(source: AsyncGenerator[Item, None]) -> AsyncGenerator[Item, None]:
    """The same items; while the caller works on one, the next is being fetched.

    At most one item waits. The source is closed, and its pending work cancelled, when
    the caller stops early.
    """
    pending = asyncio.ensure_future(_next(source))
    try:
        while (got := await pending) is not None:
            pending = asyncio.ensure_future(_next(source))
            yield got[0]
    finally:
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        await source.aclose()


async def _next(source: AsyncGenerator[Item, None]) -> tuple[Item] | None:
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return None
