"""Repair: perform the mendings that a person has seen and accepted, key by key.

Everything is read again just before it is touched; what has changed since verify looked
is left alone and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from farshore.core.align import Alignment
from farshore.core.difference import Difference
from farshore.core.join import KeyPair
from farshore.core.mend import Mending
from farshore.core.model import Attributes, Version
from farshore.core.plan import DeleteLimits
from farshore.core.rules import EVERYTHING, Rule
from farshore.engine.copy import require_readable
from farshore.engine.follow import set_lock, set_tags
from farshore.engine.guard import Hiding, judged
from farshore.engine.lane import Crew, Lane
from farshore.engine.look import aligned, read_both, rule_for
from farshore.engine.side import Side
from farshore.engine.tally import NOT_OWED
from farshore.errors import StoreError, Unsupported

APPENDING = ("append", "rebuild-tail")

ALONE_TOLD_MAX = 5
"""Versions that a person must decide about first are named, up to so many."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one mending went. `done` is false with the reason in `detail`."""

    mending: Mending
    done: bool
    detail: str


async def repair(
    crew: Crew, mendings: Sequence[Mending], target_keys: int, limits: DeleteLimits
) -> list[Outcome]:
    """Perform the allowed mendings. An error ends that key's mending, not the run.

    Keys that would end hidden from the target's clients are left alone, in full, where the
    delete guard does not let them: `limits`, of `target_keys`, as in a backfill.
    """
    keys = [(key, list(group)) for key, group in groupby(mendings, key=lambda m: m.difference.key)]
    crew = replace(crew, hiding_released=True)  # judged here, before anything is touched
    hiding = [h for key, group in keys if (h := await _Mender(crew, key).hides(group)) is not None]
    waits = judged(hiding, target_keys, limits, crew.waiting)
    why = {held.key: text for held, text in waits.items()}
    outcomes: list[Outcome] = []
    for key, group in keys:
        if key in why:
            outcomes += [Outcome(mending, False, why[key]) for mending in group]
        else:
            outcomes += await _Mender(crew, key).mend(group)
    return outcomes


