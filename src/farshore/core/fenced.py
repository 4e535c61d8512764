"""What fences mean for the verdict: those that wait, those that nobody tried, those that are gone.

A fence that stands and bites is no risk. One that is wanted and does not hold is: clients may
write to a side that nobody copies from any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

NAMES_MAX = 5
"""More buckets are counted, not named."""


class FenceFact(NamedTuple):
    """One site's fence. `state`: as recorded, see `core.record.Fence`. `gone`: buckets in which
    it is recorded to stand and does not; what could not be looked at is not in it."""

    site: str
    state: str
    by: str
    why: str
    at: float
    gone: tuple[str, ...] = ()


class Unfenceable(NamedTuple):
    """A site whose storage cannot be made to refuse clients' writes, as far as was seen."""

    site: str
    why: str


def sentences(
    fences: Sequence[FenceFact], cannot: Sequence[Unfenceable]
) -> Iterator[tuple[str, str]]:
    """(stable name, what is wrong and what to do) of everything that is a risk."""
    for fence in fences:
        yield from _of(fence)
    for one in cannot:
        yield (
            "cannot-fence",
            f"{one.site} cannot be fenced, so clients could go on writing there after a switch: "
            f"{one.why}",
        )


def _of(fence: FenceFact) -> Iterator[tuple[str, str]]:
    site = fence.site
    if fence.state == "pending":
        yield (
            "fence-pending",
            f"{site} is to be fenced (by {fence.by}: {fence.why}) and is not: keep clients away "
            "from it; `farshore run` does it the moment it answers.",
        )
    elif fence.state == "unproved":
        yield (
            "fence-unproved",
            f"Nobody could try whether the fence of {site} bites: give the app's keys "
            f"([sites.{site}.credentials] app), then `farshore fence {site}` again.",
        )
    if fence.gone:
        yield (
            "fence-gone",
            f"{site} is recorded as fenced (by {fence.by}), and {_named(fence.gone)} there has "
            f"no fence any more: `farshore fence {site}` puts it up again, `farshore unfence "
            f"{site}` takes it off the record.",
        )


def _named(buckets: Sequence[str]) -> str:
    if len(buckets) <= NAMES_MAX:
        return ", ".join(buckets)
    return f"{len(buckets):,} buckets"
