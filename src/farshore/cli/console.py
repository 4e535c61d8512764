"""What a command says: messages and tables for people, one JSON document for machines.

Results go to standard output, progress and errors to standard error. With `--json`
standard output holds exactly one JSON document, also when the command fails:
`{"error": {...}}` then. Text from servers and files is printed with its control
characters made visible, so a key cannot move the cursor or change colours.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from farshore.cli.garbage import collect_for_ever
from farshore.errors import ConfigError, FarshoreError

if TYPE_CHECKING:
    from farshore.config import Config

Result = TypeVar("Result")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask; for machines.")]

EXIT_CODES = {
    0: "done; SAFE",
    1: "an error",
    2: "wrong usage or configuration",
    3: "AT RISK",
    4: "differences were found; NOT SAFE",
    5: "refused by a safety rule",
    6: "the outcome of a write is unknown",
    130: "interrupted; can be run again",
}

DEFAULT_CONFIG = Path("farshore.toml")


class Console:
    """Where one command's words go."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """A line of the result, for people."""
        if not self.as_json:
            typer.echo(visible(text))

    def note(self, text: str) -> None:
        """A line of progress: standard error, so that results can be piped."""
        typer.echo(visible(text), err=True)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Columns as wide as their widest cell; the last one runs free."""
        if self.as_json:
            return
        cells = [[visible(str(cell)) for cell in row] for row in (header, *rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        for row in cells:
            line = "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))
            typer.echo(line.rstrip())

    def document(self, value: dict[str, Any]) -> None:
        """The command's one JSON document; nothing without `--json`."""
        if self.as_json:
            print_json(value)

    def ask(self, question: str) -> bool:
        """Yes or no from a person; ask `can_ask` first."""
        return typer.confirm(question, default=False, err=True)

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer."""
        return not self.as_json and sys.stdin.isatty()


def visible(text: str) -> str:
    """Control characters but newline and tab as `\\xNN`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def error_document(
    kind: str, message: str, exit_code: int, *, hint: str = "", problems: Sequence[str] = ()
) -> dict[str, Any]:
    """The JSON form of every bad end. `kind` is a stable word."""
    return {
        "error": {
            "kind": kind,
            "message": message,
            "hint": hint,
            "problems": list(problems),
            "exit_code": exit_code,
        }
    }


def error_lines(error: FarshoreError) -> list[str]:
    """What a person reads: what happened, every problem, and what to do next."""
    lines = [f"farshore: {error.message}"]
    if isinstance(error, ConfigError):
        lines += [f"  {problem}" for problem in error.problems]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return lines


def report_error(error: FarshoreError, *, as_json: bool) -> None:
    """Print an error where it belongs: see the module's docstring."""
    if not as_json:
        for line in error_lines(error):
            typer.echo(visible(line), err=True)
        return
    problems = error.problems if isinstance(error, ConfigError) else ()
    print_json(
        error_document(
            error.cause_word, error.message, error.exit_code, hint=error.hint, problems=problems
        )
    )


def print_json(value: dict[str, Any]) -> None:
    """One document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def config_path(context: typer.Context) -> Path:
    """The file that the global option --config names."""
    found = context.find_object(Path)
    return found if found is not None else DEFAULT_CONFIG


def load_config(context: typer.Context) -> Config:
    """Read the file that the global option --config names. `ConfigError` when it is bad."""
    from farshore.config.load import load  # Pydantic: not at the top, for a quick --help

    return load(config_path(context))


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's asynchronous part; Ctrl-C cancels it and waits for its clean-up.

    `typer.Abort` after Ctrl-C: a KeyboardInterrupt would end in Typer, without a word.
    """
    try:
        return asyncio.run(_tidily(work))
    except KeyboardInterrupt:
        raise typer.Abort from None


async def _tidily(work: Coroutine[Any, Any, Result]) -> Result:
    collecting = asyncio.create_task(collect_for_ever())
    try:
        return await work
    finally:
        collecting.cancel()
