"""A run of a runbook as data: the plan, who agreed to it, what became of each step.

    planned ──approve──> approved ──begin──> running ──last step──> done
       └─decline─> declined           │  ├── a step failed  ──resume──> running
                                      │  ├── a step unknown ──resume──> running (it reads again)
                                      └──┴── abort ──> aborted

A run is a document, not a process: whoever has it can go on with it. Nothing here reads a
clock or a store. A step whose outcome stands is never done again; one that began and has no
outcome may have happened: it is looked at before it is done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, cast, get_args

from farshore.core.document import Fields, digest_of, moment_text
from farshore.core.loss import Loss, is_news, loss_json, loss_of
from farshore.errors import Refused, StateError

SCHEMA = 1
"""The form of runs that this farshore writes, and the highest that it reads."""

Verb = Literal["switchover", "failover", "failback", "rollback", "drill"]
Outcome = Literal["ok", "failed", "skipped", "unknown"]
State = Literal[
    "planned", "approved", "declined", "running", "failed", "unknown", "done", "aborted"
]

LAG_BUCKETS_S = (30.0, 60.0, 600.0, 3600.0)
"""An approval holds while the exposure stays in its range: it binds to what was shown. 30 s is
what preflight lets pass: below it, a report every few seconds moves nothing that matters."""

FLIP = "flip"
"""The step that moves clients, in every runbook."""

TEXT_MAX = 2000
"""Characters of a note or a reason: a run is one small document."""


class StepPlan(NamedTuple):
    """One step, before it is done. `id` is a stable word; `what` is one sentence."""

    id: str
    what: str


class Override(NamedTuple):
    """One safety rule that a person sets aside, and why."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the person who approves is shown. None means not known.

    `watermark`: Unix seconds; `missing_versions`, `missing_bytes`: at most this much of the
    source may be lost; `known_missing`: keys that are known to be missing, the first few.
    """

    exposure_s: float | None = None
    watermark: float | None = None
    missing_versions: int | None = None
    missing_bytes: int | None = None
    known_missing: tuple[str, ...] = ()

    @property
    def lag_bucket(self) -> str:
        """The range that the exposure is in: an approval holds within it."""
        if self.exposure_s is None:
            return "not known"
        above = [limit for limit in LAG_BUCKETS_S if self.exposure_s <= limit]
        return f"at most {above[0]:g} s" if above else f"more than {LAG_BUCKETS_S[-1]:g} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. `source` is left, `target` becomes primary.

    `epoch` and `switch`: what the control record and the switch must still show (the digest
    of the switch's own plan). `writes`: what becomes of clients' writes at the target.
    """

    verb: Verb
    pair: str
    source: str
    target: str
    epoch: int
    switch: str
    steps: tuple[StepPlan, ...]
    shown: Shown = Shown()
    writes: Literal["allow", "hold"] = "allow"
    overrides: tuple[Override, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def loss(self) -> str:
        """What may be lost, as an approval is bound to it: the range of the exposure, which
        moves while a person reads; for a failover the watermark, which stands still."""
        mark = self.shown.watermark
        if self.verb != "failover":
            return self.shown.lag_bucket
        return "not known" if mark is None else f"what came after {moment_text(mark)}"

    def as_agreed(self, fresh: Plan) -> Plan:
        """The plan as it is now, with what was agreed to in place of a smaller loss: a daemon
        that still copies moves the watermark while a person reads."""
        return replace(fresh, shown=self.shown) if self._loses_no_more(fresh.shown) else fresh

    def _loses_no_more(self, now: Shown) -> bool:
        """Whether what may be lost now is at most what was agreed to."""
        if self.verb == "failover":
            agreed, mark = self.shown.watermark, now.watermark
            return agreed is not None and mark is not None and mark >= agreed
        was, is_ = self.shown.exposure_s, now.exposure_s
        return was is not None and is_ is not None and is_ <= was

    @property
    def digest(self) -> str:
        """16 hex digits over everything that an approval is about."""
        return digest_of({**_plan_json(self), "shown": self.loss})[:16]


class Approval(NamedTuple):
    """A person's word. `digest`: the plan's, as it was shown. `at`: Unix seconds."""

    by: str
    at: float
    digest: str
    agreed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What became of a step. `outcome` is None while nobody knows more than that it began.

    `tries`: how often it was begun. `evidence`: what was read to confirm it.
    """

    id: str
    began_at: float
    ended_at: float = 0.0
    outcome: Outcome | None = None
    note: str = ""
    by: str = ""
    tries: int = 1
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stands(self) -> bool:
        """Done, or left out with a reason: never done again."""
        return self.outcome in ("ok", "skipped")


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `asked_by`, `asked_at`: who wanted it, when. `aborted`: why, "" while it goes on.

    `declared_at`: when the trouble was declared; the RTO counts from there. `two_persons`:
    whoever asked may not approve. `losses`: what was found afterwards, added after its end.
    """

    id: str
    plan: Plan
    asked_by: str
    asked_at: float
    declared_at: float
    two_persons: bool = False
    approval: Approval | None = None
    began_at: float = 0.0
    ended_at: float = 0.0
    aborted: str = ""
    steps: tuple[StepRecord, ...] = ()
    losses: tuple[Loss, ...] = ()

    # -- answers -------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the run stands; see the module's picture."""
        if self.aborted:
            return "aborted"
        if self.approval is None:
            return "planned"
        if not self.approval.agreed:
            return "declined"
        if not self.began_at:
            return "approved"
        following = self.next_step()
        if following is None:
            return "done"
        record = self.record_of(following.id)
        stopped = record.outcome if record else None
        return stopped if stopped in ("failed", "unknown") else "running"

    @property
    def is_open(self) -> bool:
        """Whether something can still be done in it: one pair has one such run at most."""
        return self.state not in ("declined", "done", "aborted")

    def record_of(self, step: str) -> StepRecord | None:
        """What became of a step, None where it was never begun."""
        return next((record for record in self.steps if record.id == step), None)

    def was_begun(self, step: str) -> bool:
        """Whether it may have had an effect."""
        return self.record_of(step) is not None

    @property
    def cut_over_at(self) -> float:
        """When clients had been sent over, Unix seconds; 0 where they were not."""
        flip = self.record_of(FLIP)
        return flip.ended_at if flip is not None and flip.outcome == "ok" else 0.0

    def next_step(self) -> StepPlan | None:
        """The first step without a standing outcome; None: all are done."""
        standing = {record.id for record in self.steps if record.stands}
        return next((step for step in self.plan.steps if step.id not in standing), None)

    # -- events --------------------------------------------------------------------

    def approved(self, approval: Approval) -> Run:
        """A person has agreed, or declined. `Refused` when it may not count."""
        if self.state != "planned":
            raise Refused(f"The run {self.id} is {self.state}: nothing is to be approved.")
        if approval.digest != self.plan.digest:
            raise Refused(
                f"What was approved ({approval.digest}) is not what would be done "
                f"({self.plan.digest}).",
                hint="Plan again, and look at what it shows.",
            )
        if self.two_persons and approval.by == self.asked_by:
            raise Refused(
                f"{approval.by} asked for this run and cannot approve it: two persons are wanted.",
                hint=f"Somebody else: farshore approve {self.id}",
            )
        return replace(self, approval=approval)

    def begun(self, now: float, fresh: Plan) -> Run:
        """The first step may be made. `fresh`: the plan as it would be made now."""
        if self.state != "approved":
            raise Refused(f"The run {self.id} is {self.state}; it begins once, when approved.")
        if self.plan.as_agreed(fresh).digest != self.plan.digest:
            raise Refused(
                f"Things have changed since the approval: {differences(self.plan, fresh)}.",
                hint="Plan again and have that approved: an approval is for what was shown.",
            )
        return replace(self, began_at=now)

    def step_begun(self, step: str, now: float, by: str) -> Run:
        """The intent, recorded before anything is done. A step is begun again after a kill."""
        wanted = self.next_step()
        if self.state in ("aborted", "declined", "planned", "approved") or wanted is None:
            raise Refused(f"The run {self.id} is {self.state}: no step can be made.")
        if wanted.id != step:
            raise Refused(f"The next step is {wanted.id}, not {step}.")
        before = self.record_of(step)
        if before is None:
            return replace(self, steps=(*self.steps, StepRecord(step, now, by=by)))
        again = replace(before, outcome=None, note="", by=by, tries=before.tries + 1)
        return self._with(again)

    def step_ended(
        self,
        step: str,
        outcome: Outcome,
        now: float,
        note: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> Run:
        """What became of the step that was begun last; once it stands, it stands."""
        record = self.record_of(step)
        if record is None or record.outcome is not None:
            raise Refused(f"The step {step} was not begun, or its outcome stands.")
        if outcome in ("skipped", "failed", "unknown") and not note:
            raise Refused(f"A step that is {outcome} needs a reason.")
        ended = replace(
            record,
            ended_at=now,
            outcome=outcome,
            note=note[:TEXT_MAX],
            evidence=dict(evidence or {}),
        )
        run = self._with(ended)
        return replace(run, ended_at=now) if run.next_step() is None else run

    def lapsed(self, steps: Collection[str], note: str) -> Run:
        """What these steps brought about holds no more (a freeze ends by itself): their outcome
        is taken back, and they are made again, in order."""
        if not self.is_open or not self.began_at:
            raise Refused(f"The run {self.id} is {self.state}: nothing can lapse.")
        kept = tuple(
            replace(record, outcome=None, note=note[:TEXT_MAX])
            if record.id in steps and record.stands
            else record
            for record in self.steps
        )
        return replace(self, steps=kept, ended_at=0.0)

    def abort(self, now: float, why: str) -> Run:
        """A person ends it where it stands."""
        if not self.is_open:
            raise Refused(f"The run {self.id} is {self.state} already.")
        if not why:
            raise Refused("An aborted run needs a reason.")
        return replace(self, aborted=why[:TEXT_MAX], ended_at=now)

    def found(self, loss: Loss) -> Run:
        """What a reading after its end has shown; itself where that is no news. `Refused` while
        it goes on, or where no client was moved."""
        if self.is_open or not self.cut_over_at or loss.at < self.cut_over_at:
            raise Refused(f"The run {self.id} is {self.state}: nothing can be found after it yet.")
        if not is_news(self.losses, loss):
            return self
        return replace(self, losses=(*self.losses, loss))

    def _with(self, record: StepRecord) -> Run:
        kept = tuple(record if other.id == record.id else other for other in self.steps)
        return replace(self, steps=kept)

    # -- documents -----------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The document, with its schema."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "plan": _plan_json(self.plan),
            "digest": self.plan.digest,
            "state": self.state,
            "asked_by": self.asked_by,
            "asked_at": moment_text(self.asked_at),
            "declared_at": moment_text(self.declared_at),
            "two_persons": self.two_persons,
            "approval": _approval_json(self.approval),
            "began_at": moment_text(self.began_at),
            "ended_at": moment_text(self.ended_at),
            "aborted": self.aborted,
            "steps": [_record_json(record) for record in self.steps],
            "losses": [loss_json(loss) for loss in self.losses],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any], what: str = "The run") -> Run:
        """What `to_json` wrote. `Corrupt` for anything else, `StateError` for a newer schema."""
        fields = Fields(dict(body), what)
        schema = fields.number("schema", least=1)
        if schema > SCHEMA:
            raise StateError(
                f"{what} was written by a newer farshore (schema {schema}; this one reads "
                f"{SCHEMA}).",
                hint="Use the newer farshore here too: pip install --upgrade farshore",
            )
        return cls(
            id=fields.text("id"),
            plan=_plan(fields.within("plan")),
            asked_by=fields.text("asked_by"),
            asked_at=fields.moment("asked_at"),
            declared_at=fields.moment("declared_at"),
            two_persons=fields.flag("two_persons"),
            approval=_approval(fields.within("approval")) if fields.has("approval") else None,
            began_at=fields.moment("began_at"),
            ended_at=fields.moment("ended_at"),
            aborted=fields.text("aborted"),
            steps=tuple(_record(item) for item in fields.items("steps")),
            losses=tuple(loss_of(item) for item in fields.items("losses"))
            if fields.has("losses")
            else (),
        )


