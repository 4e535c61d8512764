"""An open GET: what it says of the object, and its body."""

from __future__ import annotations

from collections.abc import AsyncIterator

from farshore.s3.http import HttpAnswer
from farshore.s3.store import Chunk, ObjectInfo

ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""The largest answer kept in memory. 1,000 versions with keys of 1,024 escaped bytes
and both names of an owner come to 5 MB."""


class Reading:
    """An open GET (`store.ObjectRead`)."""

    __slots__ = ("_answer", "_info")

    def __init__(self, answer: HttpAnswer, info: ObjectInfo) -> None:
        self._answer = answer
        self._info = info

    @property
    def info(self) -> ObjectInfo:
        return self._info

    @property
    def body_length(self) -> int:
        return self._answer.length

    async def read(self) -> bytes:
        return await self._answer.read(min(self._answer.length, ANSWER_BYTES_MAX))

    def chunks(self) -> AsyncIterator[Chunk]:
        return self._answer.chunks()

    async def aclose(self) -> None:
        await self._answer.aclose()
