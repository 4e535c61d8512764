"""farshore's own lab link between the client and the null server, as a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.child import ROOT
from bench.null_server import END_LIMIT_SECONDS, Endpoints

START_LIMIT_SECONDS = 20.0
START_LOOK_SECONDS = 0.02
ANSWER_BYTES_MAX = 65536


@contextmanager
def delayed(endpoints: Endpoints, one_way_ms: float) -> Iterator[Endpoints]:
    """The same two endpoints through a line that delays every byte by `one_way_ms` each way."""
    with tempfile.TemporaryDirectory(prefix="farshore-link-") as folder:
        path = Path(folder, "control")
        # The link's lifeline is its standard input: should this process die, it ends.
        process = subprocess.Popen(
            [sys.executable, "-m", "farshore.lab.link", str(path)],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "FARSHORE_LAB": secrets.token_hex(8)},
        )
        try:
            yield _open(_connect(path, process), endpoints, one_way_ms)
        finally:
            process.kill()
            process.communicate(timeout=END_LIMIT_SECONDS)


def _connect(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    control = socket.socket(socket.AF_UNIX)
    control.settimeout(END_LIMIT_SECONDS)
    while time.monotonic() < deadline and process.poll() is None:
        try:
            control.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(START_LOOK_SECONDS)
        else:
            return control
    raise RuntimeError("the link did not start")


def _open(control: socket.socket, endpoints: Endpoints, one_way_ms: float) -> Endpoints:
    def ask(**request: Any) -> dict[str, Any]:
        control.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(control.recv(ANSWER_BYTES_MAX))
        return answer

    ports = {}
    with control:
        for site, port in (("east", endpoints.east), ("west", endpoints.west)):
            ports[site] = ask(do="open", site=site)["ports"]["s3"]
            ask(do="set", site=site, settings={"latency_ms": one_way_ms})
            ask(do="aim", site=site, targets={"s3": port, "filer": port})
    return Endpoints(ports["east"], ports["west"])