def differences(one: Plan, other: Plan) -> str:
    """What differs between two plans, in words."""
    found = [
        f"{name} was {getattr(one, name)}, now {getattr(other, name)}"
        for name in ("verb", "source", "target", "epoch", "switch", "writes")
        if getattr(one, name) != getattr(other, name)
    ]
    if one.loss != other.loss:
        found.append(f"what may be lost was {one.loss}, now {other.loss}")
    if one.steps != other.steps:
        found.append("the steps are others")
    if (one.overrides, one.options) != (other.overrides, other.options):
        found.append("the overrides or options are others")
    return "; ".join(found) or "nothing that can be named"


# -- JSON ----------------------------------------------------------------------------


def _plan_json(plan: Plan) -> dict[str, Any]:
    shown = plan.shown
    return {
        "verb": plan.verb,
        "pair": plan.pair,
        "source": plan.source,
        "target": plan.target,
        "epoch": plan.epoch,
        "switch": plan.switch,
        "writes": plan.writes,
        "steps": [step._asdict() for step in plan.steps],
        "overrides": [override._asdict() for override in plan.overrides],
        "options": dict(plan.options),
        "shown": {
            "exposure_s": shown.exposure_s,
            "watermark": None if shown.watermark is None else moment_text(shown.watermark),
            "missing_versions": shown.missing_versions,
            "missing_bytes": shown.missing_bytes,
            "known_missing": list(shown.known_missing),
        },
    }


