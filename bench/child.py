"""One client as a child process: what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m bench…` works."""

RUN_LIMIT_SECONDS = 120
TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU (user and system) seconds, and peak resident MiB, of one run."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def answer_of(module: str, *words: str, seconds_max: float = RUN_LIMIT_SECONDS) -> Any:
    """Run `python -m MODULE WORDS…` to its end and read the JSON that it wrote.

    In a process of its own, because this one must stay small (see `run`).
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        timeout=seconds_max,
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        tail = done.stderr[-TAIL_BYTES:]
        raise ClientFailed(f"{module} ended with {done.returncode}: {tail}")
    return json.loads(done.stdout)


class ClientFailed(Exception):
    """A measured client ended with an error, or not in time."""


def run(command: Sequence[str], environment: Mapping[str, str], folder: str) -> Cost:
    """Run `command` in `folder` to its end and read its rusage.

    Linux carries the parent's peak RSS over to a child at exec, so this process must
    stay small: it imports nothing of what it measures.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdout=output, stderr=output
        )
        watchdog = threading.Timer(RUN_LIMIT_SECONDS, process.kill)
        watchdog.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            watchdog.cancel()
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL_BYTES))
            tail = output.read().decode(errors="replace")
            raise ClientFailed(f"{command[0]} ended with {process.returncode}: {tail}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
