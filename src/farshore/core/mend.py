"""From differences to actions that mend them: shown first, then performed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from farshore.core.difference import Difference, Kind

Action = Literal[
    "append",  # copy what is missing on top
    "tag",  # set the target's tags as the source has them
    "lock",  # set retention and legal hold as the source has them
    "unhide",  # purge a delete marker that the source does not have
    "drop-double",  # purge a replica that stands twice
    "rebuild-tail",  # purge the replicas from the wrong one upwards, and copy them again
    "leave",  # a person must decide
]

ORDER: tuple[Action, ...] = (
    "drop-double",
    "unhide",
    "rebuild-tail",
    "append",
    "tag",
    "lock",
    "leave",
)
"""Purges first, then appends: so that what is appended stands on the right entry."""

_REMEDY: dict[Kind, Action] = {
    "missing": "append",
    "tags": "tag",
    "lock": "lock",
    "foreign-marker": "unhide",
    "doubled": "drop-double",
    "gap": "rebuild-tail",
    "disordered": "rebuild-tail",
    "differs": "rebuild-tail",
    "bytes": "rebuild-tail",
    "headers": "rebuild-tail",
    "metadata": "rebuild-tail",
    "encryption": "rebuild-tail",
    "held": "leave",
    "foreign": "leave",
    "unreadable": "leave",
}

_WHY: dict[Action, str] = {
    "append": "copy the version to the target",
    "tag": "set the tags that the source has",
    "lock": "set the retention and legal hold that the source has",
    "unhide": "remove a delete marker that the source does not have",
    "drop-double": "remove a replica that stands twice",
    "rebuild-tail": "remove the replicas from this one upwards and copy them again",
    "leave": "nothing: a person must decide",
}


@dataclass(frozen=True, slots=True)
class Mending:
    """One action for one difference. `allowed` is false where a flag must be given first."""

    action: Action
    difference: Difference
    allowed: bool

    @property
    def why(self) -> str:
        """The action in plain words."""
        return _WHY[self.action]


def plan_mending(differences: Iterable[Difference], *, rebuild_tail: bool) -> list[Mending]:
    """What would mend each difference, purges first, keys in order.

    Rebuilding purges good replicas above the wrong one too, so it is done only when it
    was asked for by name.
    """
    found = [
        Mending(action, d, action != "leave" and (action != "rebuild-tail" or rebuild_tail))
        for d in differences
        for action in (_REMEDY[d.kind],)
    ]
    return sorted(found, key=lambda m: (m.difference.bucket, m.difference.key, _rank(m)))


def _rank(mending: Mending) -> int:
    return ORDER.index(mending.action)
