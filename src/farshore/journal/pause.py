"""A pause: a person's word that no work is to be taken, kept in the state file.

It outlives the daemon, and is given and taken back without asking it.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from farshore.errors import StateError
from farshore.journal.backlog import Backlog

CURSOR = "control/paused"


class Pause(NamedTuple):
    """Who paused, on which machine, when (Unix seconds, that machine's clock) and why."""

    by: str
    host: str
    at: float
    reason: str = ""

    @property
    def who(self) -> str:
        """For people: "anna on host1 (disk change)"."""
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.by} on {self.host}{why}"


def paused(backlog: Backlog) -> Pause | None:
    """The pause that holds; None: work is taken. `StateError`."""
    text = backlog.cursor(CURSOR)
    if not text:
        return None
    try:
        found = json.loads(text)
        return Pause(str(found["by"]), str(found["host"]), float(found["at"]), str(found["reason"]))
    except (ValueError, KeyError, TypeError):
        raise StateError(
            "The state file holds a pause that cannot be understood.",
            hint="Run `farshore resume`, and `farshore pause` again if it is still wanted.",
        ) from None


async def pause(backlog: Backlog, wanted: Pause) -> None:
    """From now on no work is taken. A pause that holds already is replaced."""
    await backlog.set_cursor(CURSOR, json.dumps(wanted._asdict()))


async def resume(backlog: Backlog) -> None:
    """Work is taken again. Nothing happens if it was not paused."""
    await backlog.set_cursor(CURSOR, "")
