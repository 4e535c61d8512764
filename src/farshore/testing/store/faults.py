"""Faults on purpose: a wrapper over any store that fails as networks and servers do.

The kinds of faults and the scripts live in `scripts`; they can be imported from
here as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar, cast

from farshore.errors import Corrupt
from farshore.s3.store import Chunk, ObjectInfo, ObjectRead, Store, VersionPage
from farshore.s3.wrap import Operation, Wrapper
from farshore.testing.store.call import Call
from farshore.testing.store.scripts import (
    AlterBody,
    Crash,
    Crashed,
    CutBody,
    CutListing,
    DisorderedListing,
    Fail,
    Fault,
    Hang,
    LoseEntries,
    Rates,
    Script,
    at,
    first_of,
    lost_answer,
    on,
    seeded,
    server_fault,
    throttled,
    unreachable,
)

__all__ = [
    "AlterBody",
    "Crash",
    "Crashed",
    "CutBody",
    "CutListing",
    "DisorderedListing",
    "Fail",
    "Fault",
    "Faulty",
    "Hang",
    "LoseEntries",
    "Rates",
    "Script",
    "at",
    "first_of",
    "lost_answer",
    "on",
    "seeded",
    "server_fault",
    "throttled",
    "unreachable",
]

T = TypeVar("T")

CALLS_KEPT_MAX = 100_000


class Faulty(Wrapper):
    """A store whose calls fail as the script says. `calls` are the latest calls, in order.

    `aclose` and `presign` never fail: they ask the server nothing.
    """

    def __init__(self, store: Store, script: Script) -> None:
        super().__init__(store)
        self.script = script
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT_MAX)
        self._number = 0

    async def around(self, operation: Operation, call: Callable[[], Awaitable[T]]) -> T:
        name, bucket, key = operation.name, operation.bucket, operation.key
        self._number += 1
        self.calls.append(Call(name, bucket, key, self._number))
        fault = self.script(name, bucket, key, self._number)
        action = f"{name} {bucket}/{key} at {self.site}"
        return await self.under(fault, operation, action, call)

    async def under(
        self,
        fault: Fault | None,
        operation: Operation,
        action: str,
        call: Callable[[], Awaitable[T]],
    ) -> T:
        """The call between what is due ahead of it and what is due after it."""
        await due(fault, action, after=False)
        answer = await call()
        await due(fault, action, after=True)
        return spoilt(answer, fault, action)


async def due(fault: Fault | None, action: str, *, after: bool) -> None:
    """Do what the fault asks for at this moment."""
    if not isinstance(fault, Fail | Crash | Hang) or fault.after != after:
        return
    if isinstance(fault, Hang):
        await fault.event.wait()
    elif isinstance(fault, Crash):
        raise Crashed(f"{action}: crashed {'after' if after else 'before'} the effect")
    else:
        raise fault.error(action)


def spoilt(answer: T, fault: Fault | None, action: str) -> T:
    """The answer as the fault leaves it."""
    if fault is None:
        return answer
    if isinstance(answer, VersionPage):
        return cast("T", _spoilt_page(answer, fault))
    if isinstance(fault, CutBody | AlterBody):
        read = cast("ObjectRead", answer)
        return cast("T", _FaultyRead(read, fault, action)) if read.body_length else answer
    return answer


def _spoilt_page(page: VersionPage, fault: Fault) -> VersionPage:
    """The page as the fault leaves it; its markers stay those of the whole page."""
    if isinstance(fault, CutListing):
        kept = page.entries[: fault.keep]
        return page._replace(entries=kept, truncated=False, next_key="", next_version="")
    if isinstance(fault, LoseEntries):
        return page._replace(entries=page.entries[fault.count :])
    if isinstance(fault, DisorderedListing):
        return page._replace(entries=page.entries[::-1])
    return page


class _FaultyRead:
    """An open GET whose body is cut short or altered."""

    def __init__(self, read: ObjectRead, fault: CutBody | AlterBody, action: str) -> None:
        self._read = read
        self._fault = fault
        self._action = action

    @property
    def info(self) -> ObjectInfo:
        return self._read.info

    @property
    def body_length(self) -> int:
        return self._read.body_length

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[Chunk]:
        if isinstance(self._fault, CutBody):
            async for chunk in self._cut(min(self._fault.keep, self.body_length - 1)):
                yield chunk
        else:
            async for chunk in self._altered(self._fault.position % self.body_length):
                yield chunk

    async def _cut(self, end: int) -> AsyncIterator[Chunk]:
        """The first `end` bytes, then `Corrupt`: what a broken connection looks like."""
        passed = 0
        async for chunk in self._read.chunks():
            yield chunk[: end - passed]
            passed += len(chunk)
            if passed >= end:
                break
        raise Corrupt(
            f"{self._action}: {end} of {self.body_length} bytes came", action=self._action
        )

    async def _altered(self, position: int) -> AsyncIterator[Chunk]:
        """The whole body, the byte at `position` flipped."""
        passed = 0
        async for chunk in self._read.chunks():
            place = position - passed
            if 0 <= place < len(chunk):
                altered = bytearray(chunk)
                altered[place] ^= 0xFF
                yield bytes(altered)
            else:
                yield chunk
            passed += len(chunk)
