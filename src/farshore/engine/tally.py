"""What a run has done so far: counters for the display, the report and the exit code."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from farshore.core.plan import Reason

EXAMPLES_MAX = 1000
"""Failures that are kept in full; beyond that they are only counted."""

CAUSES_MAX = 100
"""Different causes that are counted by name: some are words of a server, which may say any."""

OTHER_CAUSES = "others"
"""What causes beyond these are counted as."""

NOT_OWED: frozenset[Reason] = frozenset({"EXCLUDED", "EXPIRED_BEFORE_REPLICATED"})
"""Reasons for which the target is right not to have a version."""


@dataclass(frozen=True, slots=True)
class NotCopied:
    """One version that is not on the target, and why."""

    bucket: str
    key: str
    version_id: str
    reason: Reason
    cause: str
    explanation: str

    def to_json(self) -> dict[str, str]:
        """A flat object."""
        return asdict(self)


@dataclass(slots=True)
class Tally:
    """Counters of one run. `keys` were looked at, `in_step` of them needed nothing; `to_do`
    versions were found to be missing so far, and `listed` says that there are no more.
    `examples_max`: failures that are kept in full; none where nobody asks for them.
    """

    keys: int = 0
    target_keys: int = 0
    versions: int = 0
    in_step: int = 0
    to_do: int = 0
    copied: int = 0
    copied_bytes: int = 0
    markers: int = 0
    unstamped: int = 0
    stamped_by_tag: int = 0
    retries: int = 0
    gaps: int = 0
    listed: bool = False
    reasons: Counter[Reason] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    not_copied: list[NotCopied] = field(default_factory=list)
    examples_max: int = EXAMPLES_MAX

    @property
    def done(self) -> int:
        """Versions and markers that were written."""
        return self.copied + self.markers

    @property
    def failures(self) -> int:
        """Versions that should be on the target and are not."""
        return sum(n for reason, n in self.reasons.items() if reason not in NOT_OWED)

    def refuse(self, item: NotCopied) -> None:
        """Count a version that was not copied; keep the first ones in full."""
        self.reasons[item.reason] += 1
        known = item.cause in self.causes or len(self.causes) < CAUSES_MAX
        self.causes[item.cause if known else OTHER_CAUSES] += 1
        if len(self.not_copied) < self.examples_max:
            self.not_copied.append(item)

    def to_json(self) -> dict[str, object]:
        """A flat object, for `--json`."""
        return {
            "keys": self.keys,
            "versions": self.versions,
            "keys_in_step": self.in_step,
            "copied": self.copied,
            "copied_bytes": self.copied_bytes,
            "delete_markers": self.markers,
            "retries": self.retries,
            "gaps": self.gaps,
            "stamped_by_tag": self.stamped_by_tag,
            "unstamped": self.unstamped,
            "not_copied": dict(self.reasons),
            "causes": dict(self.causes),
        }
