"""The delete guard: how many visible objects may be hidden, and how fast.

`DeleteGuard` judges live replication, one delete at a time; `judged` what a single run (backfill,
sync without a daemon, repair) would hide. What a person decided counts in both.

Once it has tripped, it stays so until a person has decided about what it holds: an accident
on the source (a wrong script, a stolen key) must not run on in the far region overnight.
What it holds is in the state file, so that a daemon that starts anew holds it too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from farshore.core.plan import DeleteLimits, deletes_allowed
from farshore.core.words import counted
from farshore.journal.deletes import HeldDelete, WaitingDeletes

WINDOW_S = 3600.0
"""Deletes are counted over this long."""


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """At most `count` objects hidden per `WINDOW_S`, or `share` of the target's keys if more."""

    count: int = 100
    share: float = 0.1


class Hiding(NamedTuple):
    """The delete marker `version_id` of the source would hide what the target's clients read."""

    bucket: str
    key: str
    version_id: str


def judged(
    hiding: Sequence[Hiding],
    target_keys: int,
    limits: DeleteLimits,
    waiting: WaitingDeletes | None,
) -> dict[Hiding, str]:
    """Those that must wait, each with the reason; the others may be written.

    What was released passes, and what is held does not, whatever the limits say. While anything
    is held, the rest waits, too: an accident must not go on in small portions.
    """
    standing = waiting or WaitingDeletes()
    undecided = [h for h in hiding if not standing.is_decided(*h, "released")]
    held = [h for h in undecided if standing.is_held(*h)]
    why = dict.fromkeys(held, f"the delete guard holds this delete: {DECIDE}")
    rest = [h for h in undecided if h not in why]
    if count := standing.count("held"):
        said = f"the delete guard holds {counted(count, 'delete')} already: {DECIDE}"
    elif not deletes_allowed(len(rest), target_keys, limits):
        said = (
            f"{counted(len(rest), 'key')} would be hidden by delete markers on a target of "
            f"{target_keys:,}: if that is meant, `farshore backfill --deletes-free {len(rest)}`"
        )
    else:
        return why
    return why | dict.fromkeys(rest, said)


DECIDE = "look at `farshore deletes`, then release or discard"


class DeleteGuard:
    """Counts deletes in a sliding window. Time is an argument. Raises only `StateError`.

    `recent`: those of a guard before this one, and of this one, when they passed: Unix seconds.
    """

    def __init__(
        self,
        limits: GuardLimits,
        waiting: WaitingDeletes | None = None,
        recent: deque[float] | None = None,
    ) -> None:
        self._limits = limits
        self._recent: deque[float] = deque() if recent is None else recent
        self.waiting = waiting or WaitingDeletes()
        self._verdicts = self.waiting.verdicts()

    @property
    def tripped(self) -> bool:
        """Whether deletes wait for a person; until then none passes."""
        return self.waiting.any_held()

    def admit(self, delete: HeldDelete, target_keys: int) -> bool:
        """Whether this one may hide its object now, at its `held_at`; holds it if not."""
        waiting = self.waiting
        if waiting.is_decided(delete.bucket, delete.key, delete.version_id, "released"):
            return True
        self._look_up()
        self._slide(delete.held_at)
        limit = max(self._limits.count, int(self._limits.share * target_keys))
        if self.tripped or len(self._recent) >= limit:
            waiting.hold(delete)
            return False
        self._recent.append(delete.held_at)
        return True

    def _look_up(self) -> None:
        """A person has looked at the deletes: count anew from there."""
        verdicts = self.waiting.verdicts()
        if verdicts != self._verdicts:
            self._verdicts = verdicts
            self._recent.clear()

    def _slide(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - WINDOW_S:
            self._recent.popleft()