def _plan(fields: Fields) -> Plan:
    verb, writes = fields.text("verb"), fields.text("writes")
    if verb not in get_args(Verb):
        raise fields.wrong(f"there is no runbook {verb!r}")
    if writes not in ("allow", "hold"):
        raise fields.wrong(f"writes cannot be {writes!r}")
    return Plan(
        verb=cast(Verb, verb),
        pair=fields.text("pair"),
        source=fields.text("source"),
        target=fields.text("target"),
        epoch=fields.number("epoch"),
        switch=fields.text("switch"),
        steps=tuple(StepPlan(item.text("id"), item.text("what")) for item in fields.items("steps")),
        shown=_shown(fields.within("shown")),
        writes=cast(Literal["allow", "hold"], writes),
        overrides=tuple(
            Override(item.text("rule"), item.text("reason")) for item in fields.items("overrides")
        ),
        options=fields.texts("options"),
    )


def _shown(fields: Fields) -> Shown:
    return Shown(
        exposure_s=fields.decimal("exposure_s") if fields.has("exposure_s") else None,
        watermark=fields.moment("watermark") if fields.has("watermark") else None,
        missing_versions=_number_or_none(fields, "missing_versions"),
        missing_bytes=_number_or_none(fields, "missing_bytes"),
        known_missing=tuple(fields.words("known_missing")),
    )


