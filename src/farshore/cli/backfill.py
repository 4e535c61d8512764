"""`farshore backfill`: copy every history that is not on the target yet."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console, JsonOption, run
from farshore.cli.direction import load_facing
from farshore.cli.progress import human_bytes, human_seconds, shown
from farshore.core.words import counted
from farshore.errors import FarshoreError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.engine.tally import Tally

INTERRUPTED = 130
FAILED = 1
GO_ON = "What is copied stays: run `farshore backfill` again, and it goes on from there."
LINES_MAX = 20
"""Versions that were not copied, printed in full; `--json` has them all."""


def backfill(
    context: typer.Context,
    prefix: Annotated[str, typer.Option(help="Only keys that begin with this.")] = "",
    deletes_free: Annotated[
        int,
        typer.Option(
            min=0, help="Visible objects that may be hidden by delete markers in any case."
        ),
    ] = 100,
    deletes_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share (0 to 1) of the target's keys that may be hidden at most."
        ),
    ] = 0.1,
    as_json: JsonOption = False,
) -> None:
    """Copy every version that the target does not have, oldest to newest.

    Run it as often as you like: what stands is seen to stand. Killed at any moment, it
    goes on where it was. Exit code 1 when something could not be copied, with the reason.
    """
    from farshore.core.plan import DeleteLimits
    from farshore.engine.backfill import Scope

    config = load_facing(context)
    console = Console(as_json=as_json)
    scope = Scope(prefix, DeleteLimits(deletes_free, deletes_share))
    code = run(_backfill(config, console, scope))
    if code:
        raise typer.Exit(code)


async def _backfill(config: Config, console: Console, scope: object) -> int:
    from farshore.clock import SystemClock
    from farshore.engine.backfill import Interrupted, Scope
    from farshore.engine.run import backfill_all
    from farshore.engine.tally import Tally

    assert isinstance(scope, Scope)
    tally, stop = Tally(), asyncio.Event()
    began = time.monotonic()
    code = 0
    with orderly_stop(console, stop):
        async with shown(console, lambda s: line(tally, s)):
            try:
                await backfill_all(config, scope, tally, stop, SystemClock(), console.note)
            except Interrupted:
                code = INTERRUPTED
            except FarshoreError as error:
                if tally.done:
                    console.note(f"Before it ended: {line(tally, time.monotonic() - began)}")
                    error.hint = _with_sentence(error.hint, GO_ON)
                raise
    _report(console, config, tally, time.monotonic() - began, code)
    return code or (FAILED if tally.failures else 0)


def _with_sentence(hint: str, sentence: str) -> str:
    return f"{hint.rstrip('.')}. {sentence}" if hint else sentence


@contextmanager
def orderly_stop(console: Console, stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C lets what is in flight finish; the second one ends at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def asked() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
            return
        stop.set()
        console.note("Stopping: finishing what is in flight. Press Ctrl-C again to end at once.")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def line(tally: Tally, seconds: float) -> str:
    if not tally.keys:
        return f"nothing listed yet after {human_seconds(seconds)}"
    rate = tally.done / seconds if seconds else 0.0
    ahead = tally.to_do - tally.done - tally.failures
    left = f"about {human_seconds(ahead / rate)} left" if rate and tally.listed else "still listing"
    return (
        f"{tally.done:,} of {counted(tally.to_do, 'version')} · "
        f"{human_bytes(tally.copied_bytes)} · "
        f"{rate:,.0f}/s · {human_bytes(tally.copied_bytes / max(seconds, 0.001))}/s · "
        f"{tally.failures:,} not copied · {left}"
    )


def _report(console: Console, config: Config, tally: Tally, seconds: float, code: int) -> None:
    pair = config.pair
    if code == INTERRUPTED:
        console.say(f"Interrupted after {human_seconds(seconds)}; nothing is half done.")
    console.say(
        f"{pair.source} → {pair.target}: {counted(tally.copied, 'version')} "
        f"({human_bytes(tally.copied_bytes)}) and {counted(tally.markers, 'delete marker')} "
        f"copied, {tally.in_step:,} of {counted(tally.keys, 'key')} in step already; "
        f"{human_seconds(seconds)}."
    )
    for reason, count in sorted(tally.reasons.items()):
        console.say(f"{counted(count, 'version')} not copied: {reason}")
    for item in tally.not_copied[:LINES_MAX]:
        if item.reason != "EXCLUDED":
            console.say(
                f"  {item.bucket}/{item.key} version {item.version_id}: {item.reason} "
                f"({item.cause}): {item.explanation}"
            )
    if tally.failures > LINES_MAX:
        console.say("  … the others are listed by `farshore backfill --json`.")
    if code == INTERRUPTED:
        console.say("Run `farshore backfill` again to go on.")
    elif not tally.failures:
        console.say("Next: `farshore verify` reads both sides and proves it.")
    console.document(
        {
            "source": pair.source,
            "target": pair.target,
            "seconds": round(seconds, 3),
            "interrupted": code == INTERRUPTED,
            **tally.to_json(),
            "versions_not_copied": [item.to_json() for item in tally.not_copied],
        }
    )
