"""`farshore doctor`: everything that has made a failover fail, checked now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, run
from farshore.cli.direction import load_facing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farshore.core.checkup import Checkup, Finding

SIGNS = {"ok": "ok", "not ok": "NOT OK", "could not tell": "?"}


def doctor(
    context: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One check alone. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything that has made a failover fail: tried on canaries, each with a remedy.

    Works with either site gone. Clients notice nothing: objects that are written are our own,
    and purged; a fence is tried on these alone. Exit code 0 all is ok, 3 something could not be
    told, 4 something is not ok.
    """
    from farshore.clock import SystemClock
    from farshore.core.checkup import exit_code
    from farshore.doctor.examine import examine

    console = Console(as_json=as_json)
    config = load_facing(context)
    findings, kept = run(examine(config, SystemClock(), only=only or ()))
    show(console, findings)
    console.document(document(config.pair.name, findings, kept))
    if code := exit_code(findings):
        raise typer.Exit(code)


def show(console: Console, findings: Sequence[Finding]) -> None:
    """The worst first; each on one line, with its remedy below."""
    from farshore.core.checkup import in_order

    if console.as_json:
        return
    names = [_placed(finding) for finding in findings]
    width = max((len(name) for name in names), default=0)
    for finding in in_order(findings):
        line = f"{SIGNS[finding.state].ljust(6)}  {_placed(finding).ljust(width)}  "
        console.say(f"{line}{finding.evidence}")
        if finding.remedy and finding.state != "ok":
            console.say(f"{' ' * len(line)}-> {finding.remedy}")
    console.say("")
    console.say(summary(findings))


def _placed(finding: Finding) -> str:
    return f"{finding.name} {finding.site}".rstrip()


def summary(findings: Sequence[Finding]) -> str:
    """The one sentence at the end."""
    counted = [finding.state for finding in findings if finding.counts]
    wrong, unknown = counted.count("not ok"), counted.count("could not tell")
    if not wrong and not unknown:
        return f"All {len(counted)} are ok."
    parts = [f"{wrong} not ok"] if wrong else []
    parts += [f"{unknown} could not be told"] if unknown else []
    return f"{', '.join(parts)}, {counted.count('ok')} ok."


def document(pair: str, findings: Sequence[Finding], kept: Checkup | None) -> dict[str, Any]:
    """The same for machines. `kept`: whether it was kept in the control buckets."""
    from farshore.core.checkup import exit_code

    states = {0: "ok", 3: "could not tell", 4: "not ok"}
    return {
        "pair": pair,
        "state": states[exit_code(findings)],
        "findings": [finding._asdict() for finding in findings],
        "kept": kept is not None,
    }
