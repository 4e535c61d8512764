"""`farshore status`: are we safe? One screen, from the buckets alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli import afterflip
from farshore.cli.afterflip import NOTHING, AfterFlip
from farshore.cli.console import Console, JsonOption, run
from farshore.cli.direction import load_facing
from farshore.errors import UsageError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.control.standing import Standing
    from farshore.core.verdict import Snapshot, Verdict

AT_RISK = 3
NOT_SAFE = 4
CODES = {"SAFE": 0, "AT RISK": AT_RISK, "NOT SAFE": NOT_SAFE}

WATCH_EVERY_S = 2.0
CLEAR = "\x1b[H\x1b[2J"


def status(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether we are safe if the source goes down now, and why.

    Works without the daemon, and with either site gone. Exit code 0 SAFE, 3 AT RISK,
    4 NOT SAFE.
    """
    if watch and as_json:
        raise UsageError(
            "--json prints one document, and --watch never ends.",
            hint="Run `farshore status --json` again and again, or read the metrics.",
        )
    config = load_facing(context)
    console = Console(as_json=as_json)
    word = run(_watch(config, console) if watch else _once(config, console))
    if CODES[word]:
        raise typer.Exit(CODES[word])


async def _watch(config: Config, console: Console) -> str:
    """Until somebody presses Ctrl-C."""
    while True:
        await _once(config, console, clear=sys.stdout.isatty())
        await asyncio.sleep(WATCH_EVERY_S)


async def _once(config: Config, console: Console, *, clear: bool = False) -> str:
    """Look, judge, show; answers the verdict's word."""
    from farshore.clock import SystemClock
    from farshore.control.standing import snapshot_of, stand
    from farshore.core.verdict import judge

    standing = await stand(config, SystemClock())
    snapshot = snapshot_of(config, standing)
    verdict = judge(snapshot, config.objectives)
    after = await afterflip.after_flip(config, standing)
    if clear:
        sys.stdout.write(CLEAR)
    for line in screen(config, standing, snapshot, verdict, after):
        console.say(line)
    console.document(document(config, standing, snapshot, verdict, after))
    return verdict.word


def document(
    config: Config,
    standing: Standing,
    snapshot: Snapshot,
    verdict: Verdict,
    after: AfterFlip = NOTHING,
) -> dict[str, Any]:
    """The command's one JSON document. Times are ISO 8601 UTC; null is "not known"."""
    from farshore.control.status import moment_text

    mark = snapshot.watermark
    return {
        "pair": config.pair.name,
        "verdict": verdict.word,
        "reasons": [reason._asdict() for reason in verdict.reasons],
        "at": moment_text(standing.now),
        "watermark": None if mark is None else moment_text(mark),
        "exposure_s": None if snapshot.exposure_s is None else round(snapshot.exposure_s, 3),
        "objectives": asdict(config.objectives),
        "source": {"name": snapshot.source, **standing.source._asdict()},
        "target": {"name": snapshot.target, **standing.target._asdict()},
        "report": standing.report.to_json() if standing.report else None,
        "report_is_local": standing.local,
        "report_age_s": _age(snapshot.now, snapshot.reported_at),
        "last_verify": standing.proof.to_json() if standing.proof else None,
        "doctor": _checkup_document(standing),
        "drill": {
            "any": snapshot.drilled,
            "passed_at": None if snapshot.drilled_at is None else moment_text(snapshot.drilled_at),
        },
        "fences": [{**fence._asdict(), "at": moment_text(fence.at)} for fence in snapshot.fences],
        "cannot_fence": [one._asdict() for one in snapshot.cannot_fence],
        "roles": standing.seen.view.to_json() if standing.seen.view else None,
        "after_flip": afterflip.document(after, snapshot.left_open),
        "trouble": standing.trouble,
    }


def _checkup_document(standing: Standing) -> dict[str, Any] | None:
    from farshore.control.status import moment_text

    found = standing.checkup
    if found is None:
        return None
    wrong = [one._asdict() for one in found.wrong]
    return {
        "at": moment_text(found.at),
        "wrong": wrong,
        "unknown": [*found.unknown],
        "ok": found.ok,
    }


def _age(now: float, at: float | None) -> float | None:
    return None if at is None else round(max(now - at, 0.0), 3)


def screen(
    config: Config,
    standing: Standing,
    snapshot: Snapshot,
    verdict: Verdict,
    after: AfterFlip = NOTHING,
) -> Iterator[str]:
    """The lines for people: the verdict, why, what is still open after a flip, and the facts."""
    from farshore.cli.facts import facts

    yield f"{verdict.word}: {_headline(config, snapshot, verdict)}"
    for reason in verdict.reasons:
        sign = "!" if reason.level == "NOT SAFE" else "-"
        yield f"  {sign} {reason.text}"
    yield ""
    rows = [*afterflip.rows(after, snapshot.left_open, snapshot.now)]
    rows += facts(config, standing, snapshot)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name.ljust(width)}  {value}"


def _headline(config: Config, s: Snapshot, verdict: Verdict) -> str:
    from farshore.core.verdict import at_text

    pair = f"{config.pair.source} -> {config.pair.target}"
    if s.watermark is None:
        return f"{pair}: what {s.target} has is not known."
    after = "after that, unknown" if not s.source_answers else "newer changes may be missing"
    if verdict.word == "SAFE":
        return f"{pair}: everything up to {at_text(s.watermark)} is on {s.target}."
    return f"{pair}: everything up to {at_text(s.watermark)} is on {s.target}; {after}."
