"""docs/cli.md, configuration.md, metrics.md and roles.md, made from what the code says of itself.

    python -m farshore.cli.reference [FOLDER]      writes all (default: docs)

A test compares them with what the code says, and fails on anything without words.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from farshore.cli.console import EXIT_CODES
from farshore.cli.main import command_line
from farshore.config.form import FileForm
from farshore.config.problems import form_of
from farshore.config.quantity import size_text
from farshore.core import roles
from farshore.watch import catalogue

MADE = "<!-- Made by `python -m farshore.cli.reference`: change the code, not this page. -->"


class Option:
    """One option or argument of a command, as the reference shows it."""

    def __init__(self, parameter: Any) -> None:
        value = f" {parameter.metavar}" if parameter.metavar else ""
        self.name: str = ", ".join(f"`{name}{value}`" for name in parameter.opts)
        self.help: str = getattr(parameter, "help", None) or ""
        self.required: bool = parameter.required
        self.is_argument: bool = parameter.param_type_name == "argument"
        default = parameter.default
        shown = default not in (None, False, "", (), []) and not callable(default)
        self.default: str = f"`{default}`" if shown else ""


def commands() -> Iterator[tuple[str, Any]]:
    """(full name, Click command) of every command, in the order of `--help`."""
    yield from _below("farshore", typer.main.get_command(command_line()))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _below(f"{name} {child}", below)


def options(command: Any) -> list[Option]:
    """Options and arguments, without `--help` and the shell-completion ones."""
    found = [p for p in command.params if not getattr(p, "hidden", False)]
    return [Option(p) for p in found if not p.name.endswith("_completion") and p.name != "help"]


def cli_page() -> str:
    """docs/cli.md."""
    lines = ["# Commands", "", MADE, ""]
    lines += ["Results go to standard output, progress and errors to standard error. With"]
    lines += ["`--json` standard output holds exactly one JSON document; when a command fails, it"]
    lines += ['is `{"error": {"kind", "message", "hint", "problems", "exit_code"}}`.', ""]
    lines += ["| exit code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    for name, command in commands():
        lines += ["", f"## {name}", "", _text(command.help or "")]
        rows = options(command)
        if rows:
            lines += ["", "| option | default | |", "|---|---|---|"]
        for row in rows:
            default = "required" if row.required else row.default
            lines.append(f"| {row.name} | {default} | {_cell(row.help)} |")
    return "\n".join(lines) + "\n"


def _text(help_text: str) -> str:
    """Paragraphs of a docstring, each on its own lines."""
    return help_text.replace("\f", "").strip()


def fields(form: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """(TOML path, form) of every table of the file, the outermost first."""
    yield path, form
    for name, field in form.model_fields.items():
        below = form_of(field.annotation)
        if below is not None:
            yield from fields(below, _join(path, name, field))


def _join(path: str, name: str, field: FieldInfo) -> str:
    origin = getattr(field.annotation, "__origin__", None)
    suffix = ".NAME" if origin is dict else "[]" if origin is list else ""
    return f"{path}.{name}{suffix}".lstrip(".")


def configuration_page() -> str:
    """docs/configuration.md."""
    lines = ["# farshore.toml", "", MADE, ""]
    lines += ["`farshore config check` lists every problem of a file with its line;"]
    lines += ["`farshore config schema` prints the JSON Schema for editors. Secrets never stand"]
    lines += ["in the file. Relative paths begin at the file's folder."]
    seen: set[type[BaseModel]] = set()
    for path, form in fields(FileForm):
        if form in seen:
            continue  # the three principals have one form
        seen.add(form)
        lines += ["", f"## {_heading(path)}", "", (form.__doc__ or "").strip(), ""]
        lines += ["| key | default | |", "|---|---|---|"]
        for name, field in form.model_fields.items():
            lines.append(f"| `{name}` | {_default(field)} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def _heading(path: str) -> str:
    if path.endswith("[]"):
        return f"[[{path.removesuffix('[]')}]]"
    if path.endswith(".operator"):
        return f"{path.removesuffix('operator')}PRINCIPAL"
    return f"[{path.replace('[]', '')}]" if path else "The tables"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value is PydanticUndefined or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1 << 20:
        return f'`"{size_text(value)}"`'
    return f'`"{value}"`' if isinstance(value, str) else f"`{value:g}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def pages() -> dict[str, str]:
    """File name to text."""
    return {
        "cli.md": cli_page(),
        "configuration.md": configuration_page(),
        "metrics.md": catalogue.page(),
        "roles.md": roles.page(MADE),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for page, text in pages().items():
        (folder / page).write_text(text, encoding="utf-8")
