"""`farshore scan-endpoints`: which code goes on to a site that clients have left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, config_path, load_config
from farshore.core.words import counted

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.core.hardcoded import Hit
    from farshore.doctor.tree import Scanned

FOUND = 4


def scan_endpoints(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    as_json: JsonOption = False,
) -> None:
    """Find endpoints that are written into code: after a failover it goes on to the old site.

    Looks for the hosts of the configured sites, public S3 endpoints, settings that SDKs read and
    arguments of their clients, in any text file. Exit code 4 when any is found outside comments.
    """
    from farshore.core.hardcoded import Known, by_file
    from farshore.doctor.tree import known_to, scan

    console = Console(as_json=as_json)
    config = _config(context, console)
    known = known_to(config) if config is not None else Known()
    scanned = scan(paths, known, leave_out=config.path if config is not None else None)
    rows = by_file(scanned.found)
    for path, hit in rows:
        console.say(_line(path, hit))
    for note in _notes(scanned):
        console.note(note)
    at_work = sum(not hit.comment for _, hit in rows)
    console.say(_summary(scanned, at_work, len(rows) - at_work))
    console.document(_document(scanned, rows))
    if at_work:
        raise typer.Exit(FOUND)


def _config(context: typer.Context, console: Console) -> Config | None:
    """Without a file the public endpoints and settings are looked for all the same."""
    path = config_path(context)
    if path.exists():
        return load_config(context)
    console.note(f"{path} is not there: hosts of sites are not known, the rest is looked for.")
    return None


def _line(path: str, hit: Hit) -> str:
    whose = f" of {hit.site}" if hit.site else ""
    mark = ", in a comment" if hit.comment else ""
    return f"{path}:{hit.line}:{hit.column}: {hit.kind}{whose}{mark}: {hit.what}"


def _notes(scanned: Scanned) -> list[str]:
    notes = [f"not read: {why}" for why in scanned.unread]
    notes += [f"too large, not read: {path}" for path in scanned.large]
    if scanned.cut:
        notes.append("there is more: name smaller folders to see all of it")
    return notes


def _summary(scanned: Scanned, at_work: int, in_comments: int) -> str:
    looked = counted(scanned.files, "file")
    told = f" ({in_comments:,} more in comments)" if in_comments else ""
    if not at_work:
        return f"No endpoint is written into {looked}{told}."
    return (
        f"{counted(at_work, 'endpoint')} written into {looked}{told}. Take them from one place "
        "that the switch moves: docs/switch.md."
    )


def _document(scanned: Scanned, rows: list[tuple[str, Hit]]) -> dict[str, Any]:
    return {
        "found": [{"path": path, **hit._asdict()} for path, hit in rows],
        "files": scanned.files,
        "binaries": scanned.binaries,
        "large": scanned.large,
        "unread": scanned.unread,
        "cut": scanned.cut,
    }
