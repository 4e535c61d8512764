"""From an alignment to steps: what would be written for one key, and what must not be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from farshore.core.align import Alignment
from farshore.core.model import History, Version
from farshore.core.words import counted

Reason = Literal[
    "PENDING",
    "FAILED",
    "UNSUPPORTED",
    "EXCLUDED",
    "CONFLICT",
    "EXPIRED_BEFORE_REPLICATED",
]
"""Why a version is not on the target (DESIGN, promise 3: no silence)."""


DELAYED_MARKER = "DelayedMarker"
DELETE_GUARD = "DeleteGuard"
"""Causes of PENDING deletes that wait on purpose: for their time, or for a person."""

LATE_WRITE = "LateWrite"
"""PENDING: all is there, and a write that was not answered may still arrive (`core.late`).
FAILED: one has arrived, and cannot be taken back."""


DISCARDED_DELETE = "DiscardedDelete"
"""Cause of EXCLUDED deletes: a person said that they are not to be replicated."""


def is_watched(reason: str, cause: str) -> bool:
    """Whether all is done, and the key is only looked at again for a late write."""
    return (reason, cause) == ("PENDING", LATE_WRITE)


def holds_back(reason: str, cause: str) -> bool:
    """Whether such work keeps the watermark back: some change that should be there is not.

    What can never be copied (UNSUPPORTED) and deletes that wait on purpose are told by
    counters of their own; they would freeze the exposure for ever. Where a key is looked at
    again for a late write, nothing is missing.
    """
    if is_watched(reason, cause):
        return False
    return reason != "UNSUPPORTED" and cause not in (DELAYED_MARKER, DELETE_GUARD)


class Copy(NamedTuple):
    """Append the replica of `version`, on top of `above` (None: the key is new there)."""

    version: Version
    above: Version | None


class Mark(NamedTuple):
    """Append a delete marker for the source's `version`, on top of `above`."""

    version: Version
    above: Version | None


Step = Copy | Mark


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What to do for one key: `steps` in order, or `refused` with its reason.

    `hides` is true when the plan ends by hiding an object that clients of the target
    can read now: the delete guard wants to know.
    """

    key: str
    steps: tuple[Step, ...] = ()
    refused: tuple[Version, ...] = ()
    reason: Reason | None = None
    explanation: str = ""
    hides: bool = False


def plan_key(key: str, alignment: Alignment, target: History) -> KeyPlan:
    """Append what is missing; refuse where the target has entries of its own on top."""
    if not alignment.missing:
        return KeyPlan(key)
    if alignment.conflict:
        return KeyPlan(
            key,
            refused=alignment.missing,
            reason="CONFLICT",
            explanation=_conflict(alignment),
        )
    steps = tuple(_steps(alignment.missing, target[0] if target else None))
    hides = bool(target) and not target[0].is_marker and alignment.missing[-1].is_marker
    return KeyPlan(key, steps=steps, hides=hides)


def _steps(missing: tuple[Version, ...], top: Version | None) -> list[Step]:
    steps: list[Step] = []
    for version in missing:
        steps.append(Mark(version, top) if version.is_marker else Copy(version, top))
        top = version
    return steps


def _conflict(alignment: Alignment) -> str:
    return (
        f"the target has {counted(len(alignment.foreign), 'entry', 'entries')} not of the "
        "source, above the last common one; newer of the source: "
        f"{counted(len(alignment.missing), 'entry', 'entries')}"
    )


@dataclass(frozen=True, slots=True)
class DeleteLimits:
    """How many visible objects one run may hide behind delete markers.

    Up to `count_free` are always allowed; beyond that, at most `share` (0..1) of the
    keys seen on the target.
    """

    count_free: int = 100
    share: float = 0.1


def deletes_allowed(hiding: int, target_keys: int, limits: DeleteLimits) -> bool:
    """Whether hiding this many of the target's keys is within the limits."""
    return hiding <= max(limits.count_free, limits.share * target_keys)
