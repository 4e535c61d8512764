"""The control record over both sites' control buckets: read, changed, brought into step.

How a change is made, so that nothing acknowledged is lost and nobody is fooled:

1. Both sites are read. If they differ and both can be written, they are brought into step.
2. The *arbiter* of the epoch (see `core.record`) decides: an audit entry says there what is
   meant, then its record is replaced by compare-and-swap. Of two racers one wins there; the
   other is `Refused`, and told who was first.
3. The record is copied to the other site, then the result is noted on every site that has it.
   A site that does not answer now is brought up later: the change counts.
4. Where the arbiter cannot be written, the other site decides alone, under the next epoch,
   which is its own to give out. Whatever the arbiter accepted meanwhile has the lower epoch:
   it loses when the two meet, and is kept in the history.

A lost answer is read back. SIGKILL between any two steps leaves a record on one site, which
the next reader brings to the other, or an intent without a result, which is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from farshore.clock import Clock
from farshore.config import Config, Principal
from farshore.control.both import BothSides, SideLost, losing, new_token
from farshore.control.instep import bring_into_step
from farshore.control.ledger import Ledger, key_of
from farshore.control.sites import open_store
from farshore.control.view import Shown, View, changed_text, place_text, said
from farshore.core.chain import BEGINNING, Draft, Entry, Outcome
from farshore.core.record import ControlRecord, next_epoch, succeeds
from farshore.errors import (
    ConfigError,
    Corrupt,
    Precondition,
    Refused,
    StateError,
    StoreError,
    Unreachable,
)
from farshore.s3.silence import Remembering
from farshore.s3.wrap import Retrying, RetryPolicy

Decide = Callable[[ControlRecord], ControlRecord]
"""From what stands to what is wanted. May be called again; raises what is to stop the change."""

IN_A_HURRY = RetryPolicy(attempts_max=3, delay_s_first=0.1, delay_s_max=0.5, silence_s_max=2.0)

LOOKS_MAX = 3
"""A change may pass between reading one site and the other: then both are read again."""

TRIES_MAX = 6
"""How often a change begins anew because a site went away or was brought into step."""


class ControlPlane:
    """The control record of one pair. Made by `open_plane`. One change at a time goes through."""

    def __init__(self, both: BothSides, clock: Clock) -> None:
        self.both = both
        self._clock = clock
        self._turn = asyncio.Lock()

    # -- reading -----------------------------------------------------------------

    async def read(self) -> View:
        """What both sites show. Raises nothing that a site does: it is in the view."""
        return await self._settled({})

    async def _settled(self, given_up: dict[str, str]) -> View:
        """Apart is what two sites are while somebody writes, too: then they are looked at again,
        which costs less than to bring them into step."""
        view = await self.both.look(given_up)
        for _ in range(LOOKS_MAX - 1):
            if view.in_step or len(view.answering) < len(view.shown):
                break
            view = await self.both.look(given_up)
        return view

    async def peek(self) -> View:
        """As `read`, without the audit log: what a writer asks every few seconds."""
        return await self.both.look(tails=False)

    # -- changing ----------------------------------------------------------------

    async def change(self, decide: Decide, *, by: str, why: str, action: str) -> ControlRecord:
        """Record what `decide` makes of the standing record; answers the record as it stands.

        Nothing is written where `decide` changes nothing. `Refused` when somebody else was
        first, `Unreachable` when no control bucket can be written, `StateError` when a newer
        farshore is at work, `Corrupt` when nothing readable is left, `OutcomeUnknown` when
        nobody can tell whether it was recorded; and whatever `decide` raises.
        """
        given_up: dict[str, str] = {}
        async with self._turn:
            for _ in range(TRIES_MAX):
                view = await self._ready(given_up)
                wanted = decide(view.record)
                if view.written and wanted == view.record:
                    return wanted
                change = self._planned(view, wanted, Words(by, why, action))
                try:
                    return await self._carry_out(change)
                except _Overtaken:
                    continue
                except SideLost as lost:
                    _give_up(given_up, lost, view)
        raise Refused(
            f"{action} was not recorded: the control record changes all the time.",
            hint="See who is at work with `farshore audit list`, and try again.",
        )

    async def note(
        self,
        *,
        by: str,
        action: str,
        kind: Literal["intent", "result"],
        what: str,
        token: str = "",
        outcome: Outcome = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Append an audit entry on every site that answers; nothing else changes.

        A result has the `token` of its intent; an intent gets a new one. Raises as `change`.
        """
        draft = Draft(
            self._clock.now(), by, action, kind, what, token or new_token(), outcome, before, after
        )
        (entry,) = await self.enter(draft)
        return entry

    async def enter(self, *drafts: Draft) -> list[Entry]:
        """Append these, one behind the other, as `note` does: what stands is looked at once."""
        given_up: dict[str, str] = {}
        done: list[Entry] = []
        async with self._turn:
            for _ in range(TRIES_MAX):
                view = await self._ready(given_up)
                try:
                    async with self.both.writing(view):
                        site, behind = _decider(view).site, None
                        for draft in drafts[len(done) :]:
                            entry = await self.both.append(view, site, draft, behind)
                            done.append(entry)
                            behind = entry.head
                    return done
                except SideLost as lost:
                    _give_up(given_up, lost, view)
        raise Unreachable("No control bucket can be written.")

    async def heal(self) -> View:
        """Bring a site that is behind up to what stands, and copy audit entries both ways.

        A record that lost is kept in the history of its site. With one site down, or one
        that cannot be written, the view says so. Otherwise raises as `change` does.
        """
        async with self._turn:
            view = await self.read()
            if len(view.answering) < len(view.shown):
                return view
            _require_usable(view)
            try:
                return await bring_into_step(self.both, view, self._clock)
            except SideLost as lost:
                return await self.both.look({lost.site: lost.error.message})

    async def _ready(self, given_up: dict[str, str]) -> View:
        """A view to change from: in step, or with one site that is left out."""
        for _ in range(TRIES_MAX):
            view = await self._settled(given_up)
            _require_usable(view)
            if view.in_step or len(view.answering) < len(view.shown):
                return view
            try:
                await bring_into_step(self.both, view, self._clock)
            except SideLost as lost:
                _give_up(given_up, lost, view)
        raise Refused(
            "The two control buckets cannot be brought into step.",
            hint="Run `farshore audit verify`: it says what is wrong, and where.",
        )

    def _planned(self, view: View, wanted: ControlRecord, words: Words) -> _Change:
        """The change with its decider and its epoch. `Refused` for what can never be right."""
        current, decider = view.record, _decider(view).site
        if wanted.primary not in self.both.sites:
            raise Refused(f"{wanted.primary} is not a site of this pair.")
        if wanted.primary != current.primary and wanted.epoch <= current.epoch:
            raise Refused("Another primary needs a higher epoch: record what leads to it.")
        epoch = current.epoch
        if wanted.epoch > epoch or decider != view.arbiter:
            epoch = next_epoch(epoch, self.both.sites.index(decider))
        return _Change(view, wanted, words, decider, epoch, self._clock.now(), new_token())

    async def _carry_out(self, change: _Change) -> ControlRecord:
        """Intent, decision, copy, result. `_Overtaken`: begin anew; `SideLost`: without it."""
        view, decider, other = change.view, change.decider, change.view.other(change.decider)
        async with self.both.writing(view):
            intent = await self.both.append(view, decider, change.intent())
            record = change.record(intent)
            try:
                with losing(decider):
                    await self.both.ledgers[decider].replace(record, view.of(decider).etag)
            except Precondition:
                await self._refuse(change, intent)
            there = await self.both.copy(record, other)
            if there is not None and not there.comes_from(record):
                await self._lose(change, intent, there)
            reached = other.site if there is not None else ""
            await self._conclude(change, intent, "ok", change.sentence(record), record, reached)
        return record

    async def _refuse(self, change: _Change, intent: Entry) -> None:
        """Somebody else wrote at the decider. `_Overtaken` when that was no new decision."""
        now = await self.both.shown(change.decider)
        if now.record is None or change.view.record.comes_from(now.record):
            await self._conclude(change, intent, "failed", "The record was brought into step.")
            raise _Overtaken
        if now.record.decides_as(change.view.record):
            await self._conclude(change, intent, "failed", "It was noted that a fence stands.")
            raise _Overtaken
        await self._lose(change, intent, now.record)

    async def _lose(self, change: _Change, intent: Entry, winner: ControlRecord) -> None:
        """Note it, and raise `Refused`: who was first."""
        sentence = (
            f"{change.words.action} was not recorded: {said(winner)} was first. What stands is "
            f"{place_text(winner)}: {winner.phase}, primary {winner.primary}."
        )
        other = change.view.other(change.decider).site
        await self._conclude(change, intent, "refused", sentence, None, other)
        hint = "Look at what holds now with `farshore status`, and decide again."
        raise Refused(sentence, hint=hint)

    async def _conclude(
        self,
        change: _Change,
        intent: Entry,
        outcome: Outcome,
        what: str,
        record: ControlRecord | None = None,
        reached: str = "",
    ) -> None:
        """Note the result at the decider and at the site that the record has `reached`.

        The change stands or not, whatever becomes of the note: an intent without a result
        is shown by `farshore audit list`.
        """
        draft = replace(
            intent.draft,
            at=self._clock.now(),
            kind="result",
            what=what,
            outcome=outcome,
            after=record.to_json() if record else None,
        )
        with contextlib.suppress(StoreError):
            entry = await self.both.log(change.decider).append(intent.head, draft)
            if reached and change.view.of(reached).answers:
                await self.both.log(reached).keep(entry)


