"""Verify: read both sides, and only them, and say in what they differ.

Shallow: the histories of every key, by order, size and ETag (and stamps where these
cannot tell). Deep: the bytes, headers, metadata, tags and locks of every version too.
A key that differs is read again before it is reported, until two looks agree: the
source may have moved on between the two listings, or a body been cut on the way.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from farshore.clock import Clock
from farshore.core import difference
from farshore.core.align import Alignment, Pair, identical
from farshore.core.difference import Difference, of_alignment
from farshore.core.join import KeyPair
from farshore.core.model import Attributes, Version
from farshore.core.rules import Rule
from farshore.engine.backfill import joined
from farshore.engine.look import (
    Discarded,
    aligned,
    nothing_discarded,
    read_both,
    rule_for,
    without_discarded,
)
from farshore.engine.side import Side
from farshore.errors import (
    BadRequest,
    BucketMissing,
    Corrupt,
    Denied,
    Gone,
    StoreError,
    Unsupported,
)

KEYS_AT_ONCE = 32
"""Keys that are read deeply, or read again, at the same time."""

LOOKS_MAX = 3
"""Times a key that differs is read at most: two looks that agree are believed."""

LOOK_PAUSE_S = 1.0

FOREIGN: frozenset[difference.Kind] = frozenset({"foreign", "foreign-marker"})


@dataclass(slots=True)
class Proof:
    """What was read and what was found. `listed_completely` only when both walks ended."""

    keys: int = 0
    versions: int = 0
    markers: int = 0
    retained: int = 0
    excluded: int = 0
    bytes_read: int = 0
    versions_read: int = 0
    listed_completely: bool = False
    differences: list[Difference] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Differences beside the deletes that the delete guard holds for a person."""
        return sum(found.kind != "held" for found in self.differences)

    @property
    def divergent(self) -> int:
        """Versions and markers at the target that nobody of ours wrote there."""
        return sum(found.kind in FOREIGN for found in self.differences)

    @property
    def foreign(self) -> list[Version]:
        """The same, as the target lists them."""
        found = (one.entry for one in self.differences if one.kind in FOREIGN)
        return [entry for entry in found if entry is not None]

    def to_json(self) -> dict[str, object]:
        """A flat object with the differences as a list."""
        return {
            "keys": self.keys,
            "versions": self.versions,
            "delete_markers": self.markers,
            "retained_on_target": self.retained,
            "excluded": self.excluded,
            "versions_read": self.versions_read,
            "bytes_read": self.bytes_read,
            "listed_completely": self.listed_completely,
            "differences": [d.to_json() for d in self.differences],
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be proved: the sides, the rules that say what must be there, how deep.

    `discarded`: deletes that a person took out of replication; they count as excluded.
    `held`: deletes that the delete guard holds: they differ, and repair leaves them alone.
    """

    source: Side
    target: Side
    rules: Sequence[Rule]
    clock: Clock
    deep: bool = False
    prefix: str = ""
    discarded: Discarded = nothing_discarded
    held: Discarded = nothing_discarded
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def verify(question: Question, proof: Proof) -> None:
    """Add what is found to `proof`. Raises what listings raise (`BadListing`, `Unreachable`…)."""
    prover = _Prover(question, proof)
    tasks: set[asyncio.Task[None]] = set()
    try:
        walk = joined(question.source, question.target, question.prefix)
        async with aclosing(walk) as batches:
            async for pairs in batches:
                for pair in pairs:
                    if not prover.settled_by_listing(pair):
                        tasks = await _with_room(tasks)
                        tasks.add(asyncio.create_task(prover.prove(pair)))
        for finished in asyncio.as_completed(tasks):
            await finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    proof.listed_completely = True
    proof.differences.sort(key=lambda d: (d.bucket, d.key, d.kind, d.source_version))


async def _with_room(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """The tasks that still run, once there is room for one more. Raises what one raised."""
    while len(tasks) >= KEYS_AT_ONCE:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    return tasks


class _Prover:
    def __init__(self, question: Question, proof: Proof) -> None:
        self._q = question
        self._proof = proof

    def settled_by_listing(self, pair: KeyPair) -> bool:
        """Count the key; whether the listings alone prove it (never so when deep)."""
        proof = self._proof
        proof.keys += 1
        proof.versions += len(pair.source)
        proof.markers += sum(entry.is_marker for entry in pair.source)
        return not self._q.deep and identical(pair.source, pair.target)

    async def prove(self, pair: KeyPair) -> None:
        source, target = self._q.source, self._q.target
        rule = await rule_for(self._q.rules, source, pair)
        if rule is None or rule.exclude:
            self._proof.excluded += len(pair.source)
            return
        found: list[Difference] = []
        retained = excluded = 0
        for look in range(1, LOOKS_MAX + 1):
            earlier = found
            kept = without_discarded(source, pair, self._q.discarded)
            alignment = await aligned(source, target, kept, rule, self._q.clock.now())
            found = [self._named(d) for d in of_alignment(source.bucket, pair.key, alignment)]
            if self._q.deep:
                found += await self._read(alignment)
            retained = len(alignment.extra)
            excluded = len(pair.source) - len(kept.source)
            if not found or found == earlier or look == LOOKS_MAX:
                break
            await self._q.sleep(LOOK_PAUSE_S * (look - 1))
            pair = await read_both(source, target, pair.key)
        self._proof.differences += found
        self._proof.retained += retained
        self._proof.excluded += excluded

    def _named(self, found: Difference) -> Difference:
        """A missing delete that waits for a person is called so."""
        names = (found.bucket, found.key, found.source_version)
        if found.kind != "missing" or not found.is_marker or not self._q.held(*names):
            return found
        detail = f"{found.detail}; the delete guard holds it: `farshore deletes` decides"
        return replace(found, kind="held", detail=detail)

    async def _read(self, alignment: Alignment) -> list[Difference]:
        found: list[Difference] = []
        for pair in alignment.pairs:
            if not pair[0].is_marker:
                found += await self._read_pair(pair)
        return found

    async def _read_pair(self, pair: Pair) -> list[Difference]:
        """Both versions in full, side by side; what cannot be read is said, not skipped."""
        bucket = self._q.source.bucket
        try:
            ours, theirs = await asyncio.gather(
                self._digest(self._q.source, pair[0]), self._digest(self._q.target, pair[1])
            )
        except BucketMissing:
            raise
        except (BadRequest, Denied, Gone, Unsupported, Corrupt) as error:
            return [_unreadable(bucket, pair, error)]
        return list(self._contrast(bucket, pair, ours, theirs))

    def _contrast(
        self, bucket: str, pair: Pair, ours: _Content, theirs: _Content
    ) -> Iterator[Difference]:
        s, t = pair
        if ours.sha256 != theirs.sha256:
            detail = f"SHA-256 source {ours.sha256}, target {theirs.sha256}"
            yield Difference(bucket, s.key, "bytes", s.version_id, t.version_id, detail)
        now = datetime.fromtimestamp(self._q.clock.now(), UTC).isoformat()
        yield from difference.of_attributes(bucket, pair, ours.attributes, theirs.attributes, now)

    async def _digest(self, side: Side, version: Version) -> _Content:
        digest = hashlib.sha256()
        async with side.store.get(side.bucket, version.key, version.version_id) as opened:
            info = opened.info
            async for chunk in opened.chunks():
                digest.update(chunk)
        attributes = info.attributes
        if info.tag_count:
            tags = await side.store.get_tags(side.bucket, version.key, version.version_id)
            attributes = replace(attributes, tags=tags)
        self._proof.versions_read += 1
        self._proof.bytes_read += version.size
        return _Content(digest.hexdigest(), attributes)


@dataclass(frozen=True, slots=True)
class _Content:
    sha256: str
    attributes: Attributes


def _unreadable(bucket: str, pair: Pair, error: StoreError) -> Difference:
    s, t = pair
    return Difference(bucket, s.key, "unreadable", s.version_id, t.version_id, str(error))
