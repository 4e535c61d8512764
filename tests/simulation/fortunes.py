"""What becomes of buckets: new ones, and such as a lost disk takes away. An operator mends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from farshore.s3.store import Store
from tests.simulation.sites import Target
from tests.simulation.step import Step

APPLIED_MAX_S = 15.0
"""`farshore apply` is run so long after a bucket has been missing, at most."""


class Fortunes:
    """`lost` is told of the buckets of the target whose versions are about to be gone."""

    def __init__(
        self, source: Store, target: Target, control: str, lost: Callable[[Sequence[str]], None]
    ) -> None:
        self._source, self._target, self._control, self._lost = source, target, control, lost
        self.buckets: list[str] = []

    async def begin(self, buckets: Sequence[str]) -> None:
        """They, and the control buckets, stand on both sides."""
        for store in (self._source, self._target):
            for bucket in (*buckets, self._control):
                await make(store, bucket)
        self.buckets += buckets

    async def befall(self, step: Step) -> None:
        """One of `ground.Fortune`."""
        match step.kind:
            case "new bucket":
                await make(self._source, step.bucket)
                self.buckets.append(step.bucket)
                await self._apply(step.amount)
            case "target emptied" if step.bucket in self.buckets:
                self._lost([step.bucket])
                self._target.empty(step.bucket)
            case "target bucket gone" if step.bucket in self.buckets:
                self._lost([step.bucket])
                self._target.lose(step.bucket)
                await self._apply(step.amount)
            case "target lost":
                self._lost(self.buckets)
                for bucket in (*self.buckets, self._control):
                    self._target.lose(bucket)
                await self._apply(step.amount)

    async def _apply(self, amount: int) -> None:
        """An operator notices, and makes what the target lacks."""
        await asyncio.sleep(amount % 1000 / 1000 * APPLIED_MAX_S)
        for bucket in (*self.buckets, self._control):
            await make(self._target, bucket)


async def make(store: Store, bucket: str) -> None:
    """A bucket that keeps versions, unless it is there."""
    await store.create_bucket(bucket)
    await store.put_versioning(bucket, True)
