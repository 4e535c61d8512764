"""Real HAProxies on loopback, with the exported configuration, before two plain HTTP sites."""

from __future__ import annotations

import http.client
import http.server
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from farshore.config.switches import HaproxySwitch, Proxy
from farshore.lab import process
from farshore.lab.ports import HOST, held_ports
from farshore.switch.export_haproxy import BackSite, FrontDoor, map_text, render
from farshore.switch.haproxy_door import SITE_HEADER
from tests.debian import server

START_SECONDS_MAX = 20.0
POLL_SECONDS = 0.01
ANSWERS_IN_A_ROW = 10
HOLD_SECONDS = 0.05
"""As short as can be: most tests do not wait for what a client waits for."""


@dataclass
class Haproxy:
    """One proxy: its folder holds the configuration, the map and the socket."""

    folder: Path
    sites: tuple[BackSite, BackSite]
    port: int
    certificate: str = ""
    running: process.Process | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "api.sock")

    @property
    def map(self) -> Path:
        return self.folder / "farshore.map"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{HOST}:{self.port}"

    @property
    def proxy(self) -> Proxy:
        return Proxy(self.socket, str(self.map))

    @property
    def _configuration(self) -> Path:
        return self.folder / "haproxy.cfg"

    def write(self, active: str) -> None:
        """Configuration and map, as for a first start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        listen = f"{HOST}:{self.port}"
        door = FrontDoor(
            self.sites, listen, self.certificate, self.socket, str(self.map), hold_s=HOLD_SECONDS
        )
        self._configuration.write_text(render(door))
        self.map.write_text(map_text(active))

    def start(self) -> None:
        """Master and worker: `reload` is SIGUSR2 to the master, as Debian's unit does it."""
        log = self.folder / "log"
        command = [server("haproxy"), "-W", "-db", "-f", str(self._configuration)]
        self.running = process.spawn(command, {"PATH": os.defpath}, log)
        self._await_worker("")

    def _await_worker(self, before: str) -> None:
        """Until a worker answers that is not the one with the id `before`."""
        assert self.running
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and process.is_running(self.running):
            if self.worker() not in ("", before):
                return
            time.sleep(POLL_SECONDS)  # there is no event of a listening socket to wait for
        raise AssertionError(f"HAProxy does not answer:\n{(self.folder / 'log').read_text()}")

    def worker(self) -> str:
        """The process id of the worker that answers; "" when none does."""
        lines = (line.split(": ", 1) for line in self.ask("show info").splitlines())
        return next((words[1] for words in lines if words[0] == "Pid"), "")

    def ask(self, command: str) -> str:
        """The runtime API, past the driver; "" when nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(START_SECONDS_MAX)
                asked.connect(self.socket)
                asked.sendall(command.encode() + b"\n")
                return asked.makefile().read()
        except OSError:
            return ""

    def reload(self) -> None:
        """A new worker reads configuration and map; the old one ends its requests."""
        assert self.running
        before = self.worker()
        os.kill(self.running.pid, signal.SIGUSR2)
        for _ in range(ANSWERS_IN_A_ROW):  # for a moment both workers answer, in turn
            self._await_worker(before)

    def kill(self) -> None:
        """The master by its id; a worker ends when its master is gone."""
        if self.running is not None:
            process.kill(self.running)
        self.running = None

    def running_map(self) -> dict[str, str]:
        """What the worker decides by."""
        lines = [line.split() for line in self.ask(f"show map {self.map}").splitlines() if line]
        return {words[1]: words[2] for words in lines}


def asked(url: str, method: str = "GET", path: str = "/bucket/key") -> tuple[int, str, str]:
    """(status, the site that answered or "", x-amz-retry-after or "") of one request."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body=b"x" if method == "PUT" else None)
        answer = connection.getresponse()
        answer.read()
        headers = answer.headers
        return answer.status, headers.get(SITE_HEADER, ""), headers.get("x-amz-retry-after", "")
    finally:
        connection.close()


@contextmanager
def haproxies(sites: tuple[BackSite, BackSite], count: int) -> Iterator[list[Haproxy]]:
    """So many proxies, all of them sending clients to the first site.

    They live in a short folder: a unix socket's path holds 108 bytes at most.
    """
    with held_ports(count) as ports:
        pass
    with tempfile.TemporaryDirectory(prefix="farshore-haproxy-") as folder:
        made = [Haproxy(Path(folder, str(n)), sites, port) for n, port in enumerate(ports)]
        try:
            for proxy in made:
                proxy.write(sites[0].name)
                proxy.start()
            yield made
        finally:
            for proxy in made:
                proxy.kill()


def switch_of(proxies: list[Haproxy]) -> HaproxySwitch:
    return HaproxySwitch("front", tuple(proxy.proxy for proxy in proxies))


def is_valid(configuration: str, folder: Path) -> tuple[bool, str]:
    """What `haproxy -c` says."""
    path = folder / "checked.cfg"
    path.write_text(configuration)
    said = subprocess.run(
        [server("haproxy"), "-c", "-f", str(path)], capture_output=True, text=True, check=False
    )
    return said.returncode == 0, said.stdout + said.stderr


class _Forbids(http.server.BaseHTTPRequestHandler):
    """A site that says 403 to everything, as S3 does to who shows no keys."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(ConnectionError):  # HAProxy ends its health checks by a reset
            super().handle()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(403)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_OPTIONS = do_PUT = do_POST = do_DELETE = do_PATCH = _answer

    def log_message(self, format: str, *args: object) -> None:
        """What a test asks for is no news."""


@contextmanager
def plain_site() -> Iterator[str]:
    """Its URL."""
    with http.server.ThreadingHTTPServer((HOST, 0), _Forbids) as plain:
        plain.daemon_threads = True
        thread = threading.Thread(target=plain.serve_forever)
        thread.start()
        yield f"http://{HOST}:{plain.server_port}"
        plain.shutdown()
        thread.join()
