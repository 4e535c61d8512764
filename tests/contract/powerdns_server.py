"""Real PowerDNS with its HTTP API on free loopback ports, killed by its id."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from farshore.lab import process
from farshore.lab.ports import HOST, held_ports
from tests.debian import FOLDER, server

START_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
ASK_SECONDS_MAX = 5.0

_TABLES = {
    "domains": "name, master, last_check, type, notified_serial, account, options, catalog",
    "records": "domain_id, name, type, content, ttl, prio, disabled, ordername, auth",
    "comments": "domain_id, name, type, modified_at, account, comment",
    "domainmetadata": "domain_id, kind, content",
    "cryptokeys": "domain_id, flags, active, published, content",
    "tsigkeys": "name, algorithm, secret",
}
"""The tables that PowerDNS 4.7's own queries ask for (its manual, "Generic SQLite 3 backend");
each has an id beside these columns."""


class PowerDns:
    """One server. `write` and `read` go through its API, past every driver."""

    def __init__(self, folder: Path, dns_port: int, api_port: int, key: str = "") -> None:
        self.port = dns_port
        self.api_port = api_port
        self.key = key or secrets.token_urlsafe(24)
        self._folder = folder
        self._running: process.Process | None = None
        self._write_files()

    def _write_files(self) -> None:
        database = self._folder / "zones.sqlite"
        with closing(sqlite3.connect(database)) as made:
            for table, columns in _TABLES.items():
                made.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {columns})")
            made.commit()
        settings = {
            "launch": "gsqlite3",
            "gsqlite3-database": database,
            "gsqlite3-pragma-foreign-keys": "no",
            "local-address": HOST,
            "local-port": self.port,
            "socket-dir": self._folder,
            "api": "yes",
            "api-key": self.key,
            "webserver": "yes",
            "webserver-address": HOST,
            "webserver-port": self.api_port,
            "webserver-allow-from": HOST,
            "security-poll-suffix": "",
            "distributor-threads": 1,
            "receiver-threads": 1,
            "cache-ttl": 0,
            "query-cache-ttl": 0,
            "negquery-cache-ttl": 0,
            "zone-cache-refresh-interval": 0,
        }
        modules = list((FOLDER.parent / "root").glob("usr/lib/*/pdns"))
        if modules:
            settings["module-dir"] = modules[0]
        lines = [f"{name}={value}" for name, value in settings.items()]
        (self._folder / "pdns.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        log = self._folder / "pdns.log"
        command = [server("pdns_server"), f"--config-dir={self._folder}", "--guardian=no"]
        command += ["--daemon=no", "--disable-syslog", "--write-pid=no"]
        self._running = process.spawn(command, {"PATH": os.environ["PATH"]}, log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and process.is_running(self._running):
            try:
                self.ask("GET", "")
            except OSError:
                time.sleep(POLL_SECONDS)  # there is no event of a listening port to wait for
            else:
                return
        raise AssertionError(f"pdns_server did not start:\n{log.read_text()[-3000:]}")

    def kill(self) -> None:
        if self._running is not None:
            process.kill(self._running)
        self._running = None

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One call of the API; `HTTPError` (an `OSError`) for a refusal."""
        request = urllib.request.Request(
            f"http://{HOST}:{self.api_port}/api/v1/servers/localhost{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": self.key, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ASK_SECONDS_MAX) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def make_zone(self, zone: str) -> None:
        soa = f"ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 5"
        rrsets = [_rrset(f"{zone}.", "SOA", 3600, [soa])]
        body = {"name": f"{zone}.", "kind": "Native", "nameservers": [f"ns.{zone}."]}
        self.ask("POST", "/zones", {**body, "rrsets": rrsets})

    def write(self, zone: str, name: str, kind: str, *values: str, ttl: int = 5) -> None:
        """Put values in place of those of one type; none: remove them."""
        self.ask("PATCH", f"/zones/{zone}.", {"rrsets": [_rrset(f"{name}.", kind, ttl, values)]})

    def read(self, zone: str) -> dict[tuple[str, str], list[str]]:
        """(name, type) to values, of everything in the zone but its SOA."""
        rrsets = self.ask("GET", f"/zones/{zone}.")["rrsets"]
        return {
            (one["name"].rstrip("."), one["type"]): sorted(r["content"] for r in one["records"])
            for one in rrsets
            if one["type"] != "SOA"
        }


def _rrset(name: str, kind: str, ttl: int, values: Any) -> dict[str, object]:
    records = [{"content": value, "disabled": False} for value in values]
    change = "REPLACE" if records else "DELETE"
    return {"name": name, "type": kind, "ttl": ttl, "changetype": change, "records": records}


@contextmanager
def powerdns(folder: Path, *, key: str = "") -> Iterator[PowerDns]:
    """`key`: the API's, one of its own without it."""
    with held_ports(2) as (dns_port, api_port):
        pass
    running = PowerDns(folder, dns_port, api_port, key)
    running.start()
    try:
        yield running
    finally:
        running.kill()
