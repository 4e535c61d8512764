"""What a report says, whichever form it has: of a drill, or of a run of a runbook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farshore.core.document import moment_text
from farshore.core.drill import (
    Client,
    Drill,
    DrillStep,
    Note,
    Rpo,
    Rto,
    rpo_after,
    rpo_of,
    rto_json,
    rto_of,
    steps_of,
)
from farshore.core.loss import loss_json
from farshore.core.runbook import Run
from farshore.core.words import counted

NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Account:
    """`facts` and `measures`: (name, value), for people. `good` is None while nobody can tell.

    `document`: the JSON form, whole.
    """

    title: str
    verdict: str
    good: bool | None
    facts: tuple[tuple[str, str], ...]
    measures: tuple[tuple[str, str], ...]
    steps: tuple[DrillStep, ...]
    findings: tuple[Note, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


def of_drill(drill: Drill, runs: Sequence[Run] = ()) -> Account:
    """The account of a drill. `runs`: those that it made, as they stand by now."""
    rpo = rpo_after(drill.rpo, runs)
    losses = {run.id: [loss_json(loss) for loss in run.losses] for run in runs if run.losses}
    facts = [
        ("level", drill.level),
        ("pair", drill.pair),
        ("primary before", drill.source),
        ("other site", drill.target),
        *((f"{role} by", who) for role, who in drill.actors.items()),
        ("why", drill.why),
        ("hypothesis", drill.hypothesis or "none was written down"),
        ("abort if", ", ".join(one.text for one in drill.criteria) or "none was set"),
        ("began", moment_text(drill.began_at)),
        ("ended", moment_text(drill.ended_at) if drill.ended_at else "not yet"),
        ("runs", ", ".join(drill.runs) or "none"),
    ]
    if drill.aborted:
        facts.append(("called off", drill.aborted))
    facts += [row for run in runs for row in _later(run)]
    return Account(
        f"Drill {drill.id}",
        drill.verdict,
        drill.passed if drill.ended_at else None,
        tuple(facts),
        (*_rto(drill.rto), *_rpo(rpo), *_client(drill.client)),
        drill.steps,
        drill.findings,
        {**drill.to_json(), "rpo": rpo._asdict() if rpo else None, "found_afterwards": losses},
    )


def of_run(run: Run, promised_s: float) -> Account:
    """The account of a run. `promised_s`: the objective of the RPO."""
    plan, said = run.plan, run.approval
    facts = [
        ("runbook", plan.verb),
        ("pair", plan.pair),
        ("from", plan.source),
        ("to", plan.target),
        ("asked by", run.asked_by),
        ("declared", moment_text(run.declared_at)),
        ("plan", plan.digest),
    ]
    if said is not None:
        word = "approved" if said.agreed else "declined"
        facts += [(f"{word} by", said.by), (word, moment_text(said.at)), ("why", said.why)]
    facts += [(f"set aside: {one.rule}", one.reason) for one in plan.overrides]
    if run.aborted:
        facts.append(("aborted", run.aborted))
    facts += _later(run)
    rto, rpo = rto_of(run), rpo_of(run, promised_s)
    document = {**run.to_json(), "rto": rto_json(rto), "rpo": rpo._asdict()}
    return Account(
        f"Run {run.id}",
        run.state,
        None if run.is_open else run.state == "done",
        tuple(facts),
        (*_rto(rto), *_rpo(rpo)),
        steps_of(run),
        document=document,
    )


def _rto(rto: Rto | None) -> list[tuple[str, str]]:
    if rto is None:
        return []
    parts = ("detect", rto.detect_s), ("decide", rto.decide_s), ("act", rto.act_s)
    words = [f"{name} {seconds:.2f} s" for name, seconds in (*parts, ("verify", rto.verify_s))]
    return [("RTO", f"{rto.total_s:.2f} s: {', '.join(words)}")]


def _rpo(rpo: Rpo | None) -> list[tuple[str, str]]:
    if rpo is None:
        return []
    return [
        ("RPO promised", f"{rpo.promised_s:g} s"),
        ("RPO shown at the approval", _seconds(rpo.shown_s)),
        ("RPO found afterwards", _found(rpo)),
    ]


def _found(rpo: Rpo) -> str:
    if rpo.found_s is None or rpo.found_versions is None:
        return f"{_seconds(rpo.found_s)}: nobody has read both sides since"
    size = f" ({counted(rpo.found_bytes, 'byte')})" if rpo.found_bytes else ""
    by = f", by {rpo.found_by}" if rpo.found_by else ""
    return f"{_seconds(rpo.found_s)}, {counted(rpo.found_versions, 'version')} missing{size}{by}"


def _later(run: Run) -> list[tuple[str, str]]:
    """What was found after a run's end, each with who and when."""
    return [(f"found after {run.id}", loss.text) for loss in run.losses]


def _seconds(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:.2f} s"


def _client(client: Client | None) -> list[tuple[str, str]]:
    if client is None:
        return []
    return [
        (
            "requests of the probing client",
            f"{client.requests:,}: {client.waited:,} asked to wait by a freeze, "
            f"{client.failed:,} failed",
        ),
        ("longest outage seen by it", f"{client.outage_s:.2f} s"),
    ]
