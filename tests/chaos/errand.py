"""A run as a command: its folder, its exit code, and what becomes of the logs."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from farshore.errors import LabError
from tests.chaos.diary import Diary
from tests.chaos.stage import NotReady

SEEDS_BELOW = 10**6
KEPT, BROKEN, BROKE_OFF, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: every promise was kept; one was not; the run says nothing; Ctrl-C."""


TOLD = ("faults", "operations", "violations")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  it is a command


def tell(diary: Diary) -> None:
    """How it stands, in a line."""
    counts = {what: sum(diary.counts.get(what, {}).values()) for what in TOLD}
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    say(f"{(time.time() - diary.began) / 60:5.1f} minutes: {told}")


def new_seed() -> int:
    """For who names none."""
    return secrets.randbelow(SEEDS_BELOW)


def carried_out(name: str, act: Callable[[Path], int]) -> int:
    """Do it in a folder of its own, which is kept unless all is well. `act` takes down what it
    puts up."""
    signal.signal(signal.SIGTERM, _terminated)
    folder = Path(tempfile.mkdtemp(prefix=f"farshore-{name}-"))
    try:
        code = act(folder)
    except KeyboardInterrupt:
        say(f"Interrupted; the lab is down. Logs: {folder}")
        return INTERRUPTED
    except (LabError, NotReady, OSError, AssertionError, subprocess.TimeoutExpired) as error:
        what = f"{type(error).__name__}: {error}"
        say(f"The run broke off, which says nothing about farshore: {what}\nLogs: {folder}")
        return BROKE_OFF
    if code == KEPT:
        shutil.rmtree(folder)
    else:
        say(f"Logs: {folder}")
    return code


def write_report(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
