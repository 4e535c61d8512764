"""Dispatch: due keys from the journal into lanes, and what became of them back into it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from farshore.clock import Clock
from farshore.core.join import KeyPair
from farshore.core.plan import DELAYED_MARKER, DELETE_GUARD, LATE_WRITE
from farshore.core.rules import Rule
from farshore.engine.ahead import Looked, Wanted, look_ahead, wanted_of
from farshore.engine.clocks import ahead_of
from farshore.engine.expired import named_in_vain
from farshore.engine.follow import follow
from farshore.engine.guard import DeleteGuard
from farshore.engine.lane import Crew, Lane
from farshore.engine.look import aligned, rule_for, written_at
from farshore.engine.neighbours import GROUP_MAX, Neighbourhood, look_at_all
from farshore.engine.placed import Placed, keys_of_each
from farshore.engine.tally import NotCopied
from farshore.errors import StateError, StoreError, Unreachable
from farshore.feed.hint import Hint
from farshore.journal.backlog import BACKGROUND, LIVE, Backlog, Work
from farshore.journal.deletes import HeldDelete
from farshore.journal.ledger import Ledgers, LeftOut
from farshore.journal.pause import paused

FLYING_MAX = 512
"""Keys in lanes at once; the gate bounds how many of them move bytes."""

TAKE_MAX = 256
"""Keys taken from the journal at once; there is room for those that are offered meanwhile."""

IDLE_S = 0.25
"""How often the journal is looked at when nothing wakes us: other processes write there too."""

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
"""A key that failed is tried again after 1, 2, 4 … seconds, at most every five minutes."""

AWAY_S = 2.0
"""A site that does not answer is tried again this soon, however often: it may be back."""

HELD_S = 30.0 * 86400
"""A key that the delete guard holds waits for a person, or for this long."""

Pairs = dict[str, KeyPair]
"""By key: what a look at several of them has shown."""

Done = Callable[[Work, float], None]
"""Told of every key that reached the target: the work, and when."""

Failed = Callable[[str], None]
"""Told of every attempt at a key that failed: the cause, one stable word."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What a lane left undone: None of it means that the key is in step.

    `newest`: the key's newest version id on the source when it was looked at.
    """

    refused: list[NotCopied]
    due_at: float = 0.0
    newest: str = ""


class Dispatcher:
    """Runs until it is cancelled. One key is in one lane at a time.

    `away`: the error of the last key, when a site did not answer; None once one went through.
    """

    def __init__(
        self,
        crews: Mapping[str, Crew],
        backlog: Backlog,
        guard: DeleteGuard,
        clock: Clock,
        on_done: Done,
        ledgers: Ledgers | None = None,
        on_failed: Failed = lambda _: None,
    ) -> None:
        self._careful = crews
        self._bold = {bucket: replace(crew, hiding_released=True) for bucket, crew in crews.items()}
        self._backlog = backlog
        self._guard = guard
        self._clock = clock
        self._on_done = on_done
        self._on_failed = on_failed
        self._ledgers = ledgers or Ledgers.at()
        self._lanes: set[asyncio.Task[None]] = set()
        self._looks: set[asyncio.Task[Pairs]] = set()
        self._neighbourhood = Neighbourhood()
        each = keys_of_each(len(crews))
        self._placed = {
            bucket: Placed(crew.target.capabilities, keys_max=each)
            for bucket, crew in crews.items()
        }
        self._taking = 0  # keys that the journal is asked for just now
        self._behind = False  # more keys are due than were taken last
        self._awake = asyncio.Event()
        self._failed: BaseException | None = None
        self.target_keys = 0
        self.away: Unreachable | None = None

    @property
    def flying(self) -> int:
        """Keys in lanes now."""
        return len(self._lanes)

    def wake(self) -> None:
        """Something was noted: look at the journal now."""
        self._awake.set()

    async def run(self) -> None:
        """Dispatch for ever. Raises `StateError` when the journal fails, and what is a defect."""
        await self._look_for_late_writes()
        self._backlog.offer_to(self._offered)
        beginning = asyncio.create_task(self._begin_to_remember())
        try:
            while True:
                self._awake.clear()
                if self._failed is not None:
                    raise self._failed
                await self._take()
                await self._nap()
        finally:
            self._backlog.offer_to(None)
            ending: list[asyncio.Task[Any]] = [beginning, *self._lanes, *self._looks]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _look_for_late_writes(self) -> None:
        """What nobody had answered when the last process ended may have arrived since."""
        now = self._clock.now()
        hints = [
            Hint(bucket, key, now)
            for bucket, crew in self._careful.items()
            if crew.target.doubts is not None
            for there, key in crew.target.doubts.doubtful()
            if there == crew.target.bucket
        ]
        if hints:
            await self._backlog.note(hints, now=now, priority=BACKGROUND)

    async def _begin_to_remember(self) -> None:
        """What is placed from now on is known; "now" by each source's own clock."""
        for bucket, crew in self._careful.items():
            while not self._placed[bucket].has_begun:
                try:
                    ahead_s = await ahead_of(crew.source.store, self._clock)
                except StoreError:
                    await asyncio.sleep(AWAY_S)
                else:
                    self._placed[bucket].begin(self._clock.monotonic() + ahead_s)

    async def _nap(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await self._awake.wait()
        except TimeoutError:
            return

    def _offered(self, work: Work) -> bool:
        """A key is being noted: into a lane with it, if there is room and nothing older waits."""
        full = len(self._lanes) + self._taking >= FLYING_MAX
        if full or self._behind or self._is_paused():
            self._awake.set()
            return False
        self._start(work)
        return True

    def _is_paused(self) -> bool:
        """Asked anew each time: once `farshore pause` has ended, nothing more is begun."""
        return paused(self._backlog) is not None

    async def _take(self) -> None:
        """Fill the lanes with what is due. When more is due than there is room for, wait for
        room for several: neighbours are looked at together."""
        room = min(TAKE_MAX, FLYING_MAX - len(self._lanes))
        if room < (GROUP_MAX if self._behind else 1):
            return
        if self._is_paused():
            return
        self._taking = room
        try:
            works = await self._backlog.take(self._clock.now(), room)
        finally:
            self._taking = 0
        self._behind = len(works) == room
        if self._behind:
            self._awake.set()  # there may be room for more
        for group in self._neighbourhood.groups(works):
            self._start_all(group)

    def _start_all(self, group: list[Work]) -> None:
        crew = self._careful.get(group[0].bucket)
        if len(group) == 1 or crew is None:
            look = None
        else:
            look = asyncio.create_task(self._look_at_all(crew, [work.key for work in group]))
            self._looks.add(look)
            look.add_done_callback(self._looked)
        for work in group:
            self._start(work, look)

    def _looked(self, look: asyncio.Task[Pairs]) -> None:
        self._looks.discard(look)
        if not look.cancelled():
            look.exception()  # each of its lanes raises it, unless they have all been cancelled

    async def _look_at_all(self, crew: Crew, keys: list[str]) -> Pairs:
        found = await look_at_all(crew, keys)
        self._neighbourhood.learn(len(keys), len(found))
        return found

    def _start(self, work: Work, look: asyncio.Task[Pairs] | None = None) -> None:
        lane = asyncio.create_task(self._lane(work, look))
        self._lanes.add(lane)
        lane.add_done_callback(self._ended)

    def _ended(self, lane: asyncio.Task[None]) -> None:
        self._lanes.discard(lane)
        if not lane.cancelled():
            error = lane.exception()  # taken from each: they fail together when the disk is full
            self._failed = self._failed or error
        if self._behind or self._failed:
            self._awake.set()

    async def _lane(self, work: Work, look: asyncio.Task[Pairs] | None) -> None:
        """One key, once. Cancelled in the middle, it is free for whoever dispatches next."""
        try:
            if await self._settle(work, look):
                self._awake.set()  # it was noted meanwhile, and is due
        finally:
            self._backlog.release(work)

    async def _settle(self, work: Work, look: asyncio.Task[Pairs] | None) -> bool:
        """Whether the key was noted again meanwhile. Store errors become the key's reason;
        journal errors end the dispatcher."""
        began = self._clock.monotonic()
        try:
            fate = await self._replicate(work, look)
        except StateError:
            raise
        except Unreachable as error:
            self.away = error
            self._on_failed(error.cause_word)
            return await self._wait(work, self._clock.now() + AWAY_S, "Unreachable", str(error))
        except StoreError as error:
            return await self._put_back(work, "PENDING", error.cause_word, str(error))
        self.away = None
        fate = self._without_expired(fate)
        if not fate.refused:
            return await self._in_step(work, fate, began)
        worst = fate.refused[0]
        if worst.cause == DELETE_GUARD:
            held_until = self._clock.now() + HELD_S
            return await self._wait(work, held_until, worst.cause, worst.explanation)
        return await self._put_back(work, worst.reason, worst.cause, worst.explanation)

    async def _in_step(self, work: Work, fate: Fate, looked_at: float) -> bool:
        """All is there that should be: done, unless a marker or a late write is waited for."""
        self._guard.waiting.settled(work.bucket, work.key, fate.newest)
        late = self._late_at(work, looked_at)
        if fate.due_at:
            due_at = min(fate.due_at, late) if late else fate.due_at
            return await self._wait(work, due_at, DELAYED_MARKER, "a delete marker waits its time")
        if not late:
            again = await self._backlog.done(work)
        else:
            why = "all is there; a write that was not answered may still arrive"
            again = await self._wait(work, late, LATE_WRITE, why)
        if work.cause != LATE_WRITE:
            self._on_done(work, self._clock.now())
        return again

    def _late_at(self, work: Work, looked_at: float) -> float:
        """When the key is looked at again for writes that were not answered; 0.0 for never.
        `looked_at`: monotonic."""
        crew = self._careful.get(work.bucket)
        doubts = crew.target.doubts if crew is not None else None
        if crew is None or doubts is None:
            return 0.0
        wait_s = doubts.looked(crew.target.bucket, work.key, looked_at)
        return 0.0 if wait_s is None else self._clock.now() + wait_s

    def _without_expired(self, fate: Fate) -> Fate:
        """What is gone is recorded: to try again would bring nothing."""
        gone = [item for item in fate.refused if item.reason == "EXPIRED_BEFORE_REPLICATED"]
        if not gone:
            return fate
        now = self._clock.now()
        self._ledgers.expired.record([LeftOut(i.bucket, i.key, i.version_id, now) for i in gone])
        return replace(fate, refused=[item for item in fate.refused if item not in gone])

    async def _replicate(self, work: Work, look: asyncio.Task[Pairs] | None) -> Fate:
        crew = self._careful.get(work.bucket)
        if crew is None:
            return Fate([])  # its bucket left the configuration: nothing is owed any more
        named = self._backlog.named(work)
        seen = await _seen(look, work.key)
        placed = self._placed[work.bucket]
        doubts = crew.target.doubts_about(work.key)
        if doubts:
            placed.keep(work.key, (), None)  # what stands there is not known
        if seen is None:
            seen = await _looked_at(crew, wanted_of(work, named, placed), placed)
        pair = seen.pair
        rule = await rule_for(crew.rules, crew.source, pair)
        newest = pair.source[0].version_id if pair.source else ""
        self._note_cancelled(work, pair, rule)
        if rule is None or rule.exclude:
            return Fate([], newest=newest)
        vain = await named_in_vain(crew.source, crew.target, pair, named)
        if not pair.source and not doubts:
            return Fate(vain)
        if doubts:  # what looks like the replica of a version may be a late one of another
            named = [*named, *(one.version_id for one in pair.source if not one.is_marker)]
        if work.priority >= LIVE:
            await self._follow(crew, pair, rule, named)
        lane = Lane(crew, pair, rule, seen.ahead, named, remembered=seen.remembered)
        refused = await self._run(work, lane, placed)
        if (hiding := _taken_from(crew.held, work.key)) is not None:
            newest = hiding.source[0].version_id
            delete = HeldDelete(work.bucket, work.key, newest, self._clock.now())
            if not self._guard.admit(delete, self.target_keys):
                return Fate([_held(delete)])
            bold = self._bold[work.bucket]
            refused = await self._run(work, Lane(bold, hiding, rule, named=named), placed)
        return Fate([*refused, *vain], _marker_due_at(pair, rule, self._clock.now()), newest)

    async def _run(self, work: Work, lane: Lane, placed: Placed) -> list[NotCopied]:
        """Run a lane, and remember what it has placed."""
        placed.keep(lane.key, lane.source, None)
        try:
            return await lane.run()
        finally:
            doubtful = self._careful[work.bucket].target.doubts_about(work.key)
            placed.keep(lane.key, lane.source, None if doubtful else lane.top)
            if lane.taken_back:
                now = self._clock.now()
                late = [LeftOut(work.bucket, work.key, e.version_id, now) for e in lane.taken_back]
                self._ledgers.late.record(late)

    def _note_cancelled(self, work: Work, pair: KeyPair, rule: Rule | None) -> None:
        """A delete that waited, and whose rule is gone or no longer wants deletes."""
        top = pair.source[0] if pair.source else None
        if top is None or not top.is_marker:
            return
        held = self._guard.waiting.is_held(work.bucket, work.key, top.version_id)
        if not held and work.cause not in (DELAYED_MARKER, DELETE_GUARD):
            return
        if rule is None or rule.exclude or rule.delete_markers == "never":
            one = LeftOut(work.bucket, work.key, top.version_id, self._clock.now())
            self._ledgers.cancelled.record([one])

    async def _follow(self, crew: Crew, pair: KeyPair, rule: Rule, named: Sequence[str]) -> None:
        """A hint about a key that is in step may tell of tags or a lock: ask both sides."""
        now = self._clock.now()
        alignment = await aligned(crew.source, crew.target, pair, rule, now, named)
        if alignment.in_step:
            await follow(crew.source, crew.target, alignment.pairs, now)

    async def _wait(self, work: Work, due_at: float, cause: str, explanation: str) -> bool:
        return await self._backlog.put_back(
            work,
            due_at=due_at,
            reason="PENDING",
            cause=cause,
            explanation=explanation,
            attempts=work.attempts,
        )

    async def _put_back(self, work: Work, reason: str, cause: str, explanation: str) -> bool:
        self._on_failed(cause)
        pause = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(work.attempts, 20))
        return await self._backlog.put_back(
            work,
            due_at=self._clock.now() + pause,
            reason=reason,
            cause=cause,
            explanation=explanation,
            attempts=work.attempts + 1,
        )


