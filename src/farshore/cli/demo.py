"""`farshore demo`: the whole story on real servers, in a folder of its own."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption
from farshore.errors import StateError

if TYPE_CHECKING:
    from farshore.demo.storm import Storm
    from farshore.demo.story import Story

OBJECTIONS_SHOWN = 20


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the lab running, and say how to look at it.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Where the report is written; without it a temporary file."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Two regions, a tree replicated and proved, a region killed under load, and the way home.

    A failover and a failback by the real runbooks, RTO and RPO measured by boto3 clients.
    Needs the extra `lab`; HAProxy where it is there. Exit code 1 if any check finds anything
    different.
    """
    from farshore.demo import storm, story
    from farshore.lab.regions import Lab

    console = Console(as_json=as_json)
    folder = Path(tempfile.mkdtemp(prefix="farshore-demo-"))
    lab = Lab(folder)
    began = time.monotonic()
    finished = False
    try:
        told = story.Story(folder, console.say)
        ended = storm.tell(lab, told, story.tell(lab, told))
        seconds = time.monotonic() - began
        path = _write_report(report or folder.with_suffix(".md"), told, ended)
        _say_end(console, told, ended, seconds, path)
        console.document(_document(told, ended, seconds, path))
        finished = True
    finally:
        if keep and finished:
            _explain(console, folder)
        else:
            lab.down()
            _remove(folder)
    if told.objections:
        raise typer.Exit(1)


def _say_end(console: Console, story: Story, storm: Storm, seconds: float, path: Path) -> None:
    console.say("")
    for objection in story.objections[:OBJECTIONS_SHOWN]:
        console.say(f"DIFFERENT: {objection}")
    if len(story.objections) > OBJECTIONS_SHOWN:
        console.say(f"… and {len(story.objections) - OBJECTIONS_SHOWN} more.")
    console.say(f"Report: {path}")
    if story.objections:
        console.say(f"{len(story.objections)} objections after {seconds:.0f} s: not proved.")
        return
    console.say(
        f"Everything agreed, in {seconds:.0f} s: every version stood in both regions, a region "
        f"died under load, the app wrote to the other one {storm.rto_s:.1f} s later, and it is "
        "home again with every write that was ever acknowledged."
    )


def _document(story: Story, storm: Storm, seconds: float, path: Path) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 1),
        "steps": [line._asdict() for line in story.lines],
        "measured": storm.to_json(),
        "objections": story.objections,
        "report": str(path),
    }


def _write_report(path: Path, story: Story, storm: Storm) -> Path:
    from farshore.demo.report import render

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(story, storm), encoding="utf-8")
    except OSError as error:
        raise StateError(
            f"The report {path} cannot be written: {error.strerror}.",
            hint="Name another file with --report.",
        ) from error
    return path


def _explain(console: Console, folder: Path) -> None:
    console.say("")
    console.say(f"The lab is still running in {folder}. Look at it:")
    console.say(f"  cd {folder}")
    console.say("  farshore lab status          # both sites, their addresses and pids")
    console.say("  farshore run                 # replicate again, in a terminal of its own")
    console.say("  farshore runs                # the failover and the failback")
    console.say("  farshore audit list          # who did what, and why")
    console.say("  farshore verify --deep       # read both sides again")
    console.say("  farshore lab down            # end it")


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
