"""A report as Markdown. Texts of people and servers stand in it as text, never as markup."""

from __future__ import annotations

from farshore.core.document import moment_text
from farshore.core.drill import DrillStep, Note
from farshore.drill.account import Account

_SPECIAL = {ord(char): f"\\{char}" for char in r"\`*_[]<>#|"} | {ord("\n"): " ", ord("\r"): " "}


def page(account: Account) -> str:
    """The whole report."""
    lines = [f"# {_text(account.title)}: {_text(account.verdict)}", ""]
    lines += [f"- {_text(name)}: {_text(value)}" for name, value in account.facts]
    if account.measures:
        lines += ["", "## Measured", ""]
        lines += [f"- {_text(name)}: {_text(value)}" for name, value in account.measures]
    lines += ["", "## Steps", "", "| began | step | outcome | seconds | |", "|---|---|---|---|---|"]
    lines += [_row(step) for step in account.steps]
    lines += ["", "## Findings", ""]
    lines += [_finding(note) for note in account.findings] or ["None was written down."]
    return "\n".join(lines) + "\n"


def _row(step: DrillStep) -> str:
    words = f"{step.what} {step.note}".strip()
    cells = (
        moment_text(step.began_at),
        f"{step.group} {step.id}".strip(),
        step.outcome,
        f"{step.seconds:.2f}",
        words,
    )
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _finding(note: Note) -> str:
    done = f"closed by {note.closed_by} at {moment_text(note.closed_at)}"
    state = done if note.closed_at else "open"
    return f"{note.number}. {_text(note.text)} ({_text(note.owner)}; {_text(state)})"


def _text(text: str) -> str:
    """Control characters out, markup escaped."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return kept.translate(_SPECIAL)
