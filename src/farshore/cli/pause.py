"""`farshore pause` and `farshore resume`: no work is taken until a person says so."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, load_config, run

if TYPE_CHECKING:
    from pathlib import Path

    from farshore.journal.pause import Pause

REASON_MAX = 200


def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why, for those who read `farshore status`.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Take no work until `farshore resume`: what is being copied is finished.

    Changes are still noted, scans and heartbeats go on, and the exposure rises. It holds
    for the `farshore run` of this machine, also when that is started later.
    """
    from farshore.clock import SystemClock
    from farshore.journal.pause import Pause

    console = Console(as_json=as_json)
    wanted = Pause(*who(), SystemClock().now(), reason[:REASON_MAX])
    before = run(_write(state_file(context), wanted))
    if before is not None:
        console.say(f"It was paused already, by {before.who}: that pause is replaced.")
    console.say(f"Paused by {wanted.who}. Go on with `farshore resume`.")
    console.document({"paused": True, **_document(wanted), "was_paused": before is not None})


def resume(context: typer.Context, as_json: JsonOption = False) -> None:
    """Take work again, after `farshore pause`."""
    console = Console(as_json=as_json)
    before = run(_write(state_file(context), None))
    console.say(f"Resumed: it was paused by {before.who}." if before else "It was not paused.")
    console.document({"paused": False, "was_paused": before is not None})


def who() -> tuple[str, str]:
    """(the user of the system, the machine) that speaks."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container's user need not have a name
    return user, socket.gethostname()


def state_file(context: typer.Context) -> Path:
    """Where the daemon of this configuration keeps its notes."""
    from farshore.engine.run import JOURNAL_FILE

    return load_config(context).state_dir / JOURNAL_FILE


async def _write(path: Path, wanted: Pause | None) -> Pause | None:
    """Write the pause, or take it away; answers the one that held. None also for a broken one."""
    from farshore.errors import StateError
    from farshore.journal import pause as word
    from farshore.journal.backlog_sqlite import SqliteBacklog

    backlog = SqliteBacklog(path)
    try:
        try:
            before = word.paused(backlog)
        except StateError:
            if wanted is not None:
                raise
            before = None
        if wanted is None:
            await word.resume(backlog)
        else:
            await word.pause(backlog, wanted)
    finally:
        await backlog.aclose()
    return before


def _document(pause: Pause) -> dict[str, Any]:
    from farshore.control.status import moment_text

    return {**pause._asdict(), "at": moment_text(pause.at)}
