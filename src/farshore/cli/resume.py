"""`farshore resume`: replication that was paused, or a run that stopped, goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from farshore.cli import pause, runs
from farshore.cli.console import JsonOption
from farshore.cli.orders import ByOption


def resume(
    context: typer.Context,
    run_id: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run's id; without it the pause is ended.")
    ] = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take work again after `farshore pause`; or begin, or go on with, the run that is named.

    A run goes on wherever it stopped, on any machine: a step whose outcome stands is not
    made again, one that was under way is looked at first.
    """
    if run_id:
        runs.go_on(context, run_id, by, as_json=as_json)
    else:
        pause.resume(context, as_json=as_json)
