"""The `farshore` command: its frame, its commands, and how it ends.

Modules of commands import Typer, the standard library and `cli.console` at their top,
and everything heavier inside the command: `farshore --help` stays quick (a test
measures it).
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from farshore import __version__
from farshore.cli import (
    afterwards,
    apply,
    audit,
    backfill,
    backlog,
    config,
    deletes,
    demo,
    divergent,
    doctor,
    drill,
    endpoint,
    export,
    fence,
    freeze,
    init,
    lab,
    live,
    pause,
    presign,
    probe,
    resume,
    runbook,
    runs,
    scan_endpoints,
    status,
    switch,
    sync,
    verify,
)
from farshore.cli.console import (
    DEFAULT_CONFIG,
    EXIT_CODES,
    error_document,
    print_json,
    report_error,
)
from farshore.errors import FarshoreError, UsageError

INTERRUPTED = 130

COLLECT_EVERY = (100_000, 50, 50)
"""When the cyclic garbage collector looks: new objects, and passes over the younger ones.

Python's 700 new objects took a fifth of a backfill's CPU: a few hundred copies in flight
always stay, and were looked through again and again. Reference counting frees nearly all
of ours at once; the few cycles (tracebacks) can wait.
"""

app = typer.Typer(
    name="farshore",
    help="Keeps every version of your S3 files in a second region, and proves it.",
    epilog="Exit codes: " + " · ".join(f"{code} {what}" for code, what in EXIT_CODES.items()),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

app.command("init")(init.init)
app.add_typer(config.app, name="config")
app.command("probe")(probe.probe)
app.command("apply")(apply.apply)
app.command("backfill")(backfill.backfill)
app.command("run")(live.run)
app.add_typer(backlog.app, name="backlog")
app.command("sync")(sync.sync)
app.add_typer(deletes.app, name="deletes")
app.command("pause")(pause.pause)
app.command("resume")(resume.resume)
app.command("verify")(verify.verify)
app.command("repair")(verify.repair)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("scan-endpoints")(scan_endpoints.scan_endpoints)
app.command("fence")(fence.fence)
app.command("unfence")(fence.unfence)
app.command("freeze")(freeze.freeze)
app.command("thaw")(freeze.thaw)
app.add_typer(switch.app, name="switch")
app.command("endpoint")(endpoint.endpoint)
app.command("plan")(runs.plan)
app.command("switchover")(runs.switchover)
app.command("failover")(runs.failover)
app.command("failback")(runs.failback)
app.command("rollback")(runs.rollback)
app.command("commit")(afterwards.commit)
app.command("reprotect")(afterwards.reprotect)
app.add_typer(divergent.app, name="divergent")
app.command("runs")(runs.runs)
app.command("runbook")(runbook.runbook)
app.add_typer(drill.app, name="drill")
app.command("report")(drill.report)
app.command("approve")(runs.approve)
app.command("decline")(runs.decline)
app.command("abort")(runs.abort)
app.add_typer(audit.app, name="audit")
app.command("presign")(presign.presign)
app.add_typer(export.app, name="export")
app.add_typer(lab.app, name="lab")
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"farshore {__version__}")
        raise typer.Exit


@app.callback()
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
    gc.set_threshold(*COLLECT_EVERY)
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """One call of the command line; answers its exit code."""
    as_json = "--json" in words
    try:
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
    return UsageError(error.format_message(), hint="farshore --help, or farshore COMMAND --help")


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