class _Mender:
    """The mendings of one key, in their order."""

    def __init__(self, crew: Crew, key: str) -> None:
        self._crew = crew
        self._source = crew.source
        self._target = crew.target
        self._key = key
        self._tail_purged = False
        self._left_out: dict[str, str] | None = None  # by source version: why, once appended

    async def mend(self, mendings: Sequence[Mending]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for mending in mendings:
            if not mending.allowed:
                outcomes.append(Outcome(mending, False, "left as it is"))
                continue
            try:
                await self._act(mending, mendings)
                outcomes.append(Outcome(mending, True, mending.why))
            except StoreError as error:
                told = f"{error} {error.hint}" if error.hint else str(error)
                outcomes.append(Outcome(mending, False, told))
        return outcomes

    async def hides(self, mendings: Sequence[Mending]) -> Hiding | None:
        """Whether the key would end hidden, while the target's clients can read it now."""
        if not any(m.allowed and m.action in APPENDING for m in mendings):
            return None
        if not any(m.difference.is_marker for m in mendings):
            return None
        try:
            pair, _, alignment = await self._look()
        except StoreError:
            return None  # mending it looks again, and says so
        wanted = _ids([*(s for s, _ in alignment.pairs), *alignment.missing, *alignment.gap])
        newest = next((entry for entry in pair.source if entry.version_id in wanted), None)
        visible = bool(pair.target) and not pair.target[0].is_marker
        if newest is None or not newest.is_marker or not visible:
            return None
        hiding = Hiding(self._source.bucket, self._key, newest.version_id)
        return None if self._crew.discarded(*hiding) else hiding

    async def _act(self, mending: Mending, together: Sequence[Mending]) -> None:
        """Purging the tail and appending serve all of a key's differences: once is enough."""
        if mending.action not in APPENDING:
            await self._touch(mending)
            return
        if mending.action == "rebuild-tail" and not self._tail_purged:
            await self._purge_tail(together)
            self._tail_purged = True
        if self._left_out is None:
            self._left_out = await self._append()
        if why := self._left_out.get(mending.difference.source_version):
            raise StoreError(why)

    async def _touch(self, mending: Mending) -> None:
        difference = mending.difference
        match mending.action:
            case "drop-double":
                await self._purge_if_doubled(difference)
            case "unhide":
                await self._purge_if_marker(difference)
            case "tag":
                await self._set_tags(difference)
            case "lock":
                await self._set_lock(difference)
            case _:
                raise AssertionError(f"{mending.action} is not a touch")

    async def _look(self) -> tuple[KeyPair, Rule, Alignment]:
        """The key as it is now: both histories, its rule, and how they align."""
        pair = await read_both(self._source, self._target, self._key)
        rule = await rule_for(self._crew.rules, self._source, pair) or EVERYTHING
        now = self._crew.clock.now()
        return pair, rule, await aligned(self._source, self._target, pair, rule, now)

    async def _append(self) -> dict[str, str]:
        """Copy all that is missing; the source versions that were left out, and why."""
        pair, rule, _ = await self._look()
        refused = await Lane(self._crew, pair, rule).run()
        return {
            item.version_id: f"{item.reason}: {item.explanation}"
            for item in refused
            if item.reason not in NOT_OWED
        }

    async def _purge(self, entry: Version) -> None:
        await self._target.store.delete(self._target.bucket, self._key, entry.version_id)

    async def _purge_if_doubled(self, difference: Difference) -> None:
        """Only a replica that is a second one of the same original, as things stand now."""
        _, _, alignment = await self._look()
        for entry in alignment.doubled:
            if entry.version_id == difference.target_version:
                await self._purge(entry)

    async def _purge_if_marker(self, difference: Difference) -> None:
        """Only a marker, and only while the source still does not have it."""
        _, _, alignment = await self._look()
        for entry in alignment.foreign:
            if entry.is_marker and entry.version_id == difference.target_version:
                await self._purge(entry)

    async def _purge_tail(self, mendings: Sequence[Mending]) -> None:
        """Purge the replicas above the last right one, newest first.

        Nothing is purged that is not a replica, or whose original cannot be read now.
        """
        wrong = {
            m.difference.target_version
            for m in mendings
            if m.action == "rebuild-tail" and m.difference.target_version
        }
        pair, _, alignment = await self._look()
        hopeless = [entry for entry in alignment.gap if not await self._is_readable(entry)]
        tail = tail_to_rebuild(pair, alignment, wrong, hopeless)
        originals = {t.version_id: s for s, t in alignment.pairs}
        again = originals.keys() | _ids(alignment.disordered) | _ids(alignment.doubled)
        if alone := [entry.version_id for entry in tail if entry.version_id not in again]:
            raise StoreError(
                f"{self._key!r}: above the wrong place the target holds what the source has not, "
                f"and it would be lost: {', '.join(alone[:ALONE_TOLD_MAX])}"
                f"{' …' if len(alone) > ALONE_TOLD_MAX else ''}.",
                hint="Copy these versions elsewhere if they are wanted, purge them at the target "
                "by their ids, and repair again.",
            )
        for entry in tail:
            original = originals.get(entry.version_id)
            if original is not None and not original.is_marker:
                await require_readable(self._source, original)
        for entry in reversed(tail):
            await self._purge(entry)

    async def _is_readable(self, entry: Version) -> bool:
        """Whether a replica of it could be made at all."""
        try:
            if not entry.is_marker:
                await require_readable(self._source, entry)
        except Unsupported:
            return False
        return True

    async def _set_tags(self, difference: Difference) -> None:
        ours = await self._tags(self._source, difference.source_version)
        theirs = await self._tags(self._target, difference.target_version)
        await set_tags(self._target, self._key, difference.target_version, ours, theirs)

    async def _tags(self, side: Side, version_id: str) -> Attributes:
        return Attributes(tags=await side.store.get_tags(side.bucket, self._key, version_id))

    async def _set_lock(self, difference: Difference) -> None:
        source = self._source
        info = await source.store.head(source.bucket, self._key, difference.source_version)
        await set_lock(self._target, self._key, difference.target_version, info.attributes)


def tail_to_rebuild(
    pair: KeyPair, alignment: Alignment, wrong: set[str], hopeless: Sequence[Version] = ()
) -> list[Version]:
    """The target's entries, oldest first, above the last one that is right and in place.

    Right and in place: paired with the source entry of the same position from the
    bottom, and not among the `wrong` version ids. Kept history (`extra`) has no place,
    nor have source entries that are not required, or `hopeless`: they cannot be copied.
    """
    paired = {t.version_id: s.version_id for s, t in alignment.pairs}
    kept = _ids(alignment.extra)
    required = {*paired.values(), *_ids(alignment.gap)} - _ids(hopeless)
    expected = (e.version_id for e in reversed(pair.source) if e.version_id in required)
    rows = list(reversed(pair.target))
    for at, entry in enumerate(rows):
        if entry.version_id in kept:
            continue
        original = next(expected, None)
        in_place = original is not None and paired.get(entry.version_id) == original
        if not in_place or entry.version_id in wrong:
            return rows[at:]
    return []


def _ids(entries: Iterable[Version]) -> set[str]:
    return {entry.version_id for entry in entries}
