"""What check-ups and drills mean for the verdict: (name, level, sentence) of each reason. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from farshore.core.checkup import Checkup, Wrong
from farshore.core.words import duration_text

JUDGED_FROM_NOW = frozenset({"sites", "clocks", "fence", "verify", "drill"})
"""Findings of a check-up that other reasons tell of, from what is known now."""

GRAVE = frozenset({"rights", "replicas", "presign", "versioning"})
"""Findings that make a switch useless when they are of the site to switch to."""

FINDINGS_MAX = 5


class Told(NamedTuple):
    """One reason; see `verdict.Reason`."""

    name: str
    level: Literal["AT RISK", "NOT SAFE"]
    text: str


def told_by_checkup(
    checkup: Checkup | None, target: str, now: float, age_max_s: float, *, wanted: bool
) -> Iterator[Told]:
    """`wanted`: somebody means to fail over, so that having no check-up counts. What was tried
    longer ago than `age_max_s` may have changed since."""
    if checkup is None:
        if wanted:
            yield Told(
                "doctor-never",
                "AT RISK",
                "Whether a failover would work was never checked: run `farshore doctor`.",
            )
        return
    age = max(now - checkup.at, 0.0)
    if age > age_max_s:
        yield Told(
            "doctor-old",
            "AT RISK",
            f"`farshore doctor` ran {duration_text(age)} ago, more than "
            f"{duration_text(age_max_s)}: run it again.",
        )
    wrong = [one for one in checkup.wrong if one.name not in JUDGED_FROM_NOW]
    wrong.sort(key=lambda one: not _is_grave(one, target))
    for one in wrong[:FINDINGS_MAX]:
        yield _finding(one, target, age)
    if len(wrong) > FINDINGS_MAX:
        count = len(wrong) - FINDINGS_MAX
        verb = "is" if count == 1 else "are"
        yield Told(
            "doctor-more", "AT RISK", f"{count:,} more {verb} not ok: run `farshore doctor`."
        )
    yield from _untold(checkup.unknown, wanted=wanted)


def _untold(unknown: tuple[str, ...], *, wanted: bool) -> Iterator[Told]:
    """What a check-up could not tell is not ok. "rights at west" is of the check `rights`. Of a
    switch it can tell nothing where none is wanted."""
    elsewhere = JUDGED_FROM_NOW if wanted else JUDGED_FROM_NOW | {"switch"}
    names = [name for name in unknown if name.split(" at ")[0] not in elsewhere]
    if names:
        shown = ", ".join(names[:FINDINGS_MAX])
        more = f" and {len(names) - FINDINGS_MAX:,} more" if len(names) > FINDINGS_MAX else ""
        text = f"`farshore doctor` could not tell of {shown}{more}: run it again, and see why."
        yield Told("doctor-unknown", "AT RISK", text)


def _is_grave(wrong: Wrong, target: str) -> bool:
    return wrong.name in GRAVE and wrong.site == target


def _finding(wrong: Wrong, target: str, age: float) -> Told:
    where = f" at {wrong.site}" if wrong.site else ""
    remedy = wrong.remedy.rstrip(".") or "See `farshore doctor`"
    return Told(
        f"doctor-{wrong.name}",
        "NOT SAFE" if _is_grave(wrong, target) else "AT RISK",
        f"{wrong.name}{where} was not ok {duration_text(age)} ago: {wrong.evidence.rstrip('.')}. "
        f"{remedy}; then run `farshore doctor`.",
    )


def told_by_drills(passed_at: float | None, now: float, age_max_s: float) -> Iterator[Told]:
    """`passed_at`: when the last drill that passed ended; None: none did."""
    remedy = "run `farshore drill --level isolated` on a quiet afternoon"
    if passed_at is None:
        yield Told("drill-never", "AT RISK", f"No drill has passed yet: {remedy}.")
    elif now - passed_at > age_max_s:
        age, limit = duration_text(now - passed_at), duration_text(age_max_s)
        text = f"The last drill that passed was {age} ago, more than {limit}: {remedy}."
        yield Told("drill-old", "AT RISK", text)
