"""Lifecycle rules that outrun replication: what the store itself takes away, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

DAY_S = 86400.0


class LifecycleRule(NamedTuple):
    """One enabled rule, in days; 0: it has no such clause. `expires`: current versions get a
    marker after so many days (-1: at a date); `noncurrent`: older versions are purged.

    `id` is for people. `markers`: expired delete markers are removed.
    """

    id: str
    prefix: str = ""
    expires: int = 0
    noncurrent: int = 0
    markers: bool = False

    @property
    def where(self) -> str:
        below = f" below {self.prefix}" if self.prefix else ""
        return f'rule "{self.id}"{below}' if self.id else f"a rule{below}"


def outruns_at_source(rules: Sequence[LifecycleRule], patience_s: float) -> Iterator[str]:
    """What purges versions that may not have been copied, or verified, by then.

    `patience_s`: the longest that a version may wait for its copy and its proof.
    """
    for rule in rules:
        if rule.noncurrent and rule.noncurrent * DAY_S <= patience_s:
            yield (
                f"{rule.where} purges older versions after {rule.noncurrent} d, and they may wait "
                f"{patience_s / DAY_S:g} d for their proof"
            )


def outruns_at_target(rules: Sequence[LifecycleRule]) -> Iterator[str]:
    """What the target takes away by itself: there it ages from the copy, not from the origin."""
    for rule in rules:
        if rule.expires:
            when = "at a date" if rule.expires < 0 else f"after {rule.expires} d"
            yield f"{rule.where} expires replicas {when}"
        elif rule.noncurrent:
            yield f"{rule.where} purges older replicas after {rule.noncurrent} d"
        elif rule.markers:
            yield f"{rule.where} removes delete markers"
