"""A drill as data: what was supposed, what was done and how long it took, what was found.

    begun ──step, step, …──> ended: passed, or not and why ──findings──> closed, one by one

Nothing here reads a clock or a store. A drill passes when it came to its end, nobody called it
off, and every step of it was made, or left out with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, cast, get_args

from farshore.core.document import Fields, moment_text
from farshore.core.loss import summed
from farshore.core.runbook import TEXT_MAX, Outcome, Run
from farshore.errors import Refused, StateError, UsageError

SCHEMA = 1
"""The form of drills that this farshore writes, and the highest that it reads."""

Level = Literal["plan", "isolated", "live"]
LEVELS: tuple[Level, ...] = get_args(Level)

Measure = Literal["frozen_s", "failed_probes", "outage_s", "drill_s"]

MEASURES: dict[Measure, str] = {
    "frozen_s": "seconds that clients' writes were frozen",
    "failed_probes": "requests of the probing client that failed",
    "outage_s": "seconds in which none of its requests ended well",
    "drill_s": "seconds since the drill began",
}
"""What a drill can be called off for."""

VERIFYING = frozenset({"probe", "front"})
"""Steps of runbooks that prove and change nothing: their time is the RTO's verify."""

FINDINGS_MAX = 200
"""A drill with more to say is a project."""


class AbortIf(NamedTuple):
    """Call the drill off when `measure` is above `limit`."""

    measure: Measure
    limit: float

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        return f"{self.measure}>{self.limit:g}"


def abort_if(text: str) -> AbortIf:
    """`frozen_s>3` as a value. `UsageError` for anything else."""
    name, _, limit = text.partition(">")
    try:
        value = float(limit)
    except ValueError:
        value = -1.0
    measure = next((known for known in MEASURES if known == name.strip()), None)
    if measure is None or not 0 <= value < float("inf"):
        raise UsageError(
            f"--abort-if {text} cannot be understood.",
            hint=f"Write MEASURE>NUMBER; the measures: {', '.join(MEASURES)}.",
        )
    return AbortIf(measure, value)


def exceeded(criteria: tuple[AbortIf, ...], seen: Mapping[Measure, float]) -> str:
    """The first criterion that is met, in words; "" for none. What was not measured meets none."""
    for one in criteria:
        if seen.get(one.measure, 0.0) > one.limit:
            return f"{MEASURES[one.measure]}: {seen[one.measure]:.3g}, more than {one.limit:g}"
    return ""


@dataclass(frozen=True, slots=True)
class DrillStep:
    """One step that was made. Times are Unix seconds; `group`: the run that it belongs to, ""."""

    id: str
    what: str
    began_at: float
    ended_at: float
    outcome: Outcome
    note: str = ""
    group: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(self.ended_at - self.began_at, 0.0)

    @property
    def stands(self) -> bool:
        """Made, or left out with a reason."""
        return self.outcome in ("ok", "skipped")


class Rto(NamedTuple):
    """From the declaration to clients that work again, in seconds.

    `detect`: until somebody asked for the run; `decide`: until it was approved; `act`: the
    steps that change something; `verify`: those that prove that clients work.
    """

    detect_s: float
    decide_s: float
    act_s: float
    verify_s: float

    @property
    def total_s(self) -> float:
        return self.detect_s + self.decide_s + self.act_s + self.verify_s


class Rpo(NamedTuple):
    """Seconds of changes that may be lost: the objective, what the approver was shown, what was
    found afterwards; None: not known. `found_versions`, `found_bytes`: what was found missing;
    `found_by`: who found it out, how and when."""

    promised_s: float
    shown_s: float | None = None
    found_s: float | None = None
    found_versions: int | None = None
    found_bytes: int | None = None
    found_by: str = ""


class Client(NamedTuple):
    """What the probing client saw. `waited`: requests that a freeze asked to come again;
    `failed`: those that failed otherwise. `outage_s`: the longest time without a good answer."""

    requests: int = 0
    waited: int = 0
    failed: int = 0
    outage_s: float = 0.0
    slowest_s: float = 0.0


