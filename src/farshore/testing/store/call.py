"""One operation on a store, by name and number, and hooks around it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Call(NamedTuple):
    """One operation: the protocol's method name, what it is about, and its number from 1."""

    operation: str
    bucket: str
    key: str
    number: int


class Hook(Protocol):
    """Awaited around every operation; what it raises, the caller of the operation sees.

    `before` runs ahead of any effect; `after` only once the operation has succeeded, its
    effect done and its answer not yet given.
    """

    async def before(self, call: Call) -> None: ...
    async def after(self, call: Call) -> None: ...


class Hooked:
    """`async with` around one operation: `before` on entry, `after` on success."""

    __slots__ = ("_call", "_hook")

    def __init__(self, hook: Hook | None, call: Call) -> None:
        self._hook = hook
        self._call = call

    async def __aenter__(self) -> None:
        if self._hook is not None:
            await self._hook.before(self._call)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._hook is not None:
            await self._hook.after(self._call)
