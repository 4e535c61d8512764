"""Pending fences: a site that was down is fenced the moment it answers, before anything else.

    the record, every few seconds ──> a fence is pending ──> its site is asked, several times
    a second ──> it answers ──> fenced, tried as the application, recorded

    the policies of a fence that stands, now and then ──> nothing is written there any more (its
    site came back with new disks, or a request for another policy arrived late) ──> pending

`before_work` is asked before anything is opened for the pair: while a fence is pending,
nothing is done with the pair. A site that clients may write to although it was given up is
neither a source nor a target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from farshore.clock import Clock
from farshore.config import Config, Principal
from farshore.control.fenced import look_at
from farshore.control.record import ControlPlane, open_plane
from farshore.control.sites import open_store
from farshore.core.record import ControlRecord, Fence
from farshore.errors import FarshoreError, Refused, StoreError
from farshore.fence.waiting import put_up, waiting
from farshore.s3.store import Store
from farshore.tasks import together

RECORD_EVERY_S = 2.0
"""How often the record is read for fences that wait."""

KNOCK_EVERY_S = 0.1
"""How often a site with a pending fence is asked whether it answers."""

KNOCK_SECONDS_MAX = 1.0
"""A site that needs longer for a word is asked again."""

STANDING_EVERY_S = 10.0
"""How often it is looked whether a fence that is recorded to stand is still written there."""

SURE_AFTER_S = 3.0
"""What is missing twice, so far apart, is gone: whoever takes a fence away does so first at the
site, and then in the record."""

AGAIN_S = 5.0
"""Pause after a fence that could not be put up although its site answers."""

Say = Callable[[str], None]
OpenStore = Callable[[Config, str, Principal], Store]


@dataclass(slots=True)
class FenceKeeper:
    """Carries out pending fences, and keeps everything else away until that is done."""

    config: Config
    clock: Clock
    say: Say
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    open_site: OpenStore = open_store
    _pending: tuple[Fence, ...] = ()
    _standing: tuple[Fence, ...] = ()
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _said: str = ""

    async def keep_for_ever(self) -> None:
        """Beside everything else, whether or not replication goes on."""
        async with open_plane(self.config, self.clock) as plane, together() as group:
            group.create_task(self._read_for_ever(plane))
            group.create_task(self._knock_for_ever(plane))
            group.create_task(self._look_for_ever(plane))

    async def before_work(self) -> None:
        """Return when no fence waits. `StoreError` while one does that cannot be put up."""
        async with open_plane(self.config, self.clock) as plane:
            for fence in await self._read(plane):
                try:
                    await self._carry_out(plane, fence)
                except Refused as error:  # which would mean that another worker is at work
                    raise StoreError(error.message, hint=error.hint) from error

    async def _read_for_ever(self, plane: ControlPlane) -> None:
        while True:
            if await self._read(plane):
                self._changed.set()
            await self.sleep(RECORD_EVERY_S)

    async def _knock_for_ever(self, plane: ControlPlane) -> None:
        while True:
            self._changed.clear()
            if not self._pending:
                await self._changed.wait()
            for fence in self._pending:
                if await self._answers(fence.site):
                    await self._try(plane, fence)
            await self.sleep(KNOCK_EVERY_S)

    async def _look_for_ever(self, plane: ControlPlane) -> None:
        missed: tuple[Fence, ...] = ()
        while True:
            await self.sleep(SURE_AFTER_S if missed else STANDING_EVERY_S)
            gone = tuple([fence for fence in self._standing if await self._is_gone(fence)])
            for fence in gone:
                if fence in missed:
                    await self._want_again(plane, fence)
            missed = tuple(fence for fence in gone if fence not in missed)

    async def _is_gone(self, fence: Fence) -> bool:
        """Whether it is not written any more in some bucket that could be looked at."""
        try:
            store = self.open_site(self.config, fence.site, "replicator")
        except FarshoreError:
            return False  # `farshore status` says it
        async with aclosing(store):
            return bool((await look_at(self.config, fence, store)).gone)

    async def _want_again(self, plane: ControlPlane, fence: Fence) -> None:
        """Only `farshore unfence` ends a fence. What is wanted and does not hold is pending."""

        def again(record: ControlRecord) -> ControlRecord:
            if record.fence_of(fence.site) != fence:
                return record
            return record.with_fence(replace(fence, state="pending"))

        why = f"it was gone at {fence.site}"
        try:
            if not (await plane.read()).in_step:
                return  # a site that has lost its disks is brought up first: it has no log to go on
            await plane.change(again, by="farshore", why=why, action="fence.gone")
        except FarshoreError as error:
            self._say_once(f"the fence of {fence.site} is gone: {error.message}")
            return
        self._say_once(f"the fence of {fence.site} is gone, and is put up again")

    async def _try(self, plane: ControlPlane, fence: Fence) -> None:
        """Put it up; what goes wrong is said once, and tried again."""
        try:
            await self._carry_out(plane, fence)
        except StoreError as error:
            self._say_once(f"the fence that waits for {fence.site}: {error.message}")
        except FarshoreError as error:
            self._say_once(f"{error.message} {error.hint}")
            await self.sleep(AGAIN_S)

    async def _carry_out(self, plane: ControlPlane, fence: Fence) -> None:
        async with self._turn:
            if fence not in await self._read(plane):
                return  # somebody did it, or took it back
            raised = await put_up(self.config, plane, self.clock, fence)
            self._pending = tuple(one for one in self._pending if one != fence)
        proved = (
            "" if raised.proved else ", as far as is written: nobody could try whether it bites"
        )
        self._say_once(f"{fence.site} answers and is fenced{proved} (by {fence.by}: {fence.why})")

    async def _read(self, plane: ControlPlane) -> tuple[Fence, ...]:
        """The fences that wait. What was known holds while neither side shows a record."""
        view = await plane.peek()
        if view.answering:
            self._pending = waiting(view)
            self._standing = tuple(f for f in view.record.fences if f not in self._pending)
        return self._pending

    async def _answers(self, site: str) -> bool:
        """Whether the site says anything at all, be it a refusal."""
        try:
            store = self.open_site(self.config, site, "operator")
        except FarshoreError as error:
            self._say_once(f"the fence that waits for {site}: {error.message} {error.hint}")
            await self.sleep(AGAIN_S)
            return False
        try:
            async with asyncio.timeout(KNOCK_SECONDS_MAX):
                await store.server_time_offset()
        except (StoreError, TimeoutError):
            return False
        finally:
            await store.aclose()
        return True

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self.say(text)
        self._said = text
