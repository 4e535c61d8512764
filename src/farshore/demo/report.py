"""The demo's report: what was measured, every step, and the two runs, as Markdown."""

from __future__ import annotations

from typing import Any

from farshore.demo.storm import Storm, seconds_between
from farshore.demo.story import Story


def render(story: Story, storm: Storm) -> str:
    """One page."""
    lost = len(storm.lost)
    measured = (
        f"- RTO {storm.rto_s:.1f} s: from the kill to the first write that west acknowledged.",
        f"- RPO {storm.rpo_s:.1f} s: {lost} of the writes that east had acknowledged were not in "
        f"west after the failover{'; east kept them' * bool(lost)}.",
        f"- {len(storm.workload.acks)} writes acknowledged, {storm.workload.reads} reads, "
        f"{len(storm.workload.refused)} requests failed after boto3's own retries.",
        f"- Clients came in by {storm.workload.front.how}.",
    )
    parts = ["# Report of the demo", "\n".join(measured), "## Steps", _steps(story)]
    for verb, run in storm.runs.items():
        parts += [f"## {verb}: {run['plan']['source']} → {run['plan']['target']}", _run(run)]
    if story.objections:
        parts += ["## Objections", "\n".join(f"- {one}" for one in story.objections)]
    return "\n\n".join(parts) + "\n"


def _steps(story: Story) -> str:
    rows = [
        f"| {one.number} | {one.name} | {one.seconds:.1f} | {one.outcome} |" for one in story.lines
    ]
    return "\n".join(["| | step | seconds | what came of it |", "|---|---|---|---|", *rows])


def _run(run: dict[str, Any]) -> str:
    approval, shown = run["approval"], run["plan"]["shown"]
    head = (
        f"Run {run['id']}, {run['state']}. Asked for by {run['asked_by']}, approved by "
        f"{approval['by']} at {approval['at']}: {approval['why']}. Shown: everything up to "
        f"{shown['watermark'] or 'a moment that is not known'} was on the other side."
    )
    rows = [
        f"| {one['id']} | {one['outcome']} | "
        f"{seconds_between(one['began_at'], one['ended_at']):.2f} | {one['note']} |"
        for one in run["steps"]
    ]
    return "\n".join([head, "", "| step | outcome | seconds | |", "|---|---|---|---|", *rows])
