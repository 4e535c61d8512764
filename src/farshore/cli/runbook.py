"""`farshore runbook`: the team's runbook, filled in with this pair's names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, load_config
from farshore.errors import StateError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.runbook.commands import Tree


def runbook(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file, not to standard output.")
    ] = None,
    hot: Annotated[
        list[str],
        typer.Option(
            help="A prefix that goes first when the source wobbles; may be repeated. Without it "
            "those of the rules with a priority, or everything."
        ),
    ] = [],  # noqa: B006  Typer copies it
    as_json: JsonOption = False,
) -> None:
    """Print what to do, and when, as Markdown: every command with this pair's own names.

    Before the storm, when the primary wobbles, switchover, failover, stabilise, failback,
    afterwards: what each command must answer, and what to do if it does not.
    """
    from farshore.runbook.document import render

    config = load_config(context)
    text = render(config, tree(), tuple(hot) or _hot(config))
    console = Console(as_json=as_json)
    if out is None:
        console.say(text.rstrip("\n"))
    else:
        _write(out, text)
        console.say(f"Written to {out}. Keep a copy where it can be read with one site down.")
    console.document({"pair": config.pair.name, "file": str(out) if out else None, "text": text})


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.", hint="Name another file with --out."
        ) from error


def _hot(config: Config) -> tuple[str, ...]:
    """The prefixes of the rules of the highest priority above 0; "" is everything."""
    rules = [rule for rule in config.pair.rules if rule.priority > 0 and not rule.exclude]
    top = max((rule.priority for rule in rules), default=0)
    return tuple(rule.prefix for rule in rules if rule.priority == top) or ("",)


def tree() -> Tree:
    """Every command that this farshore has, as it is now: a call of one loads no other."""
    from farshore.cli.main import command_line

    return dict(_below("", typer.main.get_command(command_line())))


def _below(name: str, command: Any) -> list[tuple[str, Any]]:
    from farshore.runbook.commands import Shape

    children = getattr(command, "commands", {})
    found = [pair for child in children for pair in _below(f"{name} {child}", children[child])]
    if children and not command.invoke_without_command:
        return found
    flags = frozenset(flag for parameter in command.params for flag in parameter.opts)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    return [*found, (name.strip(), Shape(flags, sum(one.required for one in arguments)))]
