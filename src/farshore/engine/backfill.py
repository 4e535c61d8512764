"""Backfill: walk both sides, join them key by key, and bring every history across.

The listings are the state: a run that was killed is simply started again, and what
already stands is seen to stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from farshore.core.align import identical
from farshore.core.join import Batch, Join, KeyPair
from farshore.core.join import Side as End
from farshore.core.plan import DELETE_GUARD, DeleteLimits
from farshore.core.rules import OWN_PREFIX
from farshore.engine.guard import Hiding, judged
from farshore.engine.lane import Crew, Lane
from farshore.engine.look import rule_for
from farshore.engine.side import Side
from farshore.engine.tally import NotCopied

LANES_WAITING_MAX = 512
"""Lanes that exist at once, flying or waiting at the gate; the walk stops meanwhile."""


class Interrupted(Exception):
    """A person asked to stop: what was in flight is finished, the rest was not begun."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a bucket is meant: keys below `prefix`, at most hiding what `deletes` allows."""

    prefix: str = ""
    deletes: DeleteLimits = field(default_factory=DeleteLimits)


async def joined(
    source: Side, target: Side, prefix: str = "", *, after: str = ""
) -> AsyncGenerator[list[KeyPair], None]:
    """Both sides' histories side by side, keys above `after` ascending, in batches. Bounded memory.

    Our own objects (heartbeat, canaries) are nobody's files: they are left out.

    Close it (`contextlib.aclosing`) when it may be left early.
    """
    walks: dict[End, AsyncGenerator[Batch, None]] = {
        "source": source.lister.walk(source.bucket, prefix, after=after),
        "target": target.lister.walk(target.bucket, prefix, after=after),
    }
    join = Join()
    try:
        while not join.done:
            for end, batch in (await _next_of(walks, join.hungry)).items():
                if batch is None:
                    join.end(end)
                else:
                    join.feed(end, batch)
            if pairs := [pair for pair in join.take() if not pair.key.startswith(OWN_PREFIX)]:
                yield pairs
    finally:
        for walk in walks.values():
            await walk.aclose()


async def _next_of(
    walks: dict[End, AsyncGenerator[Batch, None]], hungry: Sequence[End]
) -> dict[End, Batch | None]:
    """The next batch of each hungry side, read at the same time; None at its end."""
    reading = {end: asyncio.ensure_future(anext(walks[end], None)) for end in hungry}
    try:
        return {end: await batch for end, batch in reading.items()}
    finally:
        for batch in reading.values():
            batch.cancel()
        await asyncio.gather(*reading.values(), return_exceptions=True)


class Backfill:
    """One run over one pair of buckets. The crew's `stop` asks for an orderly end."""

    def __init__(self, crew: Crew, scope: Scope) -> None:
        self._crew = crew
        self._scope = scope
        self._lanes: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(LANES_WAITING_MAX)
        self._lost: BaseException | None = None

    async def run(self) -> None:
        """Copy all that is missing. Counts in the crew's tally; raises when a site is lost.

        `Interrupted` after an orderly stop.
        """
        try:
            await self._walk()
            await self._settle()
            await self._release_held()
        except asyncio.CancelledError:
            for lane in self._lanes:
                lane.cancel()
            raise
        finally:
            await self._settle(quietly=True)

    async def _walk(self) -> None:
        crew = self._crew
        walk = joined(crew.source, crew.target, self._scope.prefix)
        async with aclosing(walk) as batches:
            async for pairs in batches:
                for pair in pairs:
                    if self._wants(pair):
                        await self._start(pair)
        crew.tally.listed = True

    def _wants(self, pair: KeyPair) -> bool:
        """Count the key; whether it needs a lane. The hot path of a run with nothing to do."""
        tally = self._crew.tally
        tally.keys += 1
        tally.versions += len(pair.source)
        tally.target_keys += bool(pair.target)
        if not pair.source:
            self._crew.settled(pair.key, pair.source)
            return False  # only on the target: nothing here ever deletes it
        if identical(pair.source, pair.target):
            tally.in_step += 1
            self._crew.settled(pair.key, pair.source)
            return False
        tally.to_do += max(0, len(pair.source) - len(pair.target))
        return True

    async def _start(self, pair: KeyPair) -> None:
        await self._room.acquire()
        self._check()
        lane = asyncio.create_task(self._lane(pair))
        self._lanes.add(lane)
        lane.add_done_callback(self._ended)

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost
        if self._crew.stop.is_set():
            raise Interrupted

    def _ended(self, lane: asyncio.Task[None]) -> None:
        self._lanes.discard(lane)
        self._room.release()
        if not lane.cancelled() and (error := lane.exception()) is not None:
            self._lost = self._lost or error
            self._crew.stop.set()  # a lost site ends the run: the other lanes need not find out

    async def _lane(self, pair: KeyPair) -> None:
        if self._lost is not None or self._crew.stop.is_set():
            return
        rule = await rule_for(self._crew.rules, self._crew.source, pair)
        if rule is None or rule.exclude:
            self._exclude(pair)
            return
        await Lane(self._crew, pair, rule).run()

    def _exclude(self, pair: KeyPair) -> None:
        self._crew.settled(pair.key, pair.source)
        for entry in pair.source:
            self._crew.tally.refuse(
                NotCopied(
                    self._crew.source.bucket,
                    pair.key,
                    entry.version_id,
                    "EXCLUDED",
                    "Rule",
                    "no rule covers this key, or one excludes it",
                )
            )

    async def _release_held(self) -> None:
        """Let keys that end hidden run, as far as the delete guard lets them."""
        crew = self._crew
        held, crew.held = crew.held, []
        bucket = crew.source.bucket
        named = {Hiding(bucket, pair.key, pair.source[0].version_id): pair for pair in held}
        limits = self._scope.deletes
        waits = judged(list(named), crew.tally.target_keys, limits, crew.waiting)
        for hiding, why in waits.items():
            crew.tally.refuse(NotCopied(*hiding, "PENDING", DELETE_GUARD, why))
        crew.hiding_released = True
        for pair in (pair for hiding, pair in named.items() if hiding not in waits):
            await self._start(pair)
        await self._settle()

    async def _settle(self, *, quietly: bool = False) -> None:
        """Wait for every lane; raise what ended the run, unless asked not to."""
        while self._lanes:
            await asyncio.wait(self._lanes)
        if not quietly:
            self._check()
