"""Are we safe if the source goes down now? SAFE, AT RISK or NOT SAFE, each with reasons.

Judged from one immutable snapshot. What is not known is never SAFE. "Replicated" (the
watermark says so) and "verified" (both sides were read) are two things, and both are wanted.

    NOT SAFE   a switch now would lose more than the objective allows, or nobody can tell
    AT RISK    nothing is lost as far as we know, but something that keeps it so does not work
    SAFE       neither
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from farshore.core.checkup import Checkup
from farshore.core.fenced import FenceFact, Unfenceable, sentences
from farshore.core.rehearsed import told_by_checkup, told_by_drills
from farshore.core.shrinkage import Shrunk
from farshore.core.words import at_text as at_text
from farshore.core.words import counted
from farshore.core.words import duration_text as duration_text

Word = Literal["SAFE", "AT RISK", "NOT SAFE"]
Level = Literal["AT RISK", "NOT SAFE"]

REPORT_AGE_MAX_S = 30.0
"""A daemon that runs reports far more often than this."""

HEARTBEAT_AGE_MAX_S = 30.0
"""A feed that works brings a heartbeat far more often than this."""

CLOCKS_APART_MAX_S = 30.0
"""Beyond this the times of the two sides cannot be compared."""

NEAR_SHARE = 0.5
"""Exposure above this share of the objective is AT RISK already."""

OWED = ("FAILED", "CONFLICT", "UNSUPPORTED", "EXPIRED_BEFORE_REPLICATED")
"""Reasons that a person must look at: waiting does not mend them, and nobody chose them."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the pair must hold to be SAFE, in seconds.

    `drill_wanted`: the file says how old a drill may be, so that having none counts, too.
    """

    rpo_s: float = 60.0
    verify_max_age_s: float = 7 * 86400.0
    scan_max_age_s: float = 86400.0
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
    source's buckets that lost most of their keys, or keep no versions. `checkup`: what
    `farshore doctor` found last, None: it never ran, or its record cannot be had;
    `checkup_wanted`: a switch is configured, so somebody means to fail over. `drilled`: a drill
    was made once; `drilled_at`: when the last one ended that passed, None: none did.
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
    fences: tuple[FenceFact, ...] = ()
    cannot_fence: tuple[Unfenceable, ...] = ()
    checkup: Checkup | None = None
    checkup_wanted: bool = False
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


def judge(snapshot: Snapshot, objectives: Objectives) -> Verdict:
    """The verdict: as bad as its worst reason."""
    found = [r for check in CHECKS for r in check(snapshot, objectives)]
    found.sort(key=lambda reason: reason.level == "AT RISK")
    return Verdict(found[0].level if found else "SAFE", tuple(found))


def _reach(s: Snapshot, _: Objectives) -> Iterator[Reason]:
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


def _exposure(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    exposure = s.exposure_s
    if exposure is None:
        yield Reason(
            "nothing-known",
            "NOT SAFE",
            f"Nothing is known of what {s.target} has: start `farshore run`, or copy with "
            "`farshore backfill` and then `farshore verify`.",
        )
    elif exposure > o.rpo_s:
        yield Reason(
            "exposure",
            "NOT SAFE",
            f"{_loss(s, exposure)}, more than {o.rpo_s:g} s: {_why_late(s)}.",
        )
    elif exposure > o.rpo_s * NEAR_SHARE:
        yield Reason(
            "exposure",
            "AT RISK",
            f"{_loss(s, exposure)}, near the limit of {o.rpo_s:g} s: {_why_late(s)}.",
        )


def _loss(s: Snapshot, exposure: float) -> str:
    return f"Up to {duration_text(exposure)} of changes at {s.source} may not be on {s.target}"


def _why_late(s: Snapshot) -> str:
    """What to do about it, in words that say enough where this reason is told alone."""
    if s.target_answers is False or s.source_answers is False:
        return f"{s.target if s.target_answers is False else s.source} does not answer"
    if s.paused_by:
        return "go on with `farshore resume`"
    if s.stopped_at is not None or _silent(s):
        return "start `farshore run`"
    if s.unserved:
        return f"{_buckets(s.unserved)} not replicated, see below"
    if s.waiting:
        wait = counted(s.waiting, "key waits", "keys wait")
        return f"{wait}, see `farshore backlog list`"
    if s.feeds_late_s and s.exposure_s is not None and s.exposure_s < 2 * s.feeds_late_s:
        return (
            f"hints of these feeds may be {duration_text(s.feeds_late_s)} late, which counts as "
            "exposure: set objectives.rpo well above it, or use a feed that keeps the order"
        )
    return "wait for the scan under way, or see what else `farshore status` says"


def _silent(s: Snapshot) -> bool:
    return s.reported_at is None or s.now - s.reported_at > REPORT_AGE_MAX_S


def _daemon(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    if s.reported_at is None:
        yield Reason(
            "never-reported",
            "AT RISK",
            "`farshore run` has never reported for this pair: start it.",
        )
    elif s.stopped_at is not None:
        yield Reason(
            "daemon-stopped",
            "AT RISK",
            f"`farshore run` was stopped at {at_text(s.stopped_at)}, and nothing has been "
            "replicated since: start it again.",
        )
    elif _silent(s):
        yield Reason(
            "daemon-silent",
            "AT RISK",
            f"`farshore run` has not reported since {at_text(s.reported_at)}: "
            "see whether it runs, and its log.",
        )
    if s.other_scope:
        yield Reason(
            "other-scope",
            "AT RISK",
            "The `farshore run` that reports for this pair has other buckets or rules than "
            "farshore.toml: start it again if the file was changed; if it is another pair, give "
            "one of the two a [pair] name of its own.",
        )
    if s.paused_by:
        yield Reason(
            "paused",
            "AT RISK",
            f"Replication is paused by {s.paused_by}: go on with `farshore resume`.",
        )
    if s.heartbeat_age_s is not None and s.heartbeat_age_s > HEARTBEAT_AGE_MAX_S:
        yield Reason(
            "heartbeat-silent",
            "AT RISK",
            f"No heartbeat has come through for {duration_text(s.heartbeat_age_s)}, so changes "
            "are learnt from scans only: see to the feed (webhook, queue or filer).",
        )


def _feeds(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for feed, count in sorted(s.unread.items()):
        yield Reason(
            "unreadable",
            "AT RISK",
            f"{counted(count, 'message')} of {feed} could not be read or never came, so changes "
            "may be unknown until a scan has ended: wait for it, and see who sends them "
            "(docs/troubleshooting.md).",
        )
    for text in s.notices:
        yield Reason("notice", "AT RISK", text)
    if s.unheard:
        yield Reason(
            "bucket-unheard",
            "AT RISK",
            f"No heartbeat comes of {_names(s.unheard)}, so the pair's changes are counted from "
            f"scans only: let a feed tell of {_names(s.unheard)}, too.",
        )
    for sentence in s.vanished:
        yield Reason(
            "bucket-vanished",
            "AT RISK",
            f"{sentence}: bring it back; if it was meant to go, `farshore apply --forget BUCKET`.",
        )
    if s.unserved:
        yield Reason(
            "bucket-unserved",
            "AT RISK",
            f"{_buckets(s.unserved)} at {s.source} and of a pattern, but not replicated: run "
            f"`farshore apply`, which makes what is missing at {s.target}.",
        )


NAMES_MAX = 5


def _names(buckets: tuple[str, ...]) -> str:
    more = f" and {len(buckets) - NAMES_MAX:,} more" if len(buckets) > NAMES_MAX else ""
    return ", ".join(buckets[:NAMES_MAX]) + more


def _buckets(buckets: tuple[str, ...]) -> str:
    return f"Buckets {_names(buckets)} are" if len(buckets) > 1 else f"Bucket {buckets[0]} is"


def _scan(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    if s.scan_finished_at is None:
        yield Reason(
            "no-scan",
            "AT RISK",
            "No scan of everything has ended yet: wait for it, or run `farshore verify`.",
        )
        return
    age = s.now - s.scan_finished_at
    if age > o.scan_max_age_s:
        yield Reason(
            "scan-old",
            "AT RISK",
            f"The last scan of everything ended {duration_text(age)} ago, more than "
            f"{duration_text(o.scan_max_age_s)}: see why `farshore run` ends none.",
        )
    if s.scan_versions == 0:
        yield Reason(
            "nothing-seen",
            "AT RISK",
            f"The last scan saw nothing at all at {s.source}: see whether the buckets are the "
            "right ones, and have not been emptied.",
        )


def _fences(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for name, text in sentences(s.fences, s.cannot_fence):
        yield Reason(name, "AT RISK", text)


def _emptied(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for one in s.shrunk:
        yield Reason(
            "source-shrunk",
            "AT RISK",
            f"{s.source}/{one.bucket} has lost {one.lost_percent} % of its keys "
            f"({one.left:,} of {one.before:,} are left), seen at {at_text(one.at)}: was it "
            f"emptied, or made anew? {s.target} keeps everything; find out what happened there.",
        )
    if s.unversioned:
        yield Reason(
            "source-unversioned",
            "AT RISK",
            f"Versioning is off at {s.source} for {', '.join(s.unversioned)}, so what is "
            "overwritten there before it is copied is lost: run `farshore apply`.",
        )


def _verified(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    if s.verified_at is None:
        if s.target_answers is False:
            return  # its record stands there: whether there is one cannot be known
        yield Reason(
            "never-verified",
            "AT RISK",
            "What is replicated has never been verified: run `farshore verify`.",
        )
        return
    age = s.now - s.verified_at
    if s.differences:
        yield Reason(
            "differences",
            "NOT SAFE",
            f"The last verify, of {at_text(s.verified_at)}, found "
            f"{counted(s.differences, 'difference')}: "
            "run `farshore repair`, then `farshore verify`.",
        )
    if age > o.verify_max_age_s:
        yield Reason(
            "verify-old",
            "AT RISK",
            f"The last verify was {duration_text(age)} ago, more than "
            f"{duration_text(o.verify_max_age_s)}: run `farshore verify`.",
        )


def _owed(s: Snapshot, _: Objectives) -> Iterator[Reason]:
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


def _rehearsed(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    if s.target_answers is False:
        return  # there is nowhere to switch to, and the records stand there
    for told in told_by_checkup(s.checkup, s.target, s.now, wanted=s.checkup_wanted):
        yield Reason(*told)
    if s.drilled or o.drill_wanted:
        for told in told_by_drills(s.drilled_at, s.now, o.drill_max_age_s):
            yield Reason(*told)


def _clocks(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    apart = s.clocks_apart_s
    if apart is not None and abs(apart) > CLOCKS_APART_MAX_S:
        yield Reason(
            "clocks-apart",
            "AT RISK",
            f"The clocks of {s.source} and {s.target} are {duration_text(abs(apart))} apart, so "
            "their times cannot be compared: set them by NTP.",
        )


CHECKS: tuple[Callable[[Snapshot, Objectives], Iterator[Reason]], ...] = (
    _reach,
    _exposure,
    _verified,
    _owed,
    _daemon,
    _feeds,
    _scan,
    _emptied,
    _fences,
    _rehearsed,
    _clocks,
)
"""Every one looks at the whole snapshot; the order is that of the screen."""
