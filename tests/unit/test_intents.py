"""Intents that somebody was killed behind: what has answered them, and what is open."""

from __future__ import annotations

from typing import Any

import pytest

from farshore.core.chain import BEGINNING, Draft, Entry, follow
from farshore.core.intents import Answer, answered, run_of, without_result

RUN = "20260101-000000-switchover-west"
OTHER = "20260102-000000-failback-east"
RECORD = {"epoch": 3}


def draft(action: str, kind: str, what: str, token: str, **more: Any) -> Draft:
    return Draft(1.0, "anna", action, kind, what, token, **more)  # type: ignore[arg-type]  # literals


def begun(action: str, run: str = RUN, **more: Any) -> Draft:
    return draft(action, "intent", f"{run}: it", f"{action} {run} begun", **more)


def ended(action: str, run: str = RUN, outcome: str = "ok", **more: Any) -> Draft:
    what = f"{run}: {action}: {outcome}"
    return draft(action, "result", what, f"{action} {run} ended", outcome=outcome, **more)


def chain(*drafts: Draft) -> list[Entry]:
    entries: list[Entry] = []
    for one in drafts:
        entries.append(follow(entries[-1].head if entries else BEGINNING, "east", one))
    return entries


def opened(entries: list[Entry], over: dict[str, str] | None = None) -> list[int]:
    """Numbers of what is open."""
    found = answered(entries, over)
    return [one.sequence for one in without_result(entries) if one.place not in found]


@pytest.mark.parametrize("outcome", ["ok", "failed", "unknown"])
def test_a_step_that_was_killed_is_answered_when_it_ends_at_the_next_try(outcome: str) -> None:
    log = chain(begun("step.flip"), ended("step.flip", outcome=outcome))
    assert opened(log[:1]) == [1]
    assert opened(log) == []
    assert answered(log)[1, "east"] == Answer(2, f"{outcome} at the next try, number 2")


def test_another_step_or_another_run_answers_nothing() -> None:
    assert opened(chain(begun("step.flip"), ended("step.probe"))) == [1]
    assert opened(chain(begun("step.flip"), ended("step.flip", OTHER))) == [1]
    assert opened(chain(ended("step.flip"), begun("step.flip"))) == [2], "it came before"


def test_the_end_of_a_run_answers_all_of_it() -> None:
    log = chain(begun("step.flip"), begun(f"{RUN}.flip"), begun("step.flip", OTHER))
    assert opened(log, {RUN: "aborted"}) == [3]
    assert answered(log, {RUN: "aborted"})[1, "east"] == Answer(0, f"{RUN} is over: aborted")


def test_a_change_of_the_record_is_answered_by_the_next_one_that_was_recorded() -> None:
    lost = draft("fence", "intent", "fence: east", "t1", after=RECORD)
    assert opened(chain(lost)) == [1]
    refused = draft("thaw", "result", "no", "t2", outcome="refused")
    assert opened(chain(lost, refused)) == [1], "it recorded nothing"
    noted = draft("step.fence", "result", f"{RUN}: fence: ok", "t3", outcome="ok")
    assert opened(chain(lost, noted)) == [1], "it is no change of the record"
    recorded = draft("thaw", "result", "thaw", "t4", outcome="ok", after=RECORD)
    assert opened(chain(lost, recorded)) == []


def test_whose_run_an_entry_is() -> None:
    entries = chain(begun("step.flip"), begun(f"{RUN}.flip.done"), begun("abort"), begun("fence"))
    assert [run_of(entry) for entry in entries] == [RUN, RUN, RUN, ""]