def _taken_from(held: list[KeyPair], key: str) -> KeyPair | None:
    """What a lane of this key has just put there: the histories as it last saw them."""
    for at, pair in enumerate(held):
        if pair.key == key:
            return held.pop(at)
    return None


async def _seen(look: asyncio.Task[Pairs] | None, key: str) -> Looked | None:
    """What a look at several keys has shown of this one. The others go on if we are cancelled."""
    pair = None if look is None else (await asyncio.shield(look)).get(key)
    return None if pair is None else Looked(pair)


async def _looked_at(crew: Crew, wanted: Wanted, placed: Placed) -> Looked:
    """Looks are in flight like copies: a burst must not flood the sites."""
    await crew.gate.enter(wanted.size)
    try:
        return await look_ahead(crew.source, crew.target, wanted, placed, crew.clock)
    finally:
        crew.gate.leave(wanted.size)


def _held(delete: HeldDelete) -> NotCopied:
    return NotCopied(
        delete.bucket,
        delete.key,
        delete.version_id,
        "PENDING",
        DELETE_GUARD,
        "more deletes arrived than the delete guard lets through; `farshore deletes` shows them",
    )


def _marker_due_at(pair: KeyPair, rule: Rule, now: float) -> float:
    """When a current delete marker that waits must be looked at again; 0.0 when none waits."""
    top = pair.source[0] if pair.source else None
    if top is None or rule.delete_markers != "after" or not top.is_marker:
        return 0.0
    due = written_at(top) + rule.delay_s
    return due if due > now else 0.0