@dataclass(frozen=True, slots=True)
class Words:
    """Who wants a change, why, and the stable word for it."""

    by: str
    why: str
    action: str


@dataclass(frozen=True, slots=True)
class _Change:
    """A change that was planned: who decides it, and under which epoch."""

    view: View
    wanted: ControlRecord
    words: Words
    decider: str
    epoch: int
    at: float
    token: str

    def record(self, intent: Entry | None) -> ControlRecord:
        """The record to write, announced by the intent. Times as they are read back."""
        record = succeeds(
            self.view.record,
            self.wanted,
            self.epoch,
            intent.head if intent else BEGINNING,
            self.words.by,
            self.words.why,
            self.at,
        )
        return ControlRecord.from_json(record.to_json())

    def intent(self) -> Draft:
        before = self.view.record.to_json() if self.view.written else None
        planned = self.record(None)
        return Draft(
            self.at,
            self.words.by,
            self.words.action,
            "intent",
            self.sentence(planned),
            self.token,
            before=before,
            after=planned.to_json(),
        )

    def sentence(self, record: ControlRecord) -> str:
        why = f" ({self.words.why})" if self.words.why else ""
        changed = changed_text(self.view.record, record)
        more = f", {changed}" if changed else ""
        return f"{self.words.action}: {record.phase}, primary {record.primary}{more}{why}"


