"""A step of a runbook: it looks, acts, and looks again. What it finds is one of three.

look ──done──> ok        (somebody, or a killed run before us, has done it)
  │ └─not known──> unknown: stay where we are; a person looks
  └─to do──> act ──> look ──done──> ok, with the evidence of the second look
               │        ├── to do──> failed: it was done and does not show
               │        └── not known──> unknown
               ├── `StepFailed`, `Refused`, any other error before its effect: failed
               └── `StepUnknown`, `OutcomeUnknown`, `SwitchUnknown`: look; else unknown
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from farshore.errors import FarshoreError


class StepFailed(FarshoreError):
    """The step had no effect, or its effect was taken back. `evidence`: what it has found, for the
    run's record, as JSON values."""

    cause_word = "StepFailed"
    usual_hint = "Mend what it names, then `farshore resume RUN`; or `farshore abort RUN`."
    evidence: Mapping[str, Any] = MappingProxyType({})


class StepUnknown(FarshoreError):
    """The step may have had its effect. Nothing else is done until a person has looked."""

    exit_code = 6
    cause_word = "StepUnknown"
    usual_hint = "Look with `farshore status`, then `farshore resume RUN`: it looks first."


class Found(NamedTuple):
    """What a look shows. `done`: True, False, or None: it cannot be told.

    `note`: one sentence for the record. `evidence`: what was read, as JSON values.
    """

    done: bool | None
    note: str = ""
    evidence: Mapping[str, Any] = MappingProxyType({})


class Step(Protocol):
    """One step. All methods are bounded in time and may be called again after a kill."""

    @property
    def id(self) -> str:
        """A stable word, unique in its runbook."""
        ...

    @property
    def what(self) -> str:
        """One sentence for people, with real names in it."""
        ...

    @property
    def lapses(self) -> bool:
        """Whether what it brings about can end by itself (a freeze), so that it must be looked
        at again before a step that relies on it."""
        ...

    async def look(self) -> Found:
        """Whether the wanted state holds. Changes nothing. What cannot be read is None."""
        ...

    async def act(self) -> None:
        """Bring it about. `StepFailed` when it had no effect, `StepUnknown` when nobody can
        tell."""
        ...

    async def undo(self) -> None:
        """Take it back, before the point of no return; a step that has nothing to take back
        does nothing."""
        ...
