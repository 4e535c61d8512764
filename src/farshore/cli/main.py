"""The `farshore` command: its frame, its commands, and how it ends.

Modules of commands import Typer, the standard library and `cli.console` at their top,
and everything heavier inside the command: `farshore --help` stays quick (a test
measures it). Of the commands only the one that is called is loaded.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from farshore import __version__
from farshore.cli.console import (
    DEFAULT_CONFIG,
    EXIT_CODES,
    error_document,
    print_json,
    report_error,
)
from farshore.cli.garbage import collect_by_the_clock
from farshore.errors import FarshoreError, UsageError

INTERRUPTED = 130


class Place(NamedTuple):
    """Where a command is: a module beside this one, and its function or its group."""

    module: str
    name: str


COMMANDS = {
    "init": Place("init", "init"),
    "config": Place("config", "app"),
    "probe": Place("probe", "probe"),
    "apply": Place("apply", "apply"),
    "backfill": Place("backfill", "backfill"),
    "run": Place("live", "run"),
    "backlog": Place("backlog", "app"),
    "sync": Place("sync", "sync"),
    "deletes": Place("deletes", "app"),
    "pause": Place("pause", "pause"),
    "resume": Place("resume", "resume"),
    "verify": Place("verify", "verify"),
    "repair": Place("verify", "repair"),
    "status": Place("status", "status"),
    "doctor": Place("doctor", "doctor"),
    "scan-endpoints": Place("scan_endpoints", "scan_endpoints"),
    "fence": Place("fence", "fence"),
    "unfence": Place("fence", "unfence"),
    "freeze": Place("freeze", "freeze"),
    "thaw": Place("freeze", "thaw"),
    "switch": Place("switch", "app"),
    "endpoint": Place("endpoint", "endpoint"),
    "plan": Place("runs", "plan"),
    "switchover": Place("runs", "switchover"),
    "failover": Place("runs", "failover"),
    "failback": Place("runs", "failback"),
    "rollback": Place("runs", "rollback"),
    "commit": Place("afterwards", "commit"),
    "reprotect": Place("afterwards", "reprotect"),
    "divergent": Place("divergent", "app"),
    "runs": Place("runs", "runs"),
    "runbook": Place("runbook", "runbook"),
    "drill": Place("drill", "app"),
    "report": Place("drill", "report"),
    "approve": Place("runs", "approve"),
    "decline": Place("runs", "decline"),
    "abort": Place("runs", "abort"),
    "audit": Place("audit", "app"),
    "presign": Place("presign", "presign"),
    "export": Place("export", "app"),
    "lab": Place("lab", "app"),
    "demo": Place("demo", "demo"),
}
"""In the order of `--help`."""

OF_ALL = frozenset({"runbook"})
"""Commands that tell of all others: the whole tree is loaded for them."""


def command_line(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The frame with these commands; the modules of others are not even loaded."""
    app = typer.Typer(
        name="farshore",
        help="Keeps every version of your S3 files in a second region, and proves it.",
        epilog="Exit codes: " + " · ".join(f"{code} {what}" for code, what in EXIT_CODES.items()),
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_frame)
    for name in names:
        place = COMMANDS[name]
        found = getattr(import_module(f"farshore.cli.{place.module}"), place.name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def wanted(words: Sequence[str]) -> Iterable[str]:
    """The one command that is called, where that is clear; else all of them."""
    before = iter(words)
    for word in before:
        if word == "--config":
            next(before, "")
        elif not word.startswith("-"):
            return (word,) if word in COMMANDS.keys() - OF_ALL else COMMANDS
    return COMMANDS


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"farshore {__version__}")
        raise typer.Exit


def _frame(
    context: typer.Context,
    config: Annotated[
        Path,
        typer.Option("--config", envvar="FARSHORE_CONFIG", help="The configuration file."),
    ] = DEFAULT_CONFIG,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    context.obj = config


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit. Every way to end has its exit code: see `console.EXIT_CODES`."""
    collect_by_the_clock()
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """One call of the command line; answers its exit code."""
    as_json = "--json" in words
    try:
        app = command_line(wanted(words))
        answer = app(args=words, prog_name="farshore", standalone_mode=False)
    except FarshoreError as error:
        report_error(error, as_json=as_json)
        return error.exit_code
    except typer.TyperException as error:
        report_error(_usage(error), as_json=as_json)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _report_interrupt(as_json)
    except BrokenPipeError:
        # The reader went away (`farshore … | head`): nothing more can be said to it.
        sys.stderr.close()
        return 1
    except Exception:  # noqa: BLE001  the one place that catches everything: it reports, in full
        return _report_defect(as_json)
    return answer if isinstance(answer, int) else 0


def _usage(error: typer.TyperException) -> UsageError:
    said = error.format_message() or "No command was named: the help lists them."
    return UsageError(said, hint="farshore --help, or farshore COMMAND --help")


def _report_interrupt(as_json: bool) -> int:
    text = "interrupted; it can be run again."
    typer.echo(f"farshore: {text}", err=True)
    if as_json:
        print_json(error_document("Interrupted", text, INTERRUPTED))
    return INTERRUPTED


def _report_defect(as_json: bool) -> int:
    """Nothing is hidden: the whole traceback, and whom to tell."""
    text = "this is a defect in farshore, not in what you did."
    lines = (
        f"farshore: {text}",
        f"Please file a bug with what follows (farshore {__version__}, "
        f"Python {sys.version.split()[0]}, {sys.platform}).",
        "",
        traceback.format_exc(),
    )
    typer.echo("\n".join(lines), err=True)
    if as_json:
        print_json(error_document("Defect", text, 1))
    return 1