def _number_or_none(fields: Fields, name: str) -> int | None:
    return fields.number(name) if fields.has(name) else None


def _approval_json(approval: Approval | None) -> dict[str, Any] | None:
    return None if approval is None else {**approval._asdict(), "at": moment_text(approval.at)}


def _approval(fields: Fields) -> Approval:
    return Approval(
        fields.text("by"),
        fields.moment("at"),
        fields.text("digest"),
        fields.flag("agreed"),
        fields.text("why"),
    )


def _record_json(record: StepRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "began_at": moment_text(record.began_at),
        "ended_at": moment_text(record.ended_at),
        "outcome": record.outcome,
        "note": record.note,
        "by": record.by,
        "tries": record.tries,
        "evidence": dict(record.evidence),
    }


def _record(fields: Fields) -> StepRecord:
    outcome = fields.text("outcome") if fields.has("outcome") else None
    if outcome is not None and outcome not in get_args(Outcome):
        raise fields.wrong(f"there is no outcome {outcome!r}")
    return StepRecord(
        id=fields.text("id"),
        began_at=fields.moment("began_at"),
        ended_at=fields.moment("ended_at"),
        outcome=cast(Outcome | None, outcome),
        note=fields.text("note"),
        by=fields.text("by"),
        tries=fields.number("tries", least=1),
        evidence=fields.object_or_none("evidence") or {},
    )
