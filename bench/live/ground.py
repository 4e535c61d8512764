"""Two real regions, configurations for them, and the programs that keep the far one in step."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.child import TAIL_BYTES, ClientFailed
from farshore.credentials import Credentials
from farshore.lab import state
from farshore.lab.ports import HOST
from farshore.lab.regions import Lab
from farshore.lab.seaweed import SitePorts, binary
from farshore.s3.client import S3Client

SOURCE, TARGET = "east", "west"
SITES = (SOURCE, TARGET)
COMMAND_SECONDS_MAX = 120.0
READY_SECONDS_MAX = 60.0
END_SECONDS_MAX = 20.0
LOOK_SECONDS = 0.05
REQUEST_SECONDS_MAX = 10.0

_SITE = """
[sites.{name}]
endpoint = "{endpoint}"
filer = "{filer}"
filer_grpc = "{filer_grpc}"
[sites.{name}.credentials]
operator = {{ command = "cat {keys}/operator.json" }}
replicator = {{ command = "cat {keys}/replicator.json" }}
app = {{ command = "cat {keys}/app.json" }}
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """A lab that is up. `ports`: those of SeaweedFS itself, past the lab's links."""

    lab: Lab
    ports: Mapping[str, SitePorts]
    keys: Mapping[str, Credentials]

    def client(self, site: str) -> S3Client:
        """A client of a site itself, no link in between. The caller closes it."""
        return S3Client(site, f"http://{HOST}:{self.ports[site].s3}", self.keys[site])


@contextmanager
def regions(buckets: Sequence[str]) -> Iterator[Ground]:
    """Two fresh regions with these buckets, not versioned yet; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="farshore-bench-") as folder, Lab(folder) as lab:
        lab.up(SITES, buckets=buckets)
        record = state.load(Path(folder, state.STATE_FOLDER))
        if record is None:
            raise ClientFailed("the lab left no record")
        ports = {site.name: site.ports for site in record.sites}
        seen = lab.status()
        keys = {name: seen.site(name).principals["owner"] for name in SITES}
        yield Ground(lab, ports, keys)


class Pair:
    """farshore in a folder of its own, over some of the buckets.

    Without `linked` it goes to SeaweedFS itself, as its peer does.
    """

    def __init__(
        self, ground: Ground, name: str, buckets: Sequence[str], *, linked: bool = False
    ) -> None:
        self._ground = ground
        self.folder = ground.lab.folder / name
        self.folder.mkdir()
        parts = [self._site(site, linked=linked) for site in SITES]
        parts.append(f'[pair]\nname = "{name}"\nsource = "{SOURCE}"\ntarget = "{TARGET}"')
        parts += [f'[[pair.buckets]]\nsource = "{bucket}"' for bucket in buckets]
        parts.append(f'[daemon]\nlisten = "{HOST}:0"')
        (self.folder / "farshore.toml").write_text("\n".join(parts) + "\n")

    def _site(self, name: str, *, linked: bool) -> str:
        ports, seen = self._ground.ports[name], self._ground.lab.status().site(name)
        direct = (
            f"http://{HOST}:{ports.s3}",
            f"http://{HOST}:{ports.filer}",
            f"{HOST}:{ports.filer_grpc}",
        )
        doors = (seen.endpoint, seen.filer, seen.filer_grpc) if linked else direct
        keys = self._ground.lab.folder / state.STATE_FOLDER / name
        return _SITE.format(
            name=name, endpoint=doors[0], filer=doors[1], filer_grpc=doors[2], keys=keys
        )

    def command(self, *words: str) -> str:
        """Run farshore to its end; what it wrote. `ClientFailed` unless it ended with 0."""
        done = subprocess.run(
            [sys.executable, "-m", "farshore", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise ClientFailed(f"farshore {words[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def daemon(self) -> AbstractContextManager[Daemon]:
        """`farshore run`, once it is ready, until the block ends."""
        return daemon_in(self.folder)


@contextmanager
def daemon_in(folder: Path) -> Iterator[Daemon]:
    """`farshore run` in a folder with a farshore.toml, once it is ready, until the block ends."""
    log = folder / "run.log"
    with _running([sys.executable, "-m", "farshore", "run"], folder, log) as process:
        daemon = Daemon(process, _port(process, log), folder)
        daemon.wait_until_ready()
        yield daemon


class Daemon:
    """A `farshore run` that serves its API on `port`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self._port = port
        self._token = folder / ".farshore" / "api-token"

    def wait_until_ready(self) -> None:
        """Until it replicates and its first scan has closed, so that a watermark is known."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.status()["watermark"] is not None:
                return
            time.sleep(LOOK_SECONDS)
        raise ClientFailed("farshore run was not ready in time")

    def status(self) -> dict[str, Any]:
        """The JSON API's report: see `farshore.control.status.StatusReport`."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=REQUEST_SECONDS_MAX)
        headers = {"Authorization": f"Bearer {self._token.read_text().strip()}"}
        connection.request("GET", "/v1/status", headers=headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def rss_mib(self) -> float:
        """Its resident size now."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB$", text, re.MULTILINE)
        return int(kilobytes) / 1024

    def cpu_seconds(self) -> float:
        """User and system time so far (proc(5): fields 14 and 15 of stat)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the daemon says it serves on."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            return int(found[1])
        time.sleep(LOOK_SECONDS)
    raise ClientFailed(f"farshore run did not start: {log.read_text()[-TAIL_BYTES:]}")


@contextmanager
def filer_sync(ground: Ground, bucket: str) -> Iterator[None]:
    """The peer: `weed filer.sync`, one way, of one bucket's directory, with its defaults."""
    east, west = (
        f"{HOST}:{ground.ports[site].filer}.{ground.ports[site].filer_grpc}" for site in SITES
    )
    path = f"/buckets/{bucket}"
    now_ms = time.time_ns() // 1_000_000
    command = [binary(), f"-logdir={ground.lab.folder}", "filer.sync", "-isActivePassive"]
    command += [f"-a={east}", f"-b={west}", f"-a.path={path}", f"-b.path={path}"]
    command.append(f"-a.fromTsMs={now_ms}")
    with _running(command, ground.lab.folder, ground.lab.folder / "filer.sync.out"):
        yield


@contextmanager
def _running(command: Sequence[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is asked to end when the block does, and then made to."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
