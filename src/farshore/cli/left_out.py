"""`farshore backlog expired`, `cancelled` and `late`: what was left out, by name.

Read from the state file's ledgers, whether `farshore run` is at work or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from farshore.cli.console import Console
from farshore.core.words import counted

if TYPE_CHECKING:
    from farshore.journal.ledger import Ledger, LeftOut, Name


class Account(NamedTuple):
    """One ledger: `total` that it ever had, `kept` below the prefix by name, `rows` of these."""

    total: int
    kept: int
    rows: list[LeftOut]


NONE = {
    "expired": "No version was purged on the source before it was copied.",
    "cancelled": "No delete was cancelled by a change of rules.",
    "late": "No write arrived late at the target.",
}

KINDS = {
    "expired": (
        "version in all was purged on the source before it was copied",
        "versions in all were purged on the source before they were copied",
    ),
    "cancelled": (
        "delete in all was cancelled by a change of rules",
        "deletes in all were cancelled by a change of rules",
    ),
    "late": (
        "write in all arrived late at the target, and was taken back",
        "writes in all arrived late at the target, and were taken back",
    ),
}


def show(console: Console, path: Path, name: Name, prefix: str, limit: int, doubt: str) -> None:
    """List one ledger of the state file at `path`. `doubt`: why that may not be all. Raises
    `StateError`."""
    account = _read(path, name, prefix, limit)
    if account.rows:
        cells = [(_moment(r.at), f"{r.bucket}/{r.key}", r.version_id) for r in account.rows]
        console.table(("FOUND", "KEY", "VERSION"), cells)
    if doubt:
        console.say(doubt)
    if account.total or path.exists():
        console.say(_sentence(name, account, prefix))
    console.document(
        {
            "state_file": str(path),
            "doubt": doubt,
            "prefix": prefix,
            "total": account.total,
            "kept": account.kept,
            "rows": [_document(row) for row in account.rows],
        }
    )


def _read(path: Path, name: Name, prefix: str, limit: int) -> Account:
    from farshore.journal.ledger import Ledger
    from farshore.journal.statefile import IN_MEMORY

    ledger = Ledger(name, path if path.exists() else IN_MEMORY)
    try:
        return Account(ledger.total(), ledger.kept(prefix), _rows(ledger, prefix, limit))
    finally:
        ledger.close()


def _rows(ledger: Ledger, prefix: str, limit: int) -> list[LeftOut]:
    rows: list[LeftOut] = []
    for page in ledger.pages(prefix):
        rows += page
        if len(rows) >= limit:
            break
    return rows[:limit]


def _sentence(name: Name, account: Account, prefix: str) -> str:
    if not account.total:
        return NONE[name]
    one, many = KINDS[name]
    parts = [f"{counted(account.total, one, many)}"]
    if prefix:
        parts.append(f'{account.kept:,} below "{prefix}"')
    elif account.kept < account.total:
        parts.append(f"the latest {account.kept:,} are kept by name")
    if len(account.rows) < account.kept:
        parts.append(f"{len(account.rows):,} shown, the newest first: --limit shows more")
    return f"{'; '.join(parts)}."


def _document(row: LeftOut) -> dict[str, Any]:
    """What is no Unicode in a name as escapes: JSON wants text."""
    names = {
        name: getattr(row, name).encode("utf-8", "backslashreplace").decode("utf-8")
        for name in ("bucket", "key", "version_id")
    }
    return {**names, "at": _moment(row.at)}


def _moment(seconds: float) -> str:
    from farshore.control.status import moment_text

    return moment_text(seconds)
