"""What a verdict is judged from, held against, and made of. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from farshore.core.aftermath import Open
from farshore.core.checkup import Checkup
from farshore.core.fenced import FenceFact, Unfenceable
from farshore.core.shrinkage import Shrunk

Word = Literal["SAFE", "AT RISK", "NOT SAFE"]
Level = Literal["AT RISK", "NOT SAFE"]


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the pair must hold to be SAFE, in seconds.

    `drill_wanted`: the file says how old a drill may be, so that having none counts, too.
    """

    rpo_s: float = 60.0
    verify_max_age_s: float = 7 * 86400.0
    scan_max_age_s: float = 86400.0
    doctor_max_age_s: float = 7 * 86400.0
    drill_max_age_s: float = 90 * 86400.0
    drill_wanted: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known at `now`. None means not known. Times are Unix seconds.

    `source_answers`, `target_answers`: asked just now, None: not asked. `watermark`: see
    `core.watermark`. `scan_finished_at` of the last complete scan, `scan_versions` what it
    saw on the source. `verified_at`: when the last verify of everything began, `differences`
    what it found, `verified_deep` whether it read the bytes. `reported_at`: when the daemon
    wrote last, None: never; `stopped_at`: when somebody stopped it, None: nobody has.
    `heartbeat_age_s`: None where no feed brings heartbeats; `unheard`: buckets of which none comes.
    `vanished`: a sentence for each bucket that was replicated and is gone from the source.
    `feeds_late_s`: by how much hints may be late. `unserved`: buckets that match a pattern and are
    not replicated. `unread`: messages by feed that may have told of a change that no scan has
    found yet. `notices`: what waits for a person.
    `other_scope`: it replicates other buckets, or by other rules, than the configuration says.
    `owed`: versions not replicated, by reason and cause. `paused_by`: "" when it runs.
    `clocks_apart_s`: the target's clock minus the source's. `shrunk`, `unversioned`: the
    source's buckets that lost most of their keys, or keep no versions; `target_unversioned`: the
    target's that keep none. `checkup`: what
    `farshore doctor` found last, None: it never ran, or its record cannot be had;
    `checkup_wanted`: a switch is configured, so somebody means to fail over. `drilled`: a drill
    was made once; `drilled_at`: when the last one ended that passed, None: none did.
    `verified_versions`: how many were compared then. `conflicts`: (a sentence, its remedy)
    for each control record that is not as it should be. `standstill`: what ends the phase, where
    nothing may be copied in it; "": it may. `left_open`: what a switch has left.
    """

    source: str
    target: str
    now: float
    source_answers: bool | None = None
    target_answers: bool | None = None
    watermark: float | None = None
    scan_finished_at: float | None = None
    scan_versions: int | None = None
    verified_at: float | None = None
    verified_deep: bool = False
    differences: int = 0
    reported_at: float | None = None
    stopped_at: float | None = None
    heartbeat_age_s: float | None = None
    feeds_late_s: float = 0.0
    unheard: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    waiting: int | None = None
    other_scope: bool = False
    owed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    deletes_held: int = 0
    paused_by: str = ""
    clocks_apart_s: float | None = None
    shrunk: tuple[Shrunk, ...] = ()
    unversioned: tuple[str, ...] = ()
    target_unversioned: tuple[str, ...] = ()
    fences: tuple[FenceFact, ...] = ()
    cannot_fence: tuple[Unfenceable, ...] = ()
    checkup: Checkup | None = None
    checkup_wanted: bool = False
    verified_versions: int | None = None
    conflicts: tuple[tuple[str, str], ...] = ()
    standstill: str = ""
    left_open: tuple[Open, ...] = ()
    drilled: bool = False
    drilled_at: float | None = None

    @property
    def exposure_s(self) -> float | None:
        """Seconds of changes that could be lost at most; None: not known."""
        return None if self.watermark is None else max(self.now - self.watermark, 0.0)


class Reason(NamedTuple):
    """One sentence, with what to do about it. `name` stays the same while numbers change."""

    name: str
    level: Level
    text: str


class Verdict(NamedTuple):
    """`reasons`: the worst first; none when SAFE."""

    word: Word
    reasons: tuple[Reason, ...]


Check = Callable[[Snapshot, Objectives], Iterator[Reason]]
"""One concern: it looks at the whole snapshot and says what is wrong."""
