"""A run as a command: its folder, its exit code, and what becomes of the logs."""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple, Self

from farshore.errors import LabError
from tests.chaos import summary
from tests.chaos.diary import Diary
from tests.chaos.stage import NotReady
from tests.chaos.summary import Result

SEEDS_BELOW = 10**6
KEPT, BROKEN, BROKE_OFF, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: every promise was kept; one was not; the run says nothing; Ctrl-C."""

SECONDS_OF = {"minutes": 60.0, "hours": 3600.0}

TOLD = ("faults", "operations", "violations")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  it is a command


def tell(diary: Diary) -> None:
    """How it stands, in a line."""
    counts = {what: sum(diary.counts.get(what, {}).values()) for what in TOLD}
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    say(f"{(time.time() - diary.began) / 60:5.1f} minutes: {told}")


class Ended(NamedTuple):
    """What a run has found: as JSON, for people, and whether every promise was kept."""

    document: dict[str, Any]
    lines: Sequence[str]
    kept: bool

    @classmethod
    def of(cls, result: Result) -> Self:
        return cls(summary.document(result), summary.lines(result), not result.violated)


@dataclass(frozen=True, slots=True)
class Errand:
    """A kind of run: its name, the module it is started by, and what it does without options."""

    name: str
    module: str
    unit: Literal["minutes", "hours"]
    length: float
    report: Path

    def main(self, run: Callable[[int, float, Path], Ended]) -> int:
        """As told on the command line. `run(seed, seconds, folder)` takes down what it puts up;
        the folder, of its own, is kept unless all is well."""
        given = self._given()
        seed = secrets.randbelow(SEEDS_BELOW) if given.seed is None else given.seed
        signal.signal(signal.SIGTERM, _terminated)
        folder = Path(tempfile.mkdtemp(prefix=f"farshore-{self.name}-"))
        say(f"{self.name}: seed {seed}, {given.length:g} {self.unit}, in {folder}")
        try:
            ended = run(seed, given.length * SECONDS_OF[self.unit], folder)
        except KeyboardInterrupt:
            say(f"Interrupted; the lab is down. Logs: {folder}")
            return INTERRUPTED
        except (LabError, NotReady, OSError, AssertionError, subprocess.TimeoutExpired) as error:
            what = f"{type(error).__name__}: {error}"
            say(f"The run broke off, which says nothing about farshore: {what}\nLogs: {folder}")
            return BROKE_OFF
        _write(given.report, ended.document)
        say("\n".join(ended.lines))
        if ended.kept:
            shutil.rmtree(folder)
            return KEPT
        say(f"Logs: {folder}")
        return BROKEN

    def judged(self, run: Callable[[int, float, Path], Result]) -> int:
        """`main` for runs that end with a `Result`."""
        return self.main(lambda seed, seconds, folder: Ended.of(run(seed, seconds, folder)))

    def _given(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}")
        parser.add_argument(
            f"--{self.unit}", dest="length", type=float, default=self.length, help="how long"
        )
        parser.add_argument("--seed", type=int, help="replays what is drawn")
        parser.add_argument("--report", type=Path, default=self.report, help="where the JSON goes")
        return parser.parse_args()


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
