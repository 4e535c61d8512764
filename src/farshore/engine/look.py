"""Looking at one key on both sides: its histories, its rule, and how the two align."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import dropwhile
from typing import NamedTuple

from farshore.core import rules, stamp
from farshore.core.align import Alignment, Pair, align, compare
from farshore.core.join import KeyPair
from farshore.core.model import Version
from farshore.core.rules import Rule
from farshore.core.stamp import Stamp
from farshore.engine.side import Side

Discarded = Callable[[str, str, str], bool]
"""(source bucket, key, version id of a marker): a person said that it is not replicated."""


def nothing_discarded(_bucket: str, _key: str, _version_id: str) -> bool:
    """Every delete counts."""
    return False


def without_discarded(source: Side, pair: KeyPair, discarded: Discarded) -> KeyPair:
    """The pair as if a deletion on top that was discarded had not happened.

    Once something newer stands on it, the marker is history beneath and hides nothing.
    """
    top = pair.source[0] if pair.source else None
    if top is None or not top.is_marker:
        return pair
    if not discarded(source.bucket, pair.key, top.version_id):
        return pair
    kept = tuple(dropwhile(lambda entry: entry.is_marker, pair.source))
    return KeyPair(pair.key, kept, pair.target)


async def read_both(source: Side, target: Side, key: str) -> KeyPair:
    """Both histories of one key, as they are now."""
    return KeyPair(
        key,
        await source.lister.history(source.bucket, key),
        await target.lister.history(target.bucket, key),
    )


async def rule_for(among: Sequence[Rule], source: Side, pair: KeyPair) -> Rule | None:
    """The rule for a key; asks for the newest version's tags only where a rule needs them."""
    if not rules.asks_for_tags(among, pair.key):
        return rules.choose(among, pair.key)
    newest = next((entry for entry in pair.source if not entry.is_marker), None)
    if newest is None:
        return rules.choose(among, pair.key)
    tags = await source.store.get_tags(source.bucket, pair.key, newest.version_id)
    return rules.choose(among, pair.key, tags)


async def aligned(
    source: Side,
    target: Side,
    pair: KeyPair,
    rule: Rule,
    now: float,
    named: Collection[str] = (),
    *,
    appends: bool = False,
) -> Alignment:
    """How the histories align without the divergent versions that a person decided about.

    Those of the target count as kept history. The decisions are asked for only where the
    histories disagree without them. `named`: ids of versions that hints named, whose replicas
    are not believed by their looks. `appends`: nor is the replica that what is missing would be
    put on: by then it must be known that nothing older is missing.
    """
    closely = Closely(frozenset(named), appends)
    found = await _aligned(source, target, pair, rule, now, closely)
    if found.undisturbed:
        return found
    ours, theirs = await _kept(source, pair.key), await _kept(target, pair.key)
    if not ours and not theirs:
        return found
    left = KeyPair(
        pair.key,
        tuple(entry for entry in pair.source if entry.version_id not in ours),
        tuple(entry for entry in pair.target if entry.version_id not in theirs),
    )
    found = await _aligned(source, target, left, rule, now, closely)
    kept = tuple(entry for entry in reversed(pair.target) if entry.version_id in theirs)
    return replace(found, extra=(*found.extra, *kept))


async def _kept(side: Side, key: str) -> frozenset[str]:
    return await side.kept.of(side.bucket, key) if side.kept is not None else frozenset()


class Closely(NamedTuple):
    """Replicas that are not believed by their looks: those of these versions, and perhaps the
    one beneath what is missing."""

    named: frozenset[str]
    beneath: bool

    def those_of(self, quick: Alignment) -> list[Pair]:
        """Of what looks paired. A replica in its place vouches for all beneath it: they were
        looked at when it was appended. Not for the one right above it that has the same bytes:
        that may be itself once more, its request having arrived twice (`copy.holds_after`)."""
        bodies = [pair for pair in quick.pairs if not pair[0].is_marker]
        top = bodies[-1] if bodies and self.beneath and quick.missing else None
        beneath = [None, *bodies]
        return [
            pair
            for pair, below in zip(bodies, beneath, strict=False)
            if pair is top or self._is_named(pair) or (below and self._may_double(pair, below))
        ]

    def _is_named(self, pair: Pair) -> bool:
        return pair[0].version_id in self.named

    def _may_double(self, pair: Pair, below: Pair) -> bool:
        return self._is_named(below) and pair[0].etag == below[0].etag


async def _aligned(
    source: Side, target: Side, pair: KeyPair, rule: Rule, now: float, closely: Closely
) -> Alignment:
    """How two histories align; reads the stamps of versions only if it must.

    The source's are read where the target has versions without a stamp, or replicas whose
    originals the source has no more: they may be the originals of replicas that the source holds
    from the time before the direction turned, and perhaps before that on disks that were lost.
    """

    def required(entry: Version) -> bool:
        if not entry.is_marker:
            return True
        current = entry is pair.source[0]
        return rules.marker_due(rule, now - written_at(entry), is_current=current)

    quick = compare(pair.source, pair.target, required)
    if quick is not None and not await _mistaken(source, target, closely.those_of(quick)):
        return quick
    stamps = {
        entry.version_id: await read_stamp(target, entry)
        for entry in pair.target
        if not entry.is_marker
    }
    origins: dict[str, Stamp] = {}
    if any(mark is None or _is_gone(mark, source, pair) for mark in stamps.values()):
        origins = await _origins(source, target, pair)
    return align(pair.source, pair.target, stamps, source.site, required, origins=origins)


async def _mistaken(source: Side, target: Side, pairs: Sequence[Pair]) -> bool:
    """Whether what looks like the replica of a version is one of another version: of one with
    the same bytes that was purged, and may have had other metadata. Listings do not show it."""
    for original, replica in pairs:
        mark = await read_stamp(target, replica)
        if mark is None or mark.site != source.site:
            continue
        if mark.version_id != original.version_id and not await _is_copy_of(
            source, original, target, replica
        ):
            return True
    return False


async def _is_copy_of(source: Side, original: Version, target: Side, replica: Version) -> bool:
    """Whether the source's version was itself copied from that very one of the target."""
    born = await read_stamp(source, original)
    return born is not None and born[:2] == (target.site, replica.version_id)


def _is_gone(mark: Stamp, source: Side, pair: KeyPair) -> bool:
    """Whether it names a version that the source does not have."""
    ids = (entry.version_id for entry in pair.source)
    return mark.site == source.site and mark.version_id not in ids


async def _origins(source: Side, target: Side, pair: KeyPair) -> dict[str, Stamp]:
    """The stamps of those source entries that are replicas of the target's own."""
    found: dict[str, Stamp] = {}
    for entry in pair.source:
        if not entry.is_marker:
            mark = await read_stamp(source, entry)
            if mark is not None and mark.site == target.site:
                found[entry.version_id] = mark
    return found


async def read_stamp(side: Side, entry: Version) -> Stamp | None:
    """The stamp of one version, from its metadata or else its tags; None if it has none."""
    info = await side.store.head(side.bucket, entry.key, entry.version_id)
    found = stamp.find(info.attributes)
    if found is None and info.tag_count:
        tags = await side.store.get_tags(side.bucket, entry.key, entry.version_id)
        found = stamp.find(info.attributes, tags)
    return found


def written_at(entry: Version) -> float:
    """When a listing says that the entry was written, in Unix seconds."""
    return datetime.fromisoformat(entry.modified.replace("Z", "+00:00")).timestamp()
