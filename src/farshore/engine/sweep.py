"""The sweep: what no listing shows, compared version by version, slowly and again and again.

Tags, retention, legal holds and access control lists change without a new version
(S3-SEMANTICS, "Version identity"). Hints tell of most such changes; the sweep finds those
that no hint told of, also on the target, and mends them there. It costs one HEAD on each
side for every version, and a look at the tags on each side where there are any: equal counts
may hide other values. Where lists are followed, it costs one request more on each side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from farshore.clock import Clock
from farshore.core.align import Pair
from farshore.core.join import KeyPair
from farshore.engine.backfill import joined
from farshore.engine.follow import follow_one
from farshore.engine.lane import Crew
from farshore.engine.look import aligned, rule_for, without_discarded
from farshore.engine.side import Side
from farshore.errors import BadRequest, BucketMissing, Corrupt, Denied, Gone, Unsupported
from farshore.journal.backlog import Backlog
from farshore.s3.pace import TokenBucket
from farshore.s3.wrap import Retrying

CURSOR = "control/sweep"

KEYS_AT_ONCE = 16

KEEP_EVERY_S = 5.0
"""How often the place is written down: a sweep that was killed goes on from there."""

OF_ONE_VERSION = (BadRequest, Corrupt, Denied, Unsupported)
"""Errors that concern one version: it is counted, and the sweep goes on."""


@dataclass(slots=True)
class Pass:
    """One walk over all versions. Times are Unix seconds by our clock.

    `bucket` and `after`: the last key that is done. `versions` were compared, `mended` of
    them changed on the target; `left` differ still, or could not be looked at: `trouble` is
    what was said of the last of them. `accounts`: versions with grants to accounts of the
    source, which mean nobody on the target and are left out (UNSUPPORTED).
    """

    began_at: float
    finished_at: float | None = None
    bucket: str = ""
    after: str = ""
    versions: int = 0
    mended: int = 0
    left: int = 0
    accounts: int = 0
    trouble: str = ""


@dataclass(slots=True)
class Book:
    """What is kept: the last pass that ended, the one under way, all that was ever mended."""

    last: Pass | None = None
    now: Pass | None = None
    mended_total: int = 0

    def close(self, finished_at: float) -> None:
        """The pass under way has come to its end."""
        if self.now is not None:
            self.now.finished_at = finished_at
        self.last, self.now = self.now, None

    @classmethod
    def read(cls, backlog: Backlog) -> Book:
        """What was kept; a new one where nothing was, or nothing that can be understood."""
        try:
            kept = json.loads(backlog.cursor(CURSOR) or "{}")
            passes = (_pass(kept.get("last")), _pass(kept.get("now")))
            return cls(*passes, int(kept.get("mended_total", 0)))
        except (ValueError, TypeError, AttributeError):
            return cls()

    async def keep(self, backlog: Backlog) -> None:
        """Write it down."""
        await backlog.set_cursor(CURSOR, json.dumps(asdict(self)))


def _pass(kept: dict[str, Any] | None) -> Pass | None:
    if not kept:
        return None
    known = {one.name for one in fields(Pass)}
    return Pass(**{name: value for name, value in kept.items() if name in known})


Told = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Sweep:
    """One pass over `crews`, on from where `book.now` stands. `pace`: versions per second.

    `told` is awaited between two handfuls of keys: it may keep the book, and may wait.
    """

    crews: Sequence[Crew]
    book: Book
    pace: TokenBucket
    clock: Clock
    told: Told
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _pass: Pass = field(init=False)

    async def run(self) -> None:
        """To the end, or to an error that concerns more than one version. Raises what listings
        and stores raise; the book says how far it came."""
        self._pass = self.book.now = self.book.now or Pass(self.clock.now())
        for crew in sorted(self.crews, key=lambda crew: crew.source.bucket):
            if crew.source.bucket >= self._pass.bucket:
                await self._bucket(crew)
        self.book.close(self.clock.now())
        await self.told()

    async def _bucket(self, crew: Crew) -> None:
        source, target = self._patient(crew.source), self._patient(crew.target)
        bucket = source.bucket
        after = self._pass.after if bucket == self._pass.bucket else ""
        async with aclosing(joined(source, target, after=after)) as batches:
            async for pairs in batches:
                for at in range(0, len(pairs), KEYS_AT_ONCE):
                    some = pairs[at : at + KEYS_AT_ONCE]
                    await _all(self._key(crew, source, target, pair) for pair in some)
                    self._pass.bucket, self._pass.after = bucket, some[-1].key
                    await self.told()

    async def _key(self, crew: Crew, source: Side, target: Side, pair: KeyPair) -> None:
        """A key that is not in step is a lane's business, or repair's; its replicas are not."""
        if not pair.source or not pair.target:
            return
        rule = await rule_for(crew.rules, source, pair)
        if rule is None or rule.exclude:
            return
        kept = without_discarded(source, pair, crew.discarded)
        for one in (await aligned(source, target, kept, rule, self.clock.now())).pairs:
            if not one[0].is_marker:
                await self.pace.take(1)
                await self._version(source, target, one)

    async def _version(self, source: Side, target: Side, one: Pair) -> None:
        try:
            followed = await follow_one(source, target, one, self.clock.now())
        except BucketMissing:
            raise
        except Gone:
            return  # purged since it was listed
        except OF_ONE_VERSION as error:
            self._leave(f"{one[0].key!r} version {one[0].version_id}: {error.message}")
        else:
            if followed.mended:
                self._pass.mended += 1
                self.book.mended_total += 1
            self._pass.accounts += bool(followed.others)
            if followed.left:
                kinds = " and ".join(sorted(followed.left))
                self._leave(
                    f"{one[0].key!r} version {one[0].version_id}: {target.site} does not take the "
                    f"source's {kinds}"
                )
        self._pass.versions += 1

    def _patient(self, side: Side) -> Side:
        """The same side, trying again by itself."""
        return replace(side, store=Retrying(side.store, sleep=self.sleep))

    def _leave(self, why: str) -> None:
        self._pass.left += 1
        self._pass.trouble = why


async def _all(jobs: Iterable[Coroutine[None, None, None]]) -> None:
    """Every one to its end, then the first error of them, if any."""
    for result in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