class Note(NamedTuple):
    """A finding: something to be done, and who does it. `closed_at` 0: it is open."""

    number: int
    text: str
    owner: str
    by: str
    at: float
    closed_at: float = 0.0
    closed_by: str = ""


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill. `source` was primary when it began. `aborted`: why it was called off, "".

    `actors`: role ("asked", "approved") to who. `runs`: ids of the runs that it made.
    `rto`, `rpo`, `client` are None where nothing was measured.
    """

    id: str
    level: Level
    pair: str
    source: str
    target: str
    began_at: float
    why: str
    hypothesis: str = ""
    criteria: tuple[AbortIf, ...] = ()
    actors: Mapping[str, str] = field(default_factory=dict)
    ended_at: float = 0.0
    aborted: str = ""
    steps: tuple[DrillStep, ...] = ()
    runs: tuple[str, ...] = ()
    rto: Rto | None = None
    rpo: Rpo | None = None
    client: Client | None = None
    findings: tuple[Note, ...] = ()

    @property
    def passed(self) -> bool:
        """It came to its end, and nothing of it failed."""
        well = all(step.stands for step in self.steps) and bool(self.steps)
        return bool(self.ended_at) and not self.aborted and well

    @property
    def verdict(self) -> str:
        """One word: passed, failed, aborted, or unfinished."""
        if self.aborted:
            return "aborted"
        if not self.ended_at:
            return "unfinished"
        return "passed" if self.passed else "failed"

    @property
    def open_findings(self) -> tuple[Note, ...]:
        return tuple(note for note in self.findings if not note.closed_at)

    # -- events --------------------------------------------------------------------

    def stepped(self, *steps: DrillStep) -> Drill:
        """More steps were made."""
        return replace(self, steps=(*self.steps, *steps))

    def ended(self, now: float, aborted: str = "") -> Drill:
        """It is over. `aborted`: why it was called off."""
        return replace(self, ended_at=now, aborted=(aborted or self.aborted)[:TEXT_MAX])

    def noted(self, text: str, owner: str, by: str, now: float) -> Drill:
        """Something was found, and somebody owns it."""
        if not text.strip() or not owner.strip():
            raise UsageError("A finding needs a text and an owner.", hint="--add TEXT --owner WHO")
        if len(self.findings) >= FINDINGS_MAX:
            raise Refused(f"{self.id} has {FINDINGS_MAX} findings already.")
        note = Note(len(self.findings) + 1, text.strip()[:TEXT_MAX], owner.strip(), by, now)
        return replace(self, findings=(*self.findings, note))

    def closed(self, number: int, by: str, now: float) -> Drill:
        """A finding was dealt with. `UsageError` for one that there is not."""
        found = next((note for note in self.findings if note.number == number), None)
        if found is None:
            known = ", ".join(str(note.number) for note in self.findings) or "none"
            raise UsageError(f"{self.id} has no finding {number}.", hint=f"Its findings: {known}.")
        if found.closed_at:
            raise Refused(f"{found.closed_by} closed the finding {number} already.")
        done = found._replace(closed_at=now, closed_by=by)
        kept = tuple(done if note.number == number else note for note in self.findings)
        return replace(self, findings=kept)

    # -- documents -----------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The document, with its schema; what readiness asks for stands at its top."""
        return {
            "schema": SCHEMA,
            "level": self.level,
            "passed": self.passed,
            "started_at": moment_text(self.began_at),
            "ended_at": _moment(self.ended_at),
            "id": self.id,
            "verdict": self.verdict,
            "pair": self.pair,
            "source": self.source,
            "target": self.target,
            "why": self.why,
            "hypothesis": self.hypothesis,
            "abort_if": [one.text for one in self.criteria],
            "aborted": self.aborted,
            "actors": dict(self.actors),
            "runs": list(self.runs),
            "rto": rto_json(self.rto),
            "rpo": self.rpo._asdict() if self.rpo else None,
            "client": self.client._asdict() if self.client else None,
            "steps": [_step_json(step) for step in self.steps],
            "findings": [_note_json(note) for note in self.findings],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any], what: str = "The drill") -> Drill:
        """What `to_json` wrote. `Corrupt` for anything else, `StateError` for a newer schema."""
        fields = Fields(dict(body), what)
        if fields.number("schema", least=1) > SCHEMA:
            raise StateError(
                f"{what} was written by a newer farshore.",
                hint="Use the newer farshore here too: pip install --upgrade farshore",
            )
        level = fields.text("level")
        if level not in LEVELS:
            raise fields.wrong(f"there is no level {level!r}")
        try:
            criteria = tuple(abort_if(text) for text in fields.words("abort_if"))
        except UsageError as error:
            raise fields.wrong(error.message) from None
        return cls(
            id=fields.text("id"),
            level=level,
            pair=fields.text("pair"),
            source=fields.text("source"),
            target=fields.text("target"),
            began_at=fields.moment("started_at"),
            why=fields.text("why"),
            hypothesis=fields.text("hypothesis"),
            criteria=criteria,
            actors=fields.texts("actors"),
            ended_at=fields.moment("ended_at") if fields.has("ended_at") else 0.0,
            aborted=fields.text("aborted"),
            steps=tuple(_step(item) for item in fields.items("steps")),
            runs=tuple(fields.words("runs")),
            rto=_rto(fields.within("rto")) if fields.has("rto") else None,
            rpo=_rpo(fields.within("rpo")) if fields.has("rpo") else None,
            client=_client(fields.within("client")) if fields.has("client") else None,
            findings=tuple(_note(item) for item in fields.items("findings")),
        )


# -- what runs tell ------------------------------------------------------------------


def rto_of(run: Run) -> Rto | None:
    """The time to recovery of a run that is over; None where nothing was begun."""
    if run.approval is None or not run.ended_at or not run.steps:
        return None
    proving = sum(max(s.ended_at - s.began_at, 0.0) for s in run.steps if s.id in VERIFYING)
    return Rto(
        max(run.asked_at - run.declared_at, 0.0),
        max(run.approval.at - run.asked_at, 0.0),
        max(run.ended_at - run.approval.at - proving, 0.0),
        proving,
    )


