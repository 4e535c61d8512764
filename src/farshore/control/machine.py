"""Which process this is, so that another one can tell later whether it still runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple, Protocol


class Process(NamedTuple):
    """One process on one machine.

    `machine`: the boot and the process namespace that `pid` counts in; "" when the
    system does not tell. `started`: the start time in the system's own form; a pid that
    was given out again has another.
    """

    host: str
    machine: str
    pid: int
    started: str


class Machine(Protocol):
    """The machine that we run on."""

    def this_process(self) -> Process: ...

    def is_gone(self, process: Process) -> bool:
        """True only when the process ran here and is certainly no more."""
        ...


class LinuxMachine:
    """By /proc. Where there is none, nothing is ever called gone: leases then expire by time."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def this_process(self) -> Process:
        pid = os.getpid()
        return Process(socket.gethostname(), self._machine(), pid, self._started(pid))

    def is_gone(self, process: Process) -> bool:
        here = self._machine()
        if not here or process.machine != here:
            return False
        return self._started(process.pid) != process.started

    def _machine(self) -> str:
        """Two containers of one host share the boot but not the pids: both are told apart."""
        try:
            boot = (self._proc / "sys/kernel/random/boot_id").read_text().strip()
            return f"{boot}/{os.readlink(self._proc / 'self/ns/pid')}"
        except OSError:
            return ""

    def _started(self, pid: int) -> str:
        """Clock ticks after boot, field 22 of /proc/PID/stat (man 5 proc); "" when it is gone."""
        try:
            stat = (self._proc / str(pid) / "stat").read_text()
        except OSError:
            return ""
        # The second field is the program's name in brackets and may hold spaces.
        return stat.rpartition(")")[2].split()[19]
