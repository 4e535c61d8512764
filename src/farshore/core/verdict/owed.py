"""What was not replicated, and waits for a person."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.verdict.snapshot import Objectives, Reason, Snapshot
from farshore.core.words import counted

OWED = ("FAILED", "CONFLICT", "UNSUPPORTED", "EXPIRED_BEFORE_REPLICATED")
"""Reasons that a person must look at: waiting does not mend them, and nobody chose them."""


def owed(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for reason in OWED:
        causes = s.owed.get(reason, {})
        count = sum(causes.values())
        if count:
            named = ", ".join(f"{cause} {n:,}" for cause, n in sorted(causes.items()))
            yield Reason(
                reason.lower().replace("_", "-"),
                "AT RISK",
                f"{counted(count, *_SAID[reason])} ({named}): {_REMEDY[reason]}.",
            )
    if s.deletes_held:
        yield Reason(
            "deletes-held",
            "AT RISK",
            f"The delete guard holds back {counted(s.deletes_held, 'delete')}: look with "
            "`farshore deletes`, then release or discard them.",
        )


_SAID = {
    "FAILED": ("version could not be copied", "versions could not be copied"),
    "CONFLICT": (
        "version waits because the target has entries of its own",
        "versions wait because the target has entries of its own",
    ),
    "UNSUPPORTED": (
        "version cannot be copied by anybody",
        "versions cannot be copied by anybody",
    ),
    "EXPIRED_BEFORE_REPLICATED": (
        "version was purged on the source before it was copied",
        "versions were purged on the source before they were copied",
    ),
}
_REMEDY = {
    "FAILED": "see `farshore backlog list --failed`, mend the cause, then `farshore backlog retry`",
    "CONFLICT": "see `farshore backlog list --failed`, and choose which side is right",
    "UNSUPPORTED": "see `farshore backlog list --failed`; exclude them by a rule if that is right",
    "EXPIRED_BEFORE_REPLICATED": "let the source's lifecycle keep versions longer than the lag",
}
