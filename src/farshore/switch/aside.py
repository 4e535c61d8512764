"""Work that blocks, in a thread that nobody has to wait for.

`asyncio.to_thread` is not used here: its threads are joined when the program ends, so that a
library or a file system that hangs would keep a command from ending, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def aside(work: Callable[[], Result], seconds_max: float) -> Result:
    """What `work` answers or raises; `TimeoutError` after `seconds_max`. It goes on then."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result | None, error: BaseException | None) -> None:
        if answer.done():
            return  # whoever waited has gone
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # None is a Result where it comes

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001 it is raised where it is waited for
            error = caught
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="switch", daemon=True).start()
    async with asyncio.timeout(seconds_max):
        return await answer
