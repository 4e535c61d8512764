"""Differences between two sides, each one a line that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from farshore.core import stamp
from farshore.core.align import Alignment, Pair
from farshore.core.model import Attributes, Lock, Version

Kind = Literal[
    "missing",  # newer than everything on the target
    "held",  # a delete that is missing because the delete guard holds it for a person
    "gap",  # missing beneath something that was copied
    "foreign",  # on the target, and nobody of ours wrote it
    "foreign-marker",  # a delete marker that the source does not have, over no native version
    "doubled",  # a replica that stands twice
    "disordered",  # a replica that stands above one of a newer version
    "differs",  # size or ETag
    "bytes",  # the bytes themselves (deep)
    "headers",
    "metadata",
    "tags",
    "lock",
    "encryption",
    "unreadable",  # could not be read, so nothing is known of it
]

MARKER = "delete marker"

DEEP_ONLY: frozenset[Kind] = frozenset(
    {"bytes", "headers", "metadata", "tags", "lock", "encryption"}
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the target is not what the source says."""

    bucket: str
    key: str
    kind: Kind
    source_version: str
    target_version: str
    detail: str
    entry: Version | None = field(default=None, compare=False, repr=False)
    """Of a foreign one: itself."""

    @property
    def is_marker(self) -> bool:
        """Whether it is about a delete marker of one side alone."""
        return self.detail.startswith(MARKER)

    def to_json(self) -> dict[str, str]:
        """A flat object; ids are "" where a side has no entry."""
        return {
            "bucket": self.bucket,
            "key": self.key,
            "kind": self.kind,
            "source_version": self.source_version,
            "target_version": self.target_version,
            "detail": self.detail,
        }


def of_alignment(bucket: str, key: str, alignment: Alignment) -> Iterator[Difference]:
    """What the two histories show. `extra` entries are kept history and no difference."""
    for entry in alignment.missing:
        yield Difference(bucket, key, "missing", entry.version_id, "", _what(entry))
    for entry in alignment.gap:
        yield Difference(bucket, key, "gap", entry.version_id, "", _what(entry))
    over_native = False  # such a marker is the delete of a file of the target's own
    for entry in alignment.foreign:
        over_native = over_native or not entry.is_marker
        kind: Kind = "foreign" if over_native else "foreign-marker"
        yield Difference(bucket, key, kind, "", entry.version_id, _what(entry), entry)
    for entry in alignment.doubled:
        yield Difference(bucket, key, "doubled", "", entry.version_id, _what(entry))
    for entry in alignment.disordered:
        yield Difference(bucket, key, "disordered", "", entry.version_id, _what(entry))
    for source, target in alignment.differing:
        detail = f"source {_what(source)}, target {_what(target)}"
        yield Difference(bucket, key, "differs", source.version_id, target.version_id, detail)


def _what(entry: Version) -> str:
    if entry.is_marker:
        return MARKER
    return f"{entry.size} bytes, ETag {entry.etag}"


def of_attributes(
    bucket: str, pair: Pair, source: Attributes, target: Attributes, now_iso: str
) -> Iterator[Difference]:
    """What two versions carry beside their bytes; stamps are ours, on both sides once the
    direction has turned, and left out.

    `now_iso` is the present as ISO 8601 UTC: retention that has ended cannot be
    replayed on the target, and is no difference. KMS keys are each region's own.
    """
    source, target = stamp.without(source), stamp.without(target)
    checks: tuple[tuple[Kind, object, object], ...] = (
        ("headers", source.headers, target.headers),
        ("metadata", sorted(source.metadata), sorted(target.metadata)),
        ("tags", sorted(source.tags), sorted(target.tags)),
        ("lock", _in_force(source.lock, now_iso), _in_force(target.lock, now_iso)),
        ("encryption", source.encryption, target.encryption),
    )
    for kind, ours, theirs in checks:
        if ours != theirs:
            detail = f"source {ours!r}, target {theirs!r}"
            s, t = pair
            yield Difference(bucket, s.key, kind, s.version_id, t.version_id, detail)


def _in_force(lock: Lock, now_iso: str) -> Lock:
    if lock.retain_until and lock.retain_until[:19] <= now_iso[:19]:
        return Lock(legal_hold=lock.legal_hold)
    return Lock(lock.mode, lock.retain_until[:19], lock.legal_hold)
