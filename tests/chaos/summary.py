"""What came of a run: one document, and the same for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.chaos.ledger import Violation

VIOLATIONS_SHOWN_MAX = 20
PARTS = (
    "faults", "operations", "outcomes", "reports", "verdicts", "looks", "late writes", "commands",
    "roles", "checks", "compared", "farshore's own proofs", "violations",
)  # fmt: skip
"""Of the counts, in the order in which they are shown."""


class Result(NamedTuple):
    """`seconds`: how long faults went on; `lags`: sorted seconds; `highest`: of what was seen."""

    seed: int
    seconds: float
    began: str
    counts: Mapping[str, Mapping[str, int]]
    highest: Mapping[str, float]
    lags: Sequence[float]
    violations: Sequence[Violation]

    @property
    def violated(self) -> int:
        """How many, the ones that were not kept included."""
        return sum(self.counts.get("violations", {}).values())


def at_share(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of them lies; they are sorted, and there are some."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def lag(ordered: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the largest, in seconds; nothing of none."""
    if not ordered:
        return {}
    found = {"p50": at_share(ordered, 0.5), "p99": at_share(ordered, 0.99), "max": ordered[-1]}
    return {name: round(value, 3) for name, value in found.items()}


def document(result: Result) -> dict[str, Any]:
    """As it is written to a file."""
    return {
        "seed": result.seed,
        "seconds": result.seconds,
        "began": result.began,
        **{part: dict(result.counts.get(part, {})) for part in PARTS if part != "violations"},
        "highest": {name: round(value, 3) for name, value in sorted(result.highest.items())},
        "lag_s": {"count": len(result.lags), **lag(result.lags)},
        "violated": result.violated,
        "violations": [one._asdict() for one in result.violations],
    }


def lines(result: Result) -> list[str]:
    """For people."""
    told = [f"chaos, seed {result.seed}: {result.seconds / 60:g} minutes, from {result.began}"]
    for part in PARTS:
        found = result.counts.get(part, {})
        told.append(f"{part}: {sum(found.values())}")
        told += [f"  {count:6}  {kind}" for kind, count in sorted(found.items())]
    told.append("highest:")
    told += [f"  {value:10.3f}  {what}" for what, value in sorted(result.highest.items())]
    seen = ", ".join(f"{name} {value:g} s" for name, value in lag(result.lags).items()) or "none"
    told.append(f"lag of {len(result.lags)} versions and markers, faults and all: {seen}")
    told += [
        f"BROKEN at {one.at:.3f} s: {one.promise}: {one.where}: {one.what}"
        for one in result.violations[:VIOLATIONS_SHOWN_MAX]
    ]
    if result.violated > VIOLATIONS_SHOWN_MAX:
        told.append(f"… {result.violated - VIOLATIONS_SHOWN_MAX} more in the report")
    told.append(
        f"{result.violated} violations; the same schedule again: SEED={result.seed}"
        if result.violated
        else "no violation"
    )
    return told
