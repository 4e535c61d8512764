"""A fence that a person asks for, recorded: what is wanted before, what became of it after.

    record: pending ──> policies ──> tried ──> record: standing, or unproved
       │                   │            └── does not bite: taken away, the record as before
       │                   └── killed here: the record says pending; the same call finishes it
       └── the site does not answer: it stays pending, and is carried out when it does

    policies taken away ──> tried ──> record: no fence

The record decides. Two people may fence and take away at one moment; so whoever is done looks
at both once more, and makes the policies as the record wants them. Of any number of people the
last one to change anything looks after all others have, and sees what stays. Who finds that
somebody else has decided otherwise is told who it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from farshore.clock import Clock
from farshore.config import Config
from farshore.core.record import ControlRecord, Fence
from farshore.errors import Refused, Unreachable
from farshore.faultpoints import reached
from farshore.fence.bite import Bite
from farshore.fence.opening import open_fence, require_fence
from farshore.fence.site import Opened, Toothless

FENCE, UNFENCE = "fence", "unfence"
"""Actions in the audit log."""

Decide = Callable[[ControlRecord], ControlRecord]
Opener = Callable[[Config, str, Clock], AbstractAsyncContextManager["Fenceable"]]


SETTLE_MAX = 8
"""So often policies are made as the record wants them, before somebody is told that others
change it all the time."""


class Fenceable(Protocol):
    """A site that answers: see `SiteFence`."""

    async def look(self) -> dict[str, bool]: ...
    async def put(self, *, keep: bool = False) -> list[Bite]: ...
    async def take(self) -> list[Opened]: ...


class Recorded(Protocol):
    """What was read: the record that stands, and the sites that showed theirs."""

    @property
    def record(self) -> ControlRecord: ...
    @property
    def answering(self) -> Sequence[object]: ...


class Recorder(Protocol):
    """What a fence needs of the control plane: changes by compare-and-swap, audited."""

    async def read(self) -> Recorded:
        """What both sites show, as far as they answer."""
        ...

    async def change(self, decide: Decide, *, by: str, why: str, action: str) -> ControlRecord:
        """`decide` gets the record that stands and answers the next one; it may raise `Refused`."""
        ...


@dataclass(frozen=True, slots=True)
class Raised:
    """What became of a fence. While the site does not answer, `bites` is empty and `trouble`
    says why; the fence may stand there for long."""

    fence: Fence
    bites: tuple[Bite, ...] = ()
    trouble: str = ""

    @property
    def proved(self) -> bool:
        """It stands, and was seen to bite in every bucket."""
        return self.fence.state == "standing" and not self.trouble


@dataclass(frozen=True, slots=True)
class Fences:
    """Fences of one pair by the control record. `opener` opens a site that answers."""

    config: Config
    recorder: Recorder
    clock: Clock
    opener: Opener = open_fence

    async def raise_(self, site: str, by: str, why: str) -> Raised:
        """Fence a site, or note that it is to be fenced when it answers.

        `Toothless` or another `Refused` when it cannot be: then nothing of it is left, in
        the buckets and in the record. Any other error leaves it pending, and what was
        written stays: the same call finishes it.
        """
        require_fence(self.config, site)
        before, wanted = await self._intend(site, by, why)
        reached("fence.recorded")
        try:
            return await self._carry_out(wanted, keep=False)
        except Refused as error:
            await self._give_back(wanted, before, error)
            await self._settle_if_open(site)
            raise

    async def carry_out(self, pending: Fence) -> Raised:
        """Put up a fence that was asked for while its site was down.

        Whatever of it bites stays: half a fence is better than none there. `Refused` when it
        cannot be put up: it stays pending, and nothing else should be done with that site.
        """
        require_fence(self.config, pending.site)
        return await self._carry_out(pending, keep=True)

    async def lower(self, site: str, by: str, why: str) -> list[Opened]:
        """Take a fence away. Empty when only a pending one was: its site does not answer."""
        known = await self._known(site)
        try:
            async with self.opener(self.config, site, self.clock) as fence:
                opened = await fence.take()
                try:
                    await self._change(_without(known, site), by, why, UNFENCE)
                finally:
                    record = await self._settled(fence, site)
                if (there := record.fence_of(site)) is not None:
                    raise _fenced_meanwhile(there)
                return opened
        except Unreachable:
            if known is None or known.state != "pending":
                raise
        await self._change(_without(known, site), by, why, UNFENCE)
        return []

    # -- the record ------------------------------------------------------------------

    async def _intend(self, site: str, by: str, why: str) -> tuple[Fence | None, Fence]:
        """(what was recorded, what is now). A fence that is there keeps its author."""
        before = await self._known(site)
        if before is not None:
            return before, before
        way = self.config.site(site).fence.by
        asked = Fence(site, way, "pending", by, why, self.clock.now())

        def intend(record: ControlRecord) -> ControlRecord:
            return record if record.fence_of(site) else record.with_fence(asked)

        record = await self._change(intend, by, why, FENCE)
        return None, record.fence_of(site) or asked

    async def _known(self, site: str) -> Fence | None:
        return (await self._record()).fence_of(site)

    async def _record(self) -> ControlRecord:
        view = await self.recorder.read()
        if not view.answering:
            raise Unreachable(
                "Neither control bucket answers: what is recorded is not known, and nothing was "
                "changed."
            )
        return view.record

    async def _carry_out(self, wanted: Fence, *, keep: bool) -> Raised:
        try:
            async with self.opener(self.config, wanted.site, self.clock) as fence:
                bites = await fence.put(keep=keep)
                return await self._confirm(fence, wanted, bites)
        except Unreachable as error:
            return Raised(wanted, trouble=error.message)

    async def _confirm(self, fence: Fenceable, wanted: Fence, bites: list[Bite]) -> Raised:
        """Record that it stands. When it is wanted no longer, it is taken away again."""
        proved = all(bite.word == "bites" for bite in bites)
        stands = replace(wanted, state="standing" if proved else "unproved")

        def confirm(record: ControlRecord) -> ControlRecord:
            if record.fence_of(wanted.site) is None:
                raise _taken_back(record, wanted.site)
            return record.with_fence(stands)

        try:
            await self._change(confirm, wanted.by, wanted.why, f"{FENCE}.done")
        finally:
            record = await self._settled(fence, wanted.site)
        if record.fence_of(wanted.site) is None:
            raise _taken_back(record, wanted.site)
        return Raised(stands, tuple(bites))

    async def _settled(self, fence: Fenceable, site: str) -> ControlRecord:
        """What is recorded, once the policies are as it wants them: the last word of whoever
        changed anything. A pending fence is for whoever has asked for it, or the daemon."""
        for _ in range(SETTLE_MAX):
            record = await self._record()
            wanted = record.fence_of(site)
            if wanted is not None and wanted.state == "pending":
                return record
            stands = (await fence.look()).values()
            if wanted is None and any(stands):
                await fence.take()
            elif wanted is not None and not all(stands):
                await fence.put(keep=True)
            else:
                return record
        raise Refused(
            f"The fence of {site} is put up and taken away by others all the time.",
            hint=f"Agree with {record.by}, and see `farshore fence {site} --show`.",
        )

    async def _settle_if_open(self, site: str) -> None:
        """The same after a fence that was refused: why it was is what the caller says. A site
        that cannot be opened, or whose policies cannot be had, had nothing put up there."""
        with contextlib.suppress(Refused, Unreachable):
            async with self.opener(self.config, site, self.clock) as fence:
                await self._settled(fence, site)

    async def _give_back(self, wanted: Fence, before: Fence | None, error: Refused) -> None:
        """The record as it was: nothing was put up. What stood before and is now seen not to
        bite is pending: it is wanted, and does not hold."""

        def back(record: ControlRecord) -> ControlRecord:
            if record.fence_of(wanted.site) != wanted:
                return record
            if before is None:
                return record.without_fence(wanted.site)
            seen = isinstance(error, Toothless)
            return record.with_fence(replace(before, state="pending") if seen else before)

        await self._change(back, wanted.by, wanted.why, f"{FENCE}.refused")

    async def _change(self, decide: Decide, by: str, why: str, action: str) -> ControlRecord:
        return await self.recorder.change(decide, by=by, why=why, action=action)


class _Overtaken(Refused):
    """Somebody else changed the record while the policies were written."""


def _taken_back(record: ControlRecord, site: str) -> _Overtaken:
    return _Overtaken(
        f"{record.by} took the fence of {site} back while it was put up: it was taken away again.",
        hint="Agree with them; then run `farshore fence` again if it is wanted.",
    )


def _fenced_meanwhile(there: Fence) -> _Overtaken:
    return _Overtaken(
        f"{there.by} fenced {there.site} while its fence was taken away: it is put up again.",
        hint="Agree with them; then run `farshore unfence` again if it is wanted.",
    )


def _without(known: Fence | None, site: str) -> Decide:
    """The record without the fence that was known; another one is somebody else's."""

    def decide(record: ControlRecord) -> ControlRecord:
        there = record.fence_of(site)
        if there is not None and (known is None or there.at != known.at):
            raise _fenced_meanwhile(there)
        return record.without_fence(site)

    return decide
