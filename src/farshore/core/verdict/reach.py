"""Do both sites answer, and can their times be compared?"""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.verdict.snapshot import Objectives, Reason, Snapshot
from farshore.core.words import at_text, duration_text

CLOCKS_APART_MAX_S = 30.0
"""Beyond this the times of the two sides cannot be compared."""


def reach(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    if s.target_answers is False:
        yield Reason(
            "target-silent",
            "NOT SAFE",
            f"{s.target} does not answer, so there is nowhere to switch to: "
            "see whether it is up, and the way to it.",
        )
    elif s.target_answers is None:
        yield Reason(
            "target-unasked",
            "AT RISK",
            f"Nobody has asked whether {s.target} answers: run `farshore status`.",
        )
    if s.source_answers is False:
        known = "" if s.watermark is None else f" after {at_text(s.watermark)}"
        yield Reason(
            "source-silent",
            "AT RISK",
            f"{s.source} does not answer, so what was written there{known} is unknown: "
            "bring it back, or decide to switch.",
        )
    elif s.source_answers is None:
        yield Reason(
            "source-unasked",
            "AT RISK",
            f"Nobody has asked whether {s.source} answers: run `farshore status`.",
        )


def clocks(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    apart = s.clocks_apart_s
    if apart is not None and abs(apart) > CLOCKS_APART_MAX_S:
        yield Reason(
            "clocks-apart",
            "AT RISK",
            f"The clocks of {s.source} and {s.target} are {duration_text(abs(apart))} apart, so "
            "their times cannot be compared: set them by NTP.",
        )
