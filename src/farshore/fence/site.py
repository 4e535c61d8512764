"""The fence of one site: put, tried, taken away. What it found is data; who asked is not its.

    check    try it on our canaries alone, while clients go on writing
    put      try it first, then put it everywhere, then see that it bites
    take     take it away, then see that the application may write again
    look     what stands there now

A fence that is seen not to bite is no fence: what this call had put is taken away again and
`Toothless` says where and why. One that nobody can tell about stays, and is said to be
unproved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from farshore.control.bucket import every
from farshore.errors import Refused
from farshore.faultpoints import reached
from farshore.fence.barrier import Barrier
from farshore.fence.bite import Bite, Could, Teeth

BAD = frozenset({"open", "shut"})
"""Words of `bite` for a fence that is none."""


class Toothless(Refused):
    """The fence does not bite, or bites those whom it must spare. Nothing of it was left."""

    cause_word = "FenceDoesNotBite"

    def __init__(self, message: str, *, bites: Sequence[Bite], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.bites = tuple(bites)

    @property
    def bad(self) -> frozenset[str]:
        """The buckets in which there is no fence."""
        return frozenset(bite.bucket for bite in self.bites if bite.word in BAD)


class Opened(NamedTuple):
    """One bucket without its fence. `was`: a fence was there. `open`: the application may write
    again; None where its keys are not known."""

    bucket: str
    was: bool
    open: bool | None


@dataclass(frozen=True, slots=True)
class SiteFence:
    """One site, its buckets of the pair, the way to refuse writes, and the way to try it."""

    site: str
    buckets: tuple[str, ...]
    barrier: Barrier
    teeth: Teeth

    async def look(self) -> dict[str, bool]:
        """Whether a fence is written in each bucket."""
        return await self.barrier.standing(self.buckets)

    async def check(self) -> list[Bite]:
        """Whether a fence would bite. Clients notice nothing. `Toothless` when it would not."""
        if not self.barrier.can_try:
            return [
                Bite(b, "unproved", "this fence can only be put, not tried") for b in self.buckets
            ]
        standing = await self.look()
        held = [bucket for bucket in self.buckets if standing[bucket]]
        free = [bucket for bucket in self.buckets if not standing[bucket]]
        await self.barrier.take(free)  # a trial that a killed run left there
        could = await self._before(free)
        try:
            await self.barrier.try_out(free)
            tried = await self._tried(free, could, trial=True)
        finally:
            await self.barrier.take(free)
        return sorted([*await self._tried(held, {}), *tried])

    async def put(self, *, keep: bool = False) -> list[Bite]:
        """Fence the site; again is no error. Answers what was found in each bucket.

        `keep`: of a fence that bites in some buckets only, those stay, and `Toothless` tells
        of the others (where a site may be written to at any moment, half a fence is better
        than none).
        """
        standing = await self.look()
        fresh = [bucket for bucket in self.buckets if not standing[bucket]]
        could, failed = await self._try_first(fresh, keep)
        wanted = [bucket for bucket in self.buckets if bucket not in failed]
        bad = set(fresh)
        try:
            await self.barrier.put(wanted)
            reached("fence.policy.put")
            bites = await self._tried(wanted, could)
        except Toothless as error:
            if keep:
                bad &= error.bad
            await self.barrier.take(sorted(bad))
            raise
        except Refused:
            if not keep:
                await self.barrier.take(sorted(bad))
            raise
        if failed:
            raise self._toothless([*failed.values(), *bites])
        return bites

    async def take(self) -> list[Opened]:
        """Take the fence away everywhere; where none is, that is no error."""
        gone = set(await self.barrier.take(self.buckets))
        reached("fence.policy.removed")
        opened = await every([self.teeth.opened(bucket) for bucket in self.buckets])
        return [
            Opened(bucket, bucket in gone, is_open)
            for bucket, is_open in zip(self.buckets, opened, strict=True)
        ]

    async def _try_first(
        self, fresh: Sequence[str], keep: bool
    ) -> tuple[dict[str, Could | None], dict[str, Bite]]:
        """(what the application could do before, the buckets in which no fence would bite).

        On canaries alone: a fence that would lock the operator out could not be taken away.
        A trial that passed stays for `put`, which replaces it in one step.
        """
        if not self.barrier.can_try or not fresh:
            return await self._before(fresh), {}
        await self.barrier.take(fresh)  # a trial that a killed run left there
        could = await self._before(fresh)
        try:
            await self.barrier.try_out(fresh)
            await self._tried(fresh, could, trial=True)
        except Toothless as error:
            await self.barrier.take(fresh)
            if not keep:
                raise
            return could, {bite.bucket: bite for bite in error.bites if bite.word in BAD}
        except BaseException:
            await self.barrier.take(fresh)
            raise
        return could, {}

    async def _before(self, buckets: Sequence[str]) -> dict[str, Could | None]:
        found = await every([self.teeth.before(bucket) for bucket in buckets])
        return dict(zip(buckets, found, strict=True))

    async def _tried(
        self, buckets: Sequence[str], could: dict[str, Could | None], *, trial: bool = False
    ) -> list[Bite]:
        bites = await every([self.teeth.after(b, could.get(b), trial=trial) for b in buckets])
        if any(bite.word in BAD for bite in bites):
            raise self._toothless(bites)
        return bites

    def _toothless(self, bites: Sequence[Bite]) -> Toothless:
        bad = [bite for bite in bites if bite.word in BAD]
        where = "; ".join(f"{bite.bucket}: {bite.why}" for bite in bad)
        if any(bite.word == "open" for bite in bad):
            return Toothless(
                f"{self.site} cannot be fenced in this way: {where}. What this call had put "
                "there was taken away again.",
                bites=bites,
                hint=_OPEN_HINT.format(site=self.site),
            )
        return Toothless(
            f"The fence at {self.site} refuses too much: {where}. What this call had put there was "
            "taken away again.",
            bites=bites,
            hint=f"Name the replicator and the operator as the server knows them: "
            f'[sites.{self.site}.fence] spare = ["…", "…"]',
        )


_OPEN_HINT = (
    "See whether the server applies bucket policies to users with keys at all (some ask them "
    'about anonymous callers alone): then use [sites.{site}.fence] by = "command".'
)
