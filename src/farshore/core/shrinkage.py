"""Has a bucket of the source been emptied, or made anew? Judged from scan to scan.

    whole ──many keys gone within a day──> shrunk ──most of them back, or a week over──> whole

Nothing on the target is ever touched for it; people are told, in words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DAY_S = 86400.0
"""Keys are compared with the most that a scan has seen within this time."""

TOLD_S = 7 * DAY_S
"""How long people are told; then the bucket is what it is."""

LOST_SHARE = 0.5
LOST_MIN = 10
"""Half of the keys, and this many at least, make it a loss; a bucket without any key, always."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A bucket had `before` keys, and had `left` of them when it was last looked at."""

    bucket: str
    before: int
    left: int
    at: float

    @property
    def lost_percent(self) -> int:
        """Whole percent, cut: 100 only when nothing is left."""
        return (self.before - self.left) * 100 // self.before if self.before else 0


@dataclass(frozen=True, slots=True)
class Size:
    """What is remembered of one bucket: the most keys seen, when, and its loss, if any."""

    keys: int
    at: float
    shrunk: Shrunk | None = None


def seen(before: Size | None, bucket: str, keys: int, now: float) -> Size:
    """A complete scan has seen so many keys of the bucket (markers on top count as keys)."""
    if before is None:
        return Size(keys, now)
    if before.shrunk is not None:
        return _still(before, before.shrunk, keys, now)
    if _is_loss(before.keys, keys):
        return replace(before, shrunk=Shrunk(bucket, before.keys, keys, now))
    if keys >= before.keys or now - before.at > DAY_S:
        return Size(keys, now)
    return before


def _still(before: Size, shrunk: Shrunk, keys: int, now: float) -> Size:
    over = now - shrunk.at > TOLD_S
    if over or keys > shrunk.before * LOST_SHARE:
        return Size(keys, now)
    return replace(before, shrunk=replace(shrunk, left=keys))


def _is_loss(before: int, keys: int) -> bool:
    lost = before - keys
    return lost > 0 and (not keys or (lost >= LOST_MIN and lost >= before * LOST_SHARE))