class _Overtaken(Exception):
    """The record was brought into step meanwhile: nobody decided anything."""


def _give_up(given_up: dict[str, str], lost: SideLost, view: View) -> None:
    """Go on without the site; its own error when it was the last one."""
    if [shown.site for shown in view.answering] == [lost.site]:
        raise lost.error
    given_up[lost.site] = lost.error.message


def _decider(view: View) -> Shown:
    """The arbiter of the epoch; the other site when that one cannot be asked."""
    arbiter = view.of(view.arbiter)
    return arbiter if arbiter.answers else view.other(view.arbiter)


def _require_usable(view: View) -> None:
    """Somebody answers, nobody newer is at work, and there is something to go by."""
    for shown in view.shown:
        if shown.state == "newer":
            raise StateError(
                shown.trouble,
                hint="Use the newer farshore here too: pip install --upgrade farshore",
            )
    if not view.answering:
        why = "; ".join(f"{shown.site}: {shown.trouble}" for shown in view.shown)
        raise Unreachable(f"No control bucket can be used: {why}")
    if all(shown.state == "damaged" for shown in view.answering):
        raise Corrupt(
            view.answering[0].trouble,
            hint="No other site shows a control record that can be read. Look at the object's "
            "older versions, and purge the damaged one.",
        )


@asynccontextmanager
async def open_plane(
    config: Config,
    clock: Clock,
    *,
    principal: Principal = "replicator",
    silence_s: float = 0.0,
) -> AsyncIterator[ControlPlane]:
    """The control plane of the configured pair. A site whose keys cannot be had is left out.

    `silence_s`: for so long a site that did not answer is not asked again.
    `ConfigError` when neither site can be opened.
    """
    async with AsyncExitStack() as stack:
        ledgers, closed = [], {}
        sites = (config.pair.source, config.pair.target)
        for name in sites:
            try:
                client = open_store(config, name, principal)
            except ConfigError as error:
                closed[name], last = error.message, error
                continue
            stack.push_async_callback(client.aclose)
            store = Remembering(Retrying(client, IN_A_HURRY), silence_s)
            ledgers.append(Ledger(config.site(name), store, key_of(config.pair), clock=clock))
        if not ledgers:
            raise last
        both = BothSides(sites, ledgers, primary=config.pair.source, closed=closed)
        yield ControlPlane(both, clock)
