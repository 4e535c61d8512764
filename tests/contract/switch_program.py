"""A driver's program, as a user would write one: two places in one JSON file.

    python switch_program.py --token=… FILE current|plan|apply|verify

Tests tell it to misbehave by a file `FAULT` beside the state: "cut", "silent", or "lose",
which holds for one change.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

DONE, MOVED, UNTOUCHED = 0, 3, 4


def hang() -> None:
    """For ever, with a child that does so, too."""
    child = subprocess.Popen(["sleep", "600"])
    Path(sys.argv[2]).with_name("pids").write_text(f"{os.getpid()} {child.pid}")
    signal.pause()


def readings(state: dict[str, str], fault: str) -> list[dict[str, str]]:
    if fault == "cut":
        return [{"vantage": place, "error": "it does not answer"} for place in state]
    return [{"vantage": place, "raw": value} for place, value in state.items()]


def apply(file: Path, asked: dict[str, Any], fault: str) -> int:
    state = json.loads(file.read_text())
    wanted = asked["values"][asked["to"]]
    if fault == "cut":
        return UNTOUCHED
    if any(state[place] not in (raw, wanted) for place, raw in asked["expect"]):
        return MOVED
    file.write_text(json.dumps(dict.fromkeys(state, wanted)))
    if fault == "lose":
        file.with_name("FAULT").unlink()
        hang()
    return DONE


def main() -> int:
    file, verb = Path(sys.argv[2]), sys.argv[3]
    asked = json.load(sys.stdin)
    path = file.with_name("FAULT")
    fault = path.read_text() if path.exists() else ""
    sys.stderr.write(sys.argv[1])
    if fault == "silent":
        hang()
    if verb == "apply":
        return apply(file, asked, fault)
    answer: dict[str, Any] = {"readings": readings(json.loads(file.read_text()), fault)}
    if verb == "plan":
        answer |= {"propagation_s": 1.5, "findings": ["it is a test"]}
    json.dump(answer, sys.stdout)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
