"""Repair: perform the mendings that a person has seen and accepted, key by key.

Everything is read again just before it is touched; what has changed since verify looked
is left alone and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from farshore.core import stamp
from farshore.core.align import Alignment
from farshore.core.difference import Difference
from farshore.core.join import KeyPair
from farshore.core.mend import Mending
from farshore.core.model import Version
from farshore.core.rules import EVERYTHING, Rule
from farshore.engine.lane import Crew, Lane
from farshore.engine.look import aligned, read_both, rule_for
from farshore.errors import StoreError

APPENDING = ("append", "rebuild-tail")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one mending went. `done` is false with the reason in `detail`."""

    mending: Mending
    done: bool
    detail: str


async def repair(crew: Crew, mendings: Sequence[Mending]) -> list[Outcome]:
    """Perform the allowed mendings. An error ends that key's mending, not the run."""
    outcomes: list[Outcome] = []
    for key, group in groupby(mendings, key=lambda m: m.difference.key):
        outcomes += await _Mender(crew, key).mend(list(group))
    return outcomes


class _Mender:
    """The mendings of one key, in their order."""

    def __init__(self, crew: Crew, key: str) -> None:
        self._crew = crew
        self._source = crew.source
        self._target = crew.target
        self._key = key
        self._tail_purged = False
        self._appended = False

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
                outcomes.append(Outcome(mending, False, str(error)))
                break
        return outcomes

    async def _act(self, mending: Mending, together: Sequence[Mending]) -> None:
        """Purging the tail and appending serve all of a key's differences: once is enough."""
        if mending.action not in APPENDING:
            await self._touch(mending)
            return
        if mending.action == "rebuild-tail" and not self._tail_purged:
            await self._purge_tail(together)
            self._tail_purged = True
        if not self._appended:
            await self._append()
            self._appended = True

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

    async def _append(self) -> None:
        pair, rule, _ = await self._look()
        before = self._crew.tally.failures
        await Lane(self._crew, pair, rule).run()
        if self._crew.tally.failures > before:
            failed = self._crew.tally.not_copied[-1]
            raise StoreError(f"{failed.reason}: {failed.explanation}")

    async def _purge(self, entry: Version) -> None:
        await self._target.store.delete(self._target.bucket, self._key, entry.version_id)

    async def _purge_if_doubled(self, difference: Difference) -> None:
        """Only a replica that is a second one of the same original, as things stand now."""
        _, _, alignment = await self._look()
        for entry in alignment.disordered:
            if entry.version_id == difference.target_version:
                await self._purge(entry)

    async def _purge_if_marker(self, difference: Difference) -> None:
        """Only a marker, and only while the source still does not have it."""
        _, _, alignment = await self._look()
        for entry in alignment.foreign:
            if entry.is_marker and entry.version_id == difference.target_version:
                await self._purge(entry)

    async def _purge_tail(self, mendings: Sequence[Mending]) -> None:
        """Purge the replicas above the last right one, newest first. Foreign ones forbid it."""
        wrong = {
            m.difference.target_version
            for m in mendings
            if m.action == "rebuild-tail" and m.difference.target_version
        }
        pair, _, alignment = await self._look()
        tail = tail_to_rebuild(pair, alignment, wrong)
        ours = {t.version_id for _, t in alignment.pairs}
        if any(entry.version_id not in ours for entry in tail):
            raise StoreError(
                f"{self._key!r}: above the wrong replica stand entries that are not replicas "
                "of anything on the source; they would be lost",
                hint="Copy them elsewhere or decide about them first.",
            )
        for entry in reversed(tail):
            await self._purge(entry)

    async def _set_tags(self, difference: Difference) -> None:
        source, target = self._source, self._target
        tags = await source.store.get_tags(source.bucket, self._key, difference.source_version)
        theirs = await target.store.get_tags(target.bucket, self._key, difference.target_version)
        stamps = tuple(tag for tag in theirs if tag[0] == stamp.STAMP_NAME)
        await target.store.put_tags(
            target.bucket, self._key, difference.target_version, (*tags, *stamps)
        )

    async def _set_lock(self, difference: Difference) -> None:
        source, target = self._source, self._target
        info = await source.store.head(source.bucket, self._key, difference.source_version)
        lock = info.attributes.lock
        if lock.mode:
            await target.store.put_retention(
                target.bucket, self._key, difference.target_version, lock.mode, lock.retain_until
            )
        await target.store.put_legal_hold(
            target.bucket, self._key, difference.target_version, lock.legal_hold
        )


def tail_to_rebuild(pair: KeyPair, alignment: Alignment, wrong: set[str]) -> list[Version]:
    """The target's entries, oldest first, above the last one that is right and in place.

    Right and in place: paired with the source entry of the same position from the
    bottom, kept history (`extra`) aside, and not among the `wrong` version ids.
    """
    paired = {t.version_id: s.version_id for s, t in alignment.pairs}
    kept = {entry.version_id for entry in alignment.extra}
    expected = iter(reversed(pair.source))
    rows = list(reversed(pair.target))
    for at, entry in enumerate(rows):
        if entry.version_id in kept:
            continue
        original = next(expected, None)
        in_place = original is not None and paired.get(entry.version_id) == original.version_id
        if not in_place or entry.version_id in wrong:
            return rows[at:]
    return []
