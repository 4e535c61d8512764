"""Intents without a result: which of them a later entry has answered, and which are open. Pure.

    step of a run    a later result of the same step of the same run; the run's end
    abort of a run   a later abort of the same run
    any change of    a later change that was recorded: it was decided upon what stood then, so the
    the record       first one stood by then, or can never come

Who was killed between the two leaves an intent for ever: nothing is added to a log in another's
name. What came later says all the same how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from farshore.core.chain import Entry, Place

_RUN = r"\d{8}-\d{6}-[a-z]+-[a-z0-9-]+"
_BY_ACTION = re.compile(rf"({_RUN})\.")
_BY_WORDS = re.compile(rf"({_RUN}): ")


class Answer(NamedTuple):
    """What has answered an intent. `number`: of the later entry, 0: the run's own document."""

    number: int
    text: str


def run_of(entry: Entry) -> str:
    """The run that an entry is of, "" for none: `RUN.x`, or `step.x` and `abort` of `RUN: …`."""
    if found := _BY_ACTION.match(entry.draft.action):
        return found[1]
    if entry.draft.action.startswith("step.") or entry.draft.action == "abort":
        found = _BY_WORDS.match(entry.draft.what)
        return found[1] if found else ""
    return ""


def without_result(entries: Iterable[Entry]) -> list[Entry]:
    """Intents that have no result of their own, in order."""
    whole = list(entries)
    ended = {entry.draft.token for entry in whole if entry.draft.kind == "result"}
    return [e for e in whole if e.draft.kind == "intent" and e.draft.token not in ended]


def answered(
    entries: Iterable[Entry], over: Mapping[str, str] | None = None
) -> dict[Place, Answer]:
    """By the place of each intent that has no result of its own and is answered all the same.

    `entries`: all, in order. `over`: runs that are over, with how they ended.
    """
    whole = list(entries)
    found: dict[Place, Answer] = {}
    for intent in without_result(whole):
        later = (entry for entry in whole if entry.sequence > intent.sequence)
        answer = next(_answers(intent, later, over or {}), None)
        if answer is not None:
            found[intent.place] = answer
    return found


def _answers(intent: Entry, later: Iterable[Entry], over: Mapping[str, str]) -> Iterator[Answer]:
    run = run_of(intent)
    for entry in later:
        draft = entry.draft
        if draft.kind != "result":
            continue
        if run and run_of(entry) == run and draft.action == intent.draft.action:
            yield Answer(
                entry.sequence, f"{draft.outcome} at the next try, number {entry.sequence}"
            )
        if intent.draft.after is not None and draft.after is not None and draft.outcome == "ok":
            yield Answer(entry.sequence, _recorded(intent, entry))
    if run in over:
        yield Answer(0, f"{run} is over: {over[run]}")


def _recorded(intent: Entry, later: Entry) -> str:
    return f"number {later.sequence}, {later.draft.action}, was recorded after it"
