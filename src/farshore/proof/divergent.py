"""Divergent versions: what the old primary had alone when it was left, and what becomes of it.

The configuration faces the new primary: the old one is the target here. Its versions that no
version of the source explains are listed. A person keeps them (they stay in the history, and
count no more) or adopts them (the newest one's bytes become a new version at the primary).
Nothing is ever deleted. Where a divergent version is what the old side's clients would see,
the primary's current state is written once more, so that it is copied on top.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.kept import Decided
from farshore.core.align import Alignment, identical
from farshore.core.join import KeyPair
from farshore.core.model import Attributes, Version
from farshore.core.stamp import STAMP_NAME
from farshore.engine.backfill import joined
from farshore.engine.look import aligned, read_both, rule_for
from farshore.engine.session import Sides, open_sides
from farshore.engine.side import Side
from farshore.errors import Refused
from farshore.s3.store import Stream

Word = Literal["keep", "adopt"]

SINGLE_BYTES_MAX = 5 << 30
"""S3 takes no more in one PUT."""


@dataclass(frozen=True, slots=True)
class Divergent:
    """The divergent entries of one key, oldest first. `on_top`: clients of that side see one."""

    site: str
    bucket: str
    key: str
    versions: tuple[Version, ...]
    on_top: bool

    def to_json(self) -> list[dict[str, Any]]:
        """One flat object for each entry."""
        return [
            {
                "site": self.site,
                "bucket": self.bucket,
                "key": self.key,
                "version_id": entry.version_id,
                "is_delete": entry.is_marker,
                "bytes": entry.size,
                "modified": entry.modified,
                "newest": self.on_top and entry is self.versions[-1],
            }
            for entry in self.versions
        ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of them, who says so and why."""

    word: Word
    by: str
    why: str


async def listed(config: Config, clock: Clock) -> list[Divergent]:
    """Everything that is divergent and undecided. `config` faces the new primary."""
    async with open_sides(config, retrying=True) as buckets:
        return [found async for _, found in _all(config, buckets, clock)]


async def decide(config: Config, clock: Clock, verdict: Verdict, key: str = "") -> list[Divergent]:
    """Decide about one key, or all; answers what was decided about. Safe to call again."""
    done: list[Divergent] = []
    async with open_sides(config, retrying=True) as buckets:
        async for sides, found in _all(config, buckets, clock):
            if key in ("", found.key):
                await _decide(sides, found, verdict, clock)
                done.append(found)
    return done


async def _all(
    config: Config, buckets: list[Sides], clock: Clock
) -> AsyncIterator[tuple[Sides, Divergent]]:
    for sides in buckets:
        async with aclosing(joined(sides.source, sides.target)) as batches:
            async for pairs in batches:
                for pair in pairs:
                    if identical(pair.source, pair.target):
                        continue
                    found = await _look(config, sides, pair, clock)
                    if found is not None:
                        yield sides, found


async def _look(config: Config, sides: Sides, pair: KeyPair, clock: Clock) -> Divergent | None:
    rule = await rule_for(config.pair.rules, sides.source, pair)
    if rule is None or rule.exclude:
        return None
    target = sides.target
    alignment: Alignment = await aligned(sides.source, target, pair, rule, clock.now())
    if not alignment.foreign:
        return None
    on_top = pair.target[0] in alignment.foreign
    return Divergent(target.site, target.bucket, pair.key, alignment.foreign, on_top)


async def _decide(sides: Sides, found: Divergent, verdict: Verdict, clock: Clock) -> None:
    """What is written at the primary comes first: a kill in between leaves it undecided."""
    source, target = sides.source, sides.target
    kept = target.kept
    if kept is None:
        raise Refused(f"{found.site} has no place for decisions.")
    newest = found.versions[-1]
    if verdict.word == "adopt":
        await _put_again(target, newest, source, found.key)
    elif found.on_top:
        pair = await read_both(source, target, found.key)
        await _put_again(source, pair.source[0] if pair.source else None, source, found.key)
    now = clock.now()
    await kept.add(
        Decided(found.bucket, found.key, one.version_id, verdict.word, verdict.by, verdict.why, now)
        for one in found.versions
    )


async def _put_again(at: Side, version: Version | None, to: Side, key: str) -> None:
    """The same content as a new version; a delete, or nothing at all, as a delete marker."""
    if version is None or version.is_marker:
        await to.store.delete(to.bucket, key)
        return
    if version.size > SINGLE_BYTES_MAX:
        raise Refused(
            f"{key} has {version.size:,} bytes: more than one PUT takes.",
            hint="Copy it by hand, then decide: `farshore divergent keep`.",
        )
    info = await at.store.head(at.bucket, key, version.version_id)
    tags = info.attributes.tags
    if info.tag_count:
        tags = await at.store.get_tags(at.bucket, key, version.version_id)
    async with at.store.get(at.bucket, key, version.version_id) as opened:
        body = Stream(version.size, opened.chunks()) if version.size else b""
        await to.store.put(to.bucket, key, body, _own(info.attributes, tags))


def _own(attributes: Attributes, tags: tuple[tuple[str, str], ...]) -> Attributes:
    """Without our stamp: it is a new version, and no replica."""
    return replace(
        attributes,
        metadata=tuple(pair for pair in attributes.metadata if pair[0] != STAMP_NAME),
        tags=tuple(pair for pair in tags if pair[0] != STAMP_NAME),
    )
