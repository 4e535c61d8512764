"""Does a fence bite? Found out by writing: as the application, and as the replicator.

A policy that matches nothing looks like success, and one that matches too much locks the
replicator out. So in every bucket the application tries to write, to delete, to begin an
upload and to tag, and must be denied each; it reads, and must be let through; the
replicator writes, and must be let through. Canaries are purged, whatever comes of it.

    bites      the application was let through before, and is denied now
    unproved   nobody can tell: no keys of the application, or it never could write there
    open       a write of the application went through
    shut       reads, or the replicator, are refused as well
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from farshore.clock import Clock
from farshore.config.fences import OBEYED_SECONDS_MAX
from farshore.control.bucket import Access
from farshore.control.canary import CANARY_PREFIX, canary_key, purge_key
from farshore.errors import Denied, StoreError, Unsupported
from farshore.s3.store import Store

TRIAL = "-trial"
TRIAL_KEYS = f"{CANARY_PREFIX}*{TRIAL}"
"""What begins like this is a canary of a trial. The fence itself is tried on other canaries: on
a server that is slow to obey, the trial that it replaced must not speak for it."""

PAUSE_S_FIRST, PAUSE_S_MAX = 0.05, 1.0

Word = Literal["bites", "unproved", "open", "shut"]

_BODY = b"farshore canary: this object tries the fence and is purged at once.\n"


class Bite(NamedTuple):
    """What was found in one bucket. `why` is for people, and "" where the fence bites."""

    bucket: str
    word: Word
    why: str = ""


class Could(NamedTuple):
    """What the application may do before the fence."""

    write: bool
    read: bool


@dataclass(frozen=True, slots=True)
class Teeth:
    """Tries the fence of one site. `pause` waits between two tries, for `seconds_max` in all."""

    access: Access
    clock: Clock
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    seconds_max: float = OBEYED_SECONDS_MAX

    async def before(self, bucket: str) -> Could | None:
        """What the application may do now, without a fence; None without its keys."""
        app = self.access.app
        if app is None:
            return None
        async with self._canary(bucket) as (key, other):
            await self.access.replicator.put(bucket, key, _BODY)
            write = await _passes(app.put(bucket, other, _BODY))
            return Could(write, await _passes(_read(app, bucket, key)))

    async def after(self, bucket: str, could: Could | None, *, trial: bool = False) -> Bite:
        """Whether the fence, or its `trial`, bites, once the server has had time to obey it.

        `could`: what `before` found; None where it could not be asked: the fence stood.
        """
        async with self._canary(bucket, TRIAL if trial else "") as (key, other):
            replicator = self.access.replicator
            if not await self._comes(lambda: _passes(replicator.put(bucket, key, _BODY))):
                return Bite(bucket, "shut", "the replicator's writes are denied as well")
            app = self.access.app
            if app is None:
                return Bite(bucket, "unproved", _NO_APP.format(site=self.access.site.name))
            through: list[str] = []

            async def denied() -> bool:
                through[:] = await self._let_through(app, bucket, key, other)
                return not through

            if not await self._comes(denied):
                return Bite(bucket, "open", f"the app could still {' and '.join(through)}")
            if not await _passes(_read(app, bucket, key)) and (could is None or could.read):
                return Bite(bucket, "shut", "the app's reads are denied as well")
        if could is not None and not could.write:
            return Bite(bucket, "unproved", "the app could not write there before either")
        return Bite(bucket, "bites")

    async def opened(self, bucket: str) -> bool | None:
        """After a fence was taken away: whether the application may write again; None without
        its keys."""
        app = self.access.app
        if app is None:
            return None
        async with self._canary(bucket) as (_, other):
            return await self._comes(lambda: _passes(app.put(bucket, other, _BODY)))

    async def _let_through(self, app: Store, bucket: str, key: str, other: str) -> list[str]:
        """What of all that must be denied is not, in words."""
        tries: dict[str, Callable[[], Awaitable[object]]] = {
            "write": lambda: app.put(bucket, other, _BODY),
            "delete": lambda: app.delete(bucket, other),
            "begin an upload": lambda: self._begin_upload(app, bucket, other),
            "tag": lambda: app.put_tags(bucket, key, "", (("farshore", "canary"),)),
        }
        return [what for what, attempt in tries.items() if await _passes(attempt())]

    async def _begin_upload(self, app: Store, bucket: str, key: str) -> None:
        upload = await app.create_upload(bucket, key)
        await self.access.operator.abort_upload(bucket, key, upload)

    async def _comes(self, true: Callable[[], Awaitable[bool]]) -> bool:
        """Ask until it is true, for as long as a server may need to obey."""
        pause, began = PAUSE_S_FIRST, self.clock.monotonic()
        while not await true():
            if self.clock.monotonic() - began > self.seconds_max:
                return False
            await self.pause(pause)
            pause = min(pause * 2, PAUSE_S_MAX)
        return True

    @contextlib.asynccontextmanager
    async def _canary(self, bucket: str, kind: str = "") -> AsyncIterator[tuple[str, str]]:
        """Two keys: the replicator's and the application's. Nothing is left of them."""
        key = canary_key(self.clock) + kind
        keys = key, f"{key}-app"
        try:
            yield keys
        except BaseException:
            # The error under way says why; one of the clean-up would only hide it.
            with contextlib.suppress(StoreError):
                await self._forget(bucket, keys)
            raise
        await self._forget(bucket, keys)

    async def _forget(self, bucket: str, keys: tuple[str, str]) -> None:
        for key in keys:
            try:
                await purge_key(self.access.replicator, bucket, key)
            except Denied:
                with contextlib.suppress(Denied):  # a default retention holds it
                    await purge_key(self.access.operator, bucket, key)


_NO_APP = "there are no keys of the app to try it with: [sites.{site}.credentials] app"


async def _passes(request: Awaitable[object]) -> bool:
    """Whether the server let it through. What the server cannot do at all, it does not."""
    try:
        await request
    except (Denied, Unsupported):
        return False
    return True


async def _read(store: Store, bucket: str, key: str) -> None:
    async with store.get(bucket, key) as answer:
        await answer.read()
