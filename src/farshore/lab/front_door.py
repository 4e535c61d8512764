"""HAProxy before the first two sites of a lab: one address for clients, whichever is active.

Its configuration is that of `farshore export haproxy`. A master with one worker: SIGUSR2 to
the master reloads it, as Debian's service does.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from farshore.errors import LabError
from farshore.lab import process
from farshore.lab.ports import HOST
from farshore.lab.principals import write_secret
from farshore.lab.process import Process
from farshore.lab.seaweed import Certificates
from farshore.switch.export_haproxy import BackSite, FrontDoor, map_text, render
from farshore.switch.haproxy_map import ACTIVE, MapFile

BINARY = "haproxy"
VARIABLE = "FARSHORE_HAPROXY"
"""The environment variable that names the program, where it is not on the PATH."""

START_SECONDS_MAX = 20.0
_POLL_SECONDS = 0.02
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


class DoorRecord(NamedTuple):
    """A front door on disk: the port where clients come in, and its master process."""

    port: int
    process: Process | None

    @property
    def is_running(self) -> bool:
        return self.process is not None and process.is_running(self.process)

    def to_json(self) -> dict[str, Any]:
        return {"port": self.port, "process": self.process and self.process._asdict()}

    @classmethod
    def from_json(cls, document: dict[str, Any] | None) -> DoorRecord | None:
        if document is None:
            return None
        found = document["process"]
        return cls(document["port"], Process(**found) if found else None)


@dataclass(frozen=True, slots=True)
class DoorState:
    """A front door as it is now. `pid` is None when it has ended."""

    endpoint: str
    socket: Path
    map_path: Path
    pid: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "socket": str(self.socket),
            "map": str(self.map_path),
            "pid": self.pid,
        }


@dataclass(frozen=True, slots=True)
class DoorFolder:
    """What it keeps on disk. `runtime` is a folder with a short path, for the socket."""

    root: Path
    runtime: Path

    @property
    def socket(self) -> Path:
        return self.runtime / "haproxy.sock"

    @property
    def map_path(self) -> Path:
        return self.root / "farshore.map"

    @property
    def configuration(self) -> Path:
        return self.root / "haproxy.cfg"

    @property
    def log(self) -> Path:
        return self.root / "haproxy.log"

    def state(self, record: DoorRecord, *, tls: bool) -> DoorState:
        scheme = "https" if tls else "http"
        pid = record.process.pid if record.process and record.is_running else None
        return DoorState(f"{scheme}://{HOST}:{record.port}", self.socket, self.map_path, pid)

    def prepare(
        self, sites: tuple[BackSite, BackSite], port: int, certificates: Certificates | None
    ) -> None:
        """Write configuration and map; a map that names one of the sites stays."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        both = ""
        if certificates:
            both = str(self.root / "server.pem")
            write_secret(Path(both), _with_key(certificates))
        listen, api, to = f"{HOST}:{port}", str(self.socket), str(self.map_path)
        write_secret(self.configuration, render(FrontDoor(sites, listen, both, api, to)))
        active = MapFile(str(self.map_path)).read().get(ACTIVE, ())
        if active not in {(site.name,) for site in sites}:
            self.map_path.write_text(map_text(sites[0].name))


def _with_key(certificates: Certificates) -> str:
    return certificates.certificate.read_text() + certificates.key.read_text()


def binary() -> str:
    """Where HAProxy is: what the environment names, else on the PATH or among the system's."""
    named = os.environ.get(VARIABLE, "")
    if named:
        found = shutil.which(named)
        missing = f"{VARIABLE} names {named}, which is no program"
    else:
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
        found = shutil.which(BINARY, path=path)
        missing = "the program `haproxy` was not found"
    if found is None:
        raise LabError(
            missing,
            hint=f"on Debian or Ubuntu: apt-get install haproxy; or set {VARIABLE} to its path",
        )
    return found


def start(folder: DoorFolder, lab_id: str) -> Process:
    """Start it, and wait until it answers. Raises `LabError` with its own last words."""
    command = [binary(), "-W", "-db", "-f", str(folder.configuration)]
    environment = {process.MARK: lab_id, "PATH": os.defpath}
    started = process.spawn(command, environment, folder.log)
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.is_running(started):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(folder.socket)) == 0:
                return started
        time.sleep(_POLL_SECONDS)
    process.kill(started)
    words = folder.log.read_text(errors="replace").strip()[-1000:]
    raise LabError("the front door did not start: HAProxy ended, or did not answer", hint=words)
