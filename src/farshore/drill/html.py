"""A report as one HTML page that needs nothing else: no script, no font, no picture from afar.

Everything that comes from people or servers is escaped, and the page forbids itself to load or
run anything (Content-Security-Policy), should an escape ever be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from farshore.core.document import moment_text
from farshore.drill.account import Account
from farshore.drill.picture import timeline

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; overflow-wrap: anywhere; }
h1 span { padding: .1em .5em; border-radius: .3em; color: #fff; background: #ef6c00; }
h1 .good { background: #2e7d32; } h1 .bad { background: #c62828; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; white-space: nowrap; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
.failed { color: #c62828; } .unknown { color: #ef6c00; } .skipped { color: #777; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: #222; }
svg .name { text-anchor: end; } svg .scale { fill: #777; } svg .tick { stroke: #e0e0e0; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; }
  th, td { border-color: #444; } svg text { fill: #ddd; } svg .tick { stroke: #383838; } }
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(account: Account) -> str:
    """The whole page."""
    mark = {True: "good", False: "bad", None: "open"}[account.good]
    title = escape(account.title)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}: {escape(account.verdict)}</title>\n<style>{STYLE}</style>\n</head>",
        f'<body>\n<h1>{title} <span class="{mark}">{escape(account.verdict)}</span></h1>',
        _pairs(account.facts),
        *(["<h2>Measured</h2>", _pairs(account.measures)] if account.measures else []),
        "<h2>Timeline</h2>",
        timeline(account.steps) or "<p>No step was made.</p>",
        "<h2>Steps</h2>",
        _steps(account),
        "<h2>Findings</h2>",
        _findings(account),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    rows = [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs]
    return f"<table>{''.join(rows)}</table>"


def _steps(account: Account) -> str:
    rows = [
        (
            step.outcome,
            (
                moment_text(step.began_at),
                f"{step.group} {step.id}".strip(),
                step.outcome,
                f"{step.seconds:.2f} s",
                f"{step.what} {step.note}".strip(),
            ),
        )
        for step in account.steps
    ]
    return _table(("began", "step", "outcome", "took", "what"), rows)


def _findings(account: Account) -> str:
    if not account.findings:
        return "<p>None was written down.</p>"
    rows = []
    for note in account.findings:
        state = f"closed by {note.closed_by}" if note.closed_at else "open"
        mark = "skipped" if note.closed_at else "failed"
        rows.append((mark, (str(note.number), note.text, note.owner, note.by, state)))
    return _table(("", "finding", "owner", "noted by", "state"), rows)


def _table(header: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        f'<tr class="{escape(mark)}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for mark, cells in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
