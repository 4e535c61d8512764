"""What switches leave: fences, records that disagree, and what is still to be done."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.fenced import sentences
from farshore.core.verdict.snapshot import Objectives, Reason, Snapshot


def fences(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for name, text in sentences(s.fences, s.cannot_fence):
        yield Reason(name, "AT RISK", text)


def conflicts(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for text, remedy in s.conflicts:
        yield Reason("record-conflict", "AT RISK", f"{text.rstrip('.')}: {remedy}.")


def left_open(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for item in s.left_open:
        if item.level is not None:
            yield Reason(item.name, item.level, item.text)
