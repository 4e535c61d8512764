"""A site that does not answer is not asked again for a moment: who is in a hurry asks elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from farshore.errors import Unreachable
from farshore.s3.store import Store
from farshore.s3.wrap import Operation, Wrapper

T = TypeVar("T")

CUT_OFF_S = 1.0
"""A caller that gave up after so long has met silence, not haste."""


class Remembering(Wrapper):
    """After `Unreachable`, or a call that its caller cut off, the same answer for `for_s` seconds.

    Put it around the retries: what they found out is what is remembered.
    """

    def __init__(self, inner: Store, for_s: float) -> None:
        super().__init__(inner)
        self._for_s = for_s
        self._until = 0.0
        self._why = ""

    async def around(self, operation: Operation, call: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time
        began = now()
        if began < self._until:
            raise Unreachable(self._why, action=f"{operation.name} at {self.site}")
        try:
            return await call()
        except Unreachable as error:
            self._remember(now(), error.message)
            raise
        except asyncio.CancelledError:
            if now() - began >= CUT_OFF_S:
                self._remember(now(), f"{self.site} did not answer in time.")
            raise

    def _remember(self, now: float, why: str) -> None:
        self._until, self._why = now + self._for_s, why
