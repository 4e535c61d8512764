"""A lane: the changes of one key, in order, one at a time.

align → plan → write → and on any doubt, look at both sides again and start over. A
lane that cannot go on says why and blocks nobody else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.core.align import Alignment, compare
from farshore.core.join import KeyPair
from farshore.core.model import History, Version
from farshore.core.plan import DISCARDED_DELETE, LATE_WRITE, Copy, Reason, Step, plan_key
from farshore.core.rules import Rule
from farshore.engine.copy import (
    IN_MEMORY_BYTES,
    Ahead,
    Copied,
    condition_above,
    copy_single,
    holds_after,
    require_readable,
)
from farshore.engine.follow import carry_acl
from farshore.engine.gate import Gate
from farshore.engine.late import LOCKED, late_writes
from farshore.engine.look import aligned, read_both, without_discarded
from farshore.engine.multipart import MIB, PARTS_AT_ONCE, copy_multipart, is_multipart
from farshore.engine.side import Side
from farshore.engine.tally import NotCopied, Tally
from farshore.errors import (
    BucketMissing,
    Corrupt,
    Denied,
    Gone,
    KeysEnded,
    OutcomeUnknown,
    Precondition,
    ServerFault,
    StoreError,
    Throttled,
    Unreachable,
    Unsupported,
)
from farshore.journal.deletes import WaitingDeletes
from farshore.journal.sqlite import Journal
from farshore.s3.store import ALWAYS

ATTEMPTS_MAX = 8
"""Times that a lane starts over without getting on before its key counts as FAILED."""

STARTS_MAX = 1000
"""Times that a lane starts over at all, however well it gets on in between."""

CONDITIONS_UNTIL = 3
"""Server faults, or refusals that the listing contradicts, after which a lane writes without
conditions, having looked first."""

LOST_AFTER_S = 20.0
"""A site is lost when it cannot be reached and nothing has succeeded for this long."""

AWAY_MAX = 120
AWAY_PAUSE_S = 0.5
"""A lane waits this long for a site that does not answer, this often at most."""

PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 5.0
"""A lane waits with full jitter between these before it starts over."""


PASSING = (Throttled, KeysEnded, ServerFault, OutcomeUnknown, Precondition, Corrupt, Gone)
"""Errors after which a lane looks again: another try may well succeed."""


class Superseded(Exception):
    """What was planned no longer holds: somebody wrote or purged meanwhile. Plan again."""


@dataclass(slots=True)
class Crew:
    """All that lanes share.

    `held`: keys whose plan would hide an object that the target's clients can read now.
    They wait until the whole listing is known and the delete guard has judged their
    number; then `hiding_released` lets them run. `stop` asks every lane to end after the
    entry that it is writing. `tell` hears of every entry that was written. `waiting` knows
    the deletes that a person discarded.
    """

    source: Side
    target: Side
    rules: Sequence[Rule]
    clock: Clock
    journal: Journal
    gate: Gate
    tally: Tally
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: random.Random = field(default_factory=random.Random)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tell: Callable[[Version], None] = lambda _: None
    held: list[KeyPair] = field(default_factory=list)
    hiding_released: bool = False
    waiting: WaitingDeletes | None = None
    last_success: float = field(init=False)

    def __post_init__(self) -> None:
        self.last_success = self.clock.monotonic()

    def discarded(self, bucket: str, key: str, version_id: str) -> bool:
        """Whether a person said that this delete marker is not to be replicated."""
        return self.waiting is not None and self.waiting.is_discarded(bucket, key, version_id)

    def settled(self, key: str, source: History) -> None:
        """Nothing more is owed of this key. `source`: its history there, as it was looked at."""
        if self.waiting is not None:
            newest = source[0].version_id if source else ""
            self.waiting.settled(self.source.bucket, key, newest)

    def silent_s(self) -> float:
        """Seconds since anything was written."""
        return self.clock.monotonic() - self.last_success


def _discarded(bucket: str, pair: KeyPair) -> NotCopied:
    return NotCopied(
        bucket,
        pair.key,
        pair.source[0].version_id,
        "EXCLUDED",
        DISCARDED_DELETE,
        "a person discarded this delete: the target keeps the object",
    )


def weight(version: Version) -> int:
    """Bytes of memory that copying this version may hold."""
    if is_multipart(version.etag):
        return 2 * MIB * PARTS_AT_ONCE
    return version.size if version.size <= IN_MEMORY_BYTES else 2 * MIB


class Lane:
    """The work for one key of one bucket. `taken_back`: entries of the target that had arrived
    late, and were purged."""

    def __init__(
        self,
        crew: Crew,
        pair: KeyPair,
        rule: Rule,
        ahead: Ahead | None = None,
        named: Collection[str] = (),
        *,
        remembered: bool = False,
    ) -> None:
        self._crew = crew
        self._remembered = remembered  # the target's history, not looked at
        self._named = named  # by hints, or as may double: their replicas must be theirs
        self._ahead = ahead  # read already; used once
        self._key = pair.key
        self._pair = pair
        self._rule = rule
        self._to = crew.target
        self._planned: list[Version] = []
        self._attempt = 0
        self._away = 0
        self._away_since = 0.0
        self._doubted = False  # the last try met a condition that did not hold
        self._lies = 0  # such tries in a row with a target that nobody changed
        self._may_double = False  # see `holds_after`
        self._accounted: set[str] = set()
        self._refused: list[NotCopied] = []
        self._top: Version | None = None
        self.taken_back: list[Version] = []

    @property
    def key(self) -> str:
        return self._key

    @property
    def source(self) -> History:
        """The source's history, as it was last seen."""
        return self._pair.source

    @property
    def top(self) -> Version | None:
        """The target's newest entry, once it holds all of `source`; None if that is not known."""
        return None if self._refused else self._top

    async def run(self) -> list[NotCopied]:
        """Bring the target's history up to the source's. Raises `Unreachable` when a site is lost.

        Everything else that goes wrong is counted with its reason, and answered.
        """
        await self._run()
        return self._refused

    async def _run(self) -> None:
        for start in range(STARTS_MAX):
            if self._attempt >= ATTEMPTS_MAX:
                break
            try:
                if start:
                    self._crew.tally.retries += not self._may_double
                    await self._look_again()
                await self._go()
                if not self._may_double:
                    return
            except Superseded:
                self._attempt += 1
            except Unreachable as error:
                await self._wait_for_the_site(error)
            except StoreError as error:
                self._attempt += 1
                if not await self._may_go_on(error):
                    return
        self._refuse(
            self._target_lacks(), "FAILED", "Contended", "other writers kept changing this key"
        )

    async def _wait_for_the_site(self, error: Unreachable) -> None:
        """A silent site is no fault of this key: wait, until the site counts as lost."""
        now = self._crew.clock.monotonic()
        if not self._away:
            self._away_since = now
        self._away += 1
        silent_s = min(self._crew.silent_s(), now - self._away_since)
        if silent_s > LOST_AFTER_S or self._away == AWAY_MAX:
            raise error
        await self._crew.sleep(AWAY_PAUSE_S)

    async def _go(self) -> None:
        """Once through: align, plan, write."""
        crew = self._crew
        pair = without_discarded(crew.source, self._pair, crew.discarded)
        if pair is not self._pair:
            crew.tally.refuse(_discarded(crew.source.bucket, self._pair))
        now = crew.clock.now()
        alignment = await aligned(
            crew.source,
            crew.target,
            pair,
            self._rule,
            now,
            self._named,
            appends=not self._remembered,
        )
        if await self._take_back(pair, alignment):
            raise Superseded
        await self._account_for(alignment.gap)
        plan = plan_key(self._key, alignment, pair.target)
        self._planned = [step.version for step in plan.steps]
        if plan.reason:
            self._refuse(plan.refused, plan.reason, plan.reason, plan.explanation)
        elif plan.hides and not crew.hiding_released:
            crew.held.append(pair)
        else:
            await self._perform(plan.steps)
            if not self._refused and not crew.stop.is_set():
                crew.settled(self._key, self._pair.source)

    async def _take_back(self, pair: KeyPair, alignment: Alignment) -> bool:
        """Purge at the target what arrived late (`core.late`); whether there was any."""
        taken, target = len(self.taken_back), self._to
        for entry in await late_writes(self._crew.source.site, target, pair, alignment):
            try:
                await target.store.delete(target.bucket, self._key, entry.version_id)
            except Denied as error:
                self._refuse((entry,), "FAILED", LATE_WRITE, LOCKED.format(error=error))
            else:
                self.taken_back.append(entry)
        if len(self.taken_back) == taken:
            return False
        self._got_on()
        return True

    async def _account_for(self, gap: Sequence[Version]) -> None:
        """Versions missing beneath newer replicas: nobody puts them there, so say why."""
        for entry in gap:
            try:
                if not entry.is_marker:
                    await require_readable(self._crew.source, entry)
            except Unsupported as error:
                self._refuse((entry,), "UNSUPPORTED", error.code or error.cause_word, str(error))
            else:
                self._refuse(
                    (entry,),
                    "FAILED",
                    "Gap",
                    "it is missing beneath newer replicas; stop `farshore run`, and "
                    "`farshore repair --rebuild-tail` copies the key's newer versions again on top "
                    "of it; or purge it on the source, if nobody wants it",
                )

    async def _perform(self, steps: Sequence[Step]) -> None:
        above: Version | None = self._pair.target[0] if self._pair.target else None
        for step in steps:
            if self._crew.stop.is_set():
                return
            above = await self._step(step, above)
        self._planned = []
        if not self._crew.stop.is_set():
            self._top = above

    async def _step(self, step: Step, above: Version | None) -> Version | None:
        """Write one entry; answers the target's new top (unchanged if it had to be left out)."""
        size = weight(step.version)
        await self._crew.gate.enter(size)
        try:
            if self._crew.stop.is_set():
                return above
            if not isinstance(step, Copy):
                return await self._mark(step.version, above)
            return await self._copy(step.version, above)
        except Unsupported as error:
            self._refuse((step.version,), "UNSUPPORTED", error.code or "Unsupported", str(error))
            return above
        except BucketMissing:
            raise
        except Gone as error:
            raise Superseded from error
        finally:
            self._crew.gate.leave(size)

    async def _copy(self, version: Version, above: Version | None) -> Version:
        crew = self._crew
        began = crew.clock.monotonic()
        if is_multipart(version.etag):
            copied = await copy_multipart(
                crew.source, self._to, version, above, crew.clock, crew.journal, crew.sleep
            )
        else:
            ahead = self._read_already(version)
            copied = await copy_single(crew.source, self._to, version, above, crew.clock, ahead)
            if holds_after(condition_above(self._to, above), copied):
                self._may_double = True
                self._named = {*self._named, version.version_id}
            if version.size <= IN_MEMORY_BYTES:
                read_s = ahead.seconds if ahead is not None else 0.0
                crew.gate.observe(crew.clock.monotonic() - began + read_s)
        await carry_acl(crew.source, self._to, version, copied.version_id)
        self._count(version, copied)
        return version._replace(version_id=copied.version_id, etag=copied.etag)

    def _read_already(self, version: Version) -> Ahead | None:
        """What was read ahead, if it is this version. Only for the first try."""
        ahead, self._ahead = self._ahead, None
        return ahead if ahead is not None and ahead.version_id == version.version_id else None

    def _got_on(self) -> None:
        """Something was written: earlier troubles are over."""
        self._crew.last_success = self._crew.clock.monotonic()
        self._attempt = self._away = 0

    def _count(self, version: Version, copied: Copied) -> None:
        self._got_on()
        tally = self._crew.tally
        tally.copied += 1
        tally.copied_bytes += version.size
        tally.unstamped += copied.stamped == "none"
        tally.stamped_by_tag += copied.stamped == "tag"
        self._crew.tell(version)

    async def _mark(self, marker: Version, above: Version | None) -> Version:
        """A marker is never sent twice blindly: DELETE always adds another (S3-SEMANTICS).
        No server has a condition for one on a marker, or on nothing."""
        target = self._to
        hides = above is not None and not above.is_marker
        condition = ALWAYS
        if hides and target.capabilities.conditional_delete:
            condition = condition_above(target, above)
        with target.writing(marker, above):
            done = await target.store.delete(target.bucket, self._key, condition=condition)
        self._got_on()
        self._crew.tally.markers += 1
        self._crew.tell(marker)
        return marker._replace(version_id=done.version_id or marker.version_id)

    async def _may_go_on(self, error: StoreError) -> bool:
        """Whether the lane starts over after this error; counts the key as failed if not.

        A server that keeps failing may be failing over the condition alone (SeaweedFS
        4.48 answers 500 to If-None-Match on a long key): the last tries go without. So does
        one that refuses over a condition which the listings show to hold.
        """
        if isinstance(error, ServerFault) and self._attempt >= CONDITIONS_UNTIL:
            self._to = self._to.unconditional()
        self._doubted = isinstance(error, Precondition)
        if isinstance(error, Throttled):
            self._crew.gate.throttled()
        passing = isinstance(error, PASSING) and not isinstance(error, BucketMissing)
        if passing and self._attempt < ATTEMPTS_MAX:
            await self._pause(error.retry_after)
            return True
        told = f"{error}; {error.hint}" if error.hint else str(error)
        self._refuse(self._target_lacks(), "FAILED", error.code or error.cause_word, told)
        return False

    async def _pause(self, at_least_s: float) -> None:
        longest = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2**self._attempt)
        await self._crew.sleep(max(at_least_s, longest * self._crew.jitter.random()))

    async def _look_again(self) -> None:
        """Read both histories anew; what was planned and is gone expired before it was copied."""
        before = self._pair.target
        self._pair = await read_both(self._crew.source, self._crew.target, self._key)
        self._remembered = self._may_double = False
        self._doubt_conditions(unmoved=list(before) == list(self._pair.target))
        there = {entry.version_id for entry in self._pair.source}
        expired = [version for version in self._planned if version.version_id not in there]
        self._refuse(
            expired,
            "EXPIRED_BEFORE_REPLICATED",
            "Gone",
            "purged on the source (by a person or a lifecycle rule) before it was copied",
        )

    def _doubt_conditions(self, *, unmoved: bool) -> None:
        """A condition that fails again and again, while the target's history stands still, lies.

        SeaweedFS 4.48 answers 412 to If-None-Match: * on `a` once there is an `a/b`.
        """
        if not self._doubted:
            return
        self._doubted = False
        self._lies = self._lies + 1 if unmoved else 0
        if self._lies >= CONDITIONS_UNTIL:
            self._to = self._to.unconditional()

    def _target_lacks(self) -> Sequence[Version]:
        """The entries that were to be written, as far as the histories in hand show."""
        quick = compare(self._pair.source, self._pair.target)
        return quick.missing if quick is not None else tuple(self._pair.source[:1])

    def _refuse(
        self, versions: Sequence[Version], reason: Reason, cause: str, explanation: str
    ) -> None:
        for version in versions:
            if version.version_id in self._accounted:
                continue
            self._accounted.add(version.version_id)
            bucket = self._crew.source.bucket
            item = NotCopied(bucket, self._key, version.version_id, reason, cause, explanation)
            self._crew.tally.refuse(item)
            self._refused.append(item)
