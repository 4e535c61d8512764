"""Processes of a lab: started detached, known by pid *and* start time, ended by SIGKILL.

A pid alone may belong to a stranger by tomorrow; the pair of pid and start time (field
22 of /proc/PID/stat, proc(5)) does not. Every process also carries the lab's id in its
environment, so that one which was started and never recorded is still found.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from farshore.errors import LabError

MARK = "FARSHORE_LAB"
"""The environment variable that holds the lab's id in each of its processes."""

END_SECONDS_MAX = 10.0
"""How long a killed process may take to go."""

LOG_MODE = 0o600


class Process(NamedTuple):
    """One process, for as long as it lives and never after. `started`: clock ticks since boot."""

    pid: int
    started: int


def _stat(pid: int) -> tuple[str, int] | None:
    """(state letter, start time) of a pid, or None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def is_running(process: Process) -> bool:
    """Whether this very process still runs; a zombie does not."""
    found = _stat(process.pid)
    return found is not None and found[0] not in "ZX" and found[1] == process.started


def identify(pid: int) -> Process:
    """The process that has this pid now."""
    found = _stat(pid)
    if found is None:
        raise LabError(f"process {pid} ended before it could be recorded")
    return Process(pid, found[1])


def spawn(
    command: list[str], environment: dict[str, str], log: Path, *, stdin: int | None = None
) -> Process:
    """Start `command` in a session of its own; output is appended to `log`.

    `stdin` is a file descriptor to read from; without one the process reads nothing.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    reads: tuple[int | str, ...] = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    if stdin is not None:
        reads = (os.POSIX_SPAWN_DUP2, stdin, 0)
    actions = [
        reads,
        (os.POSIX_SPAWN_OPEN, 1, str(log), append, LOG_MODE),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
    except OSError as error:
        raise LabError(f"{command[0]} could not be started: {error.strerror}") from error
    return identify(pid)


def _reap(pid: int) -> None:
    """Take a dead child off the process table, if it is ours to take."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def wait_gone(handle: int) -> bool:
    """Wait until the process of a pidfd has ended; False when that takes too long."""
    return bool(select.select([handle], [], [], END_SECONDS_MAX)[0])


def kill(process: Process) -> None:
    """SIGKILL, and wait until it is gone. One that is gone already is no error."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_running(process):  # checked with the handle open: the pid cannot move now
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not wait_gone(handle):
                raise LabError(f"process {process.pid} is still there after SIGKILL")
    finally:
        os.close(handle)
    _reap(process.pid)


def marked(lab_id: str) -> list[Process]:
    """Every running process that carries this lab's id, this one excepted."""
    wanted = f"{MARK}={lab_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or another user's
        if wanted in environment.split(b"\0"):
            with suppress(LabError):  # ended meanwhile
                found.append(identify(int(entry.name)))
    return [process for process in found if is_running(process)]


def sweep(lab_id: str) -> None:
    """Kill every process that carries this lab's id, this one excepted."""
    for process in marked(lab_id):
        kill(process)
