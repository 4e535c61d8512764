"""`farshore demo`: the whole story on real servers, in a folder of its own."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console

if TYPE_CHECKING:
    from farshore.demo.story import Story

OBJECTIONS_SHOWN = 20


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the lab running, and say how to look at it.")
    ] = False,
) -> None:
    """Two regions, a real tree, every version replicated and proved, and a dead region.

    Needs the extra `lab`. Exit code 1 if any check finds anything different.
    """
    from farshore.demo.story import tell
    from farshore.lab.regions import Lab

    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="farshore-demo-"))
    lab = Lab(folder)
    began = time.monotonic()
    finished = False
    try:
        story = tell(lab, folder, console.say)
        _report(console, story, time.monotonic() - began)
        finished = True
    finally:
        if keep and finished:
            _explain(console, folder)
        else:
            lab.down()
            _remove(folder)
    if story.objections:
        raise typer.Exit(1)


def _report(console: Console, story: Story, seconds: float) -> None:
    console.say("")
    for objection in story.objections[:OBJECTIONS_SHOWN]:
        console.say(f"DIFFERENT: {objection}")
    if len(story.objections) > OBJECTIONS_SHOWN:
        console.say(f"… and {len(story.objections) - OBJECTIONS_SHOWN} more.")
    if story.objections:
        console.say(f"{len(story.objections)} objections after {seconds:.0f} s: not proved.")
        return
    console.say(
        f"Everything agreed, in {seconds:.0f} s: every version and every delete that the app wrote "
        "in east stands in west, proved by three readers before east died; afterwards the app "
        "read 50 of the files there."
    )


def _explain(console: Console, folder: Path) -> None:
    console.say("")
    console.say(f"The lab is still running in {folder}. Look at it:")
    console.say(f"  cd {folder}")
    console.say("  farshore lab status          # both sites, their addresses and pids")
    console.say("  farshore lab revive east     # the dead region comes back")
    console.say("  farshore verify --deep       # read both sides again")
    console.say("  farshore lab down            # end it")


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
