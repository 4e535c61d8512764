"""What a switch left behind at the old primary, as it was found afterwards. Pure.

    flip ──> the old side answers again ──> both sides are read ──> a finding, added to the run

A finding says who read, when and how. It is added to the run that moved the clients; of what
stands in that run nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from farshore.core.document import Fields, moment_text
from farshore.core.model import Version
from farshore.core.words import at_text, counted

FINDINGS_MAX = 100
"""Only a reading that finds more than all before is added: so many are none of one switch."""


class Loss(NamedTuple):
    """What one reading of both sites found: versions and delete markers of the site that was left
    which the new primary never got.

    `at`: when the reading began, Unix seconds. `how`: the command that read. `compared`: versions
    and markers of the new primary that were read beside them, None: not counted. `oldest_at`:
    when the oldest one was written, None without any. `decided`: those about which a person had
    decided before; they are counted, and not read again.
    """

    at: float
    by: str
    how: str
    versions: int
    bytes: int = 0
    oldest_at: float | None = None
    compared: int | None = None
    decided: int = 0

    @property
    def total(self) -> int:
        """All that were found, by this reading or before it."""
        return self.versions + self.decided

    @property
    def source(self) -> str:
        """Who found it out, for people."""
        read = "" if self.compared is None else f", {counted(self.compared, 'version')} compared"
        return f"{self.how} by {self.by} at {at_text(self.at)}{read}"

    @property
    def text(self) -> str:
        """One sentence."""
        if not self.total:
            return f"0 versions were left behind ({self.source})"
        oldest = "" if self.oldest_at is None else f", the oldest of {at_text(self.oldest_at)}"
        found = f"{counted(self.total, 'version')}, {counted(self.bytes, 'byte')}{oldest}"
        return f"{found} ({self.source})"


class Found(NamedTuple):
    """All findings of one run as one. `worst`: the reading that found the most."""

    worst: Loss
    bytes: int
    oldest_at: float | None


def summed(losses: Sequence[Loss]) -> Found | None:
    """None where nobody has looked yet. What was decided about is read no more: bytes and times
    are those of the reading that still saw it."""
    if not losses:
        return None
    times = [loss.oldest_at for loss in losses if loss.oldest_at is not None]
    worst = max(losses, key=lambda loss: loss.total)
    return Found(worst, max(loss.bytes for loss in losses), min(times, default=None))


def is_news(losses: Sequence[Loss], loss: Loss) -> bool:
    """Whether it is the first, or finds more than all before."""
    return not losses or (
        loss.total > max(known.total for known in losses) and len(losses) < FINDINGS_MAX
    )


def of_versions(
    versions: Iterable[Version],
    *,
    at: float,
    by: str,
    how: str,
    ahead_s: float = 0.0,
    compared: int | None = None,
    decided: int = 0,
) -> Loss:
    """The finding of a reading. `ahead_s`: the clock of the site that was left minus ours."""
    found = list(versions)
    times = [when - ahead_s for one in found if (when := _seconds(one.modified)) is not None]
    size = sum(one.size for one in found)
    return Loss(at, by, how, len(found), size, min(times, default=None), compared, decided)


def _seconds(modified: str) -> float | None:
    """Unix seconds of a listing's LastModified; None for one that is no time."""
    try:
        moment = datetime.fromisoformat(modified)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def loss_json(loss: Loss) -> dict[str, Any]:
    """The document of one finding."""
    oldest = None if loss.oldest_at is None else moment_text(loss.oldest_at)
    return {**loss._asdict(), "at": moment_text(loss.at), "oldest_at": oldest}


def loss_of(fields: Fields) -> Loss:
    """What `loss_json` made. Raises as `Fields` do."""
    return Loss(
        fields.moment("at"),
        fields.text("by"),
        fields.text("how"),
        fields.number("versions"),
        fields.number("bytes"),
        fields.moment("oldest_at") if fields.has("oldest_at") else None,
        fields.number("compared") if fields.has("compared") else None,
        fields.number("decided"),
    )