def rpo_of(run: Run, promised_s: float) -> Rpo:
    """What may be lost, as the run has it. What was found afterwards counts; without, a
    switchover that has caught up has lost nothing."""
    shown_s, found = run.plan.shown.exposure_s, summed(run.losses)
    if found is not None:
        oldest, worst = found.oldest_at, found.worst
        lost_s = 0.0 if oldest is None else max(run.cut_over_at - oldest, 0.0)
        return Rpo(promised_s, shown_s, lost_s, worst.total, found.bytes, worst.source)
    caught = run.record_of("catch_up")
    if caught is None or caught.outcome != "ok":
        return Rpo(promised_s, shown_s)
    return Rpo(promised_s, shown_s, 0.0, 0, 0, "the run itself, before the flip")


def rpo_after(known: Rpo | None, runs: Sequence[Run]) -> Rpo | None:
    """A drill's RPO with what was found after its runs: the worst of them."""
    if known is None:
        return None
    later = [rpo_of(run, known.promised_s) for run in runs if run.losses]
    worst = max(later, key=lambda rpo: (rpo.found_versions or 0, rpo.found_s or 0.0), default=None)
    if worst is None or (worst.found_versions or 0) < (known.found_versions or 0):
        return known
    return worst._replace(shown_s=known.shown_s)


def frozen_s(run: Run, now: float) -> float:
    """For how long clients' writes were frozen, or have been until `now`; 0 without a freeze."""
    freeze, thaw = run.record_of("freeze"), run.record_of("thaw")
    if freeze is None:
        return 0.0
    over = thaw.ended_at if thaw is not None and thaw.ended_at else run.ended_at or now
    return max(over - freeze.began_at, 0.0)


def steps_of(run: Run) -> tuple[DrillStep, ...]:
    """The run's steps as steps of a drill."""
    whats = {step.id: step.what for step in run.plan.steps}
    return tuple(
        DrillStep(
            record.id,
            whats.get(record.id, record.id),
            record.began_at,
            max(record.ended_at, record.began_at),
            record.outcome or "unknown",
            record.note,
            run.plan.verb,
            record.evidence,
        )
        for record in run.steps
    )


# -- JSON ----------------------------------------------------------------------------


def _moment(seconds: float) -> str | None:
    return moment_text(seconds) if seconds else None


def rto_json(rto: Rto | None) -> dict[str, float] | None:
    """The four parts and their sum, to the millisecond."""
    if rto is None:
        return None
    return {name: round(s, 3) for name, s in (*rto._asdict().items(), ("total_s", rto.total_s))}


def _step_json(step: DrillStep) -> dict[str, Any]:
    return {
        "id": step.id,
        "what": step.what,
        "group": step.group,
        "began_at": moment_text(step.began_at),
        "ended_at": moment_text(step.ended_at),
        "seconds": round(step.seconds, 3),
        "outcome": step.outcome,
        "note": step.note,
        "evidence": dict(step.evidence),
    }


def _step(fields: Fields) -> DrillStep:
    outcome = fields.text("outcome")
    if outcome not in get_args(Outcome):
        raise fields.wrong(f"there is no outcome {outcome!r}")
    return DrillStep(
        fields.text("id"),
        fields.text("what"),
        fields.moment("began_at"),
        fields.moment("ended_at"),
        cast(Outcome, outcome),
        fields.text("note"),
        fields.text("group"),
        fields.object_or_none("evidence") or {},
    )


def _note_json(note: Note) -> dict[str, Any]:
    return {
        **note._asdict(),
        "at": moment_text(note.at),
        "closed_at": _moment(note.closed_at),
    }


def _note(fields: Fields) -> Note:
    return Note(
        fields.number("number", least=1),
        fields.text("text"),
        fields.text("owner"),
        fields.text("by"),
        fields.moment("at"),
        fields.moment("closed_at") if fields.has("closed_at") else 0.0,
        fields.text("closed_by"),
    )


def _rto(fields: Fields) -> Rto:
    return Rto(*(fields.decimal(name) for name in Rto._fields))


def _rpo(fields: Fields) -> Rpo:
    shown = fields.decimal("shown_s") if fields.has("shown_s") else None
    found = fields.decimal("found_s") if fields.has("found_s") else None
    versions = fields.number("found_versions") if fields.has("found_versions") else None
    size = fields.number("found_bytes") if fields.has("found_bytes") else None
    by = fields.text("found_by") if fields.has("found_by") else ""
    return Rpo(fields.decimal("promised_s"), shown, found, versions, size, by)


def _client(fields: Fields) -> Client:
    return Client(
        fields.number("requests"),
        fields.number("waited"),
        fields.number("failed"),
        fields.decimal("outage_s"),
        fields.decimal("slowest_s"),
    )
