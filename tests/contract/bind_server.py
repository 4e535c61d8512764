"""Real BIND on free loopback ports, killed by its id: an authority, and a caching resolver."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.update

from farshore.lab import process
from farshore.lab.ports import HOST, held_ports
from tests.debian import server

START_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
ASK_SECONDS_MAX = 5.0

ZONE = "example.test"
RECORD = f"s3.{ZONE}"
"""The one name that the switch's key may change, and of that its CNAME, A and AAAA alone."""

OPTIONS = """
options {{
    directory "{folder}";
    pid-file none;
    session-keyfile none;
    managed-keys-directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    dnssec-validation no;
    {more}
}};
controls {{ }};
"""

_AUTHORITY = """
key "switch" {{ algorithm hmac-sha256; secret "{switch}"; }};
key "other" {{ algorithm hmac-sha256; secret "{other}"; }};
zone "{zone}" {{
    type primary;
    file "zone";
    notify no;
    update-policy {{
        grant switch name {record} CNAME A AAAA;
        grant other zonesub ANY;
    }};
}};
"""

ZONE_FILE = """$TTL 5
@   IN SOA ns hostmaster 1 3600 600 86400 5
    IN NS ns
ns  IN A 127.0.0.1
"""


class Keys(NamedTuple):
    """Secrets in base64: the switch's, and of somebody else who may change everything."""

    switch: str
    other: str


class Named:
    """One named process with a configuration of its own; it can be killed and started again."""

    def __init__(self, folder: Path, port: int, configuration: str) -> None:
        self.port = port
        self.address = f"{HOST}:{port}"
        self._folder = folder
        self._running: process.Process | None = None
        (folder / "named.conf").write_text(configuration)

    def start(self) -> None:
        log = self._folder / "named.log"
        command = [server("named"), "-f", "-n", "1", "-c", str(self._folder / "named.conf")]
        environment = {"PATH": os.environ["PATH"]}
        self._running = process.spawn(command, environment, log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and process.is_running(self._running):
            if self.answers():
                return
            time.sleep(POLL_SECONDS)  # there is no event of a listening port to wait for
        raise AssertionError(f"named did not start:\n{log.read_text()[-3000:]}")

    def kill(self) -> None:
        if self._running is not None:
            process.kill(self._running)
        self._running = None

    def answers(self) -> bool:
        """Whether it answers for the zone."""
        question = dns.message.make_query(f"{ZONE}.", "SOA")
        try:
            answer = dns.query.tcp(question, HOST, timeout=1, port=self.port)
        except (OSError, EOFError, dns.exception.DNSException):
            return False
        return answer.rcode() == dns.rcode.NOERROR


class Authority(Named):
    """A primary of `ZONE`; `write` is somebody else, who may change everything in it."""

    def __init__(self, folder: Path, port: int, keys: Keys) -> None:
        options = OPTIONS.format(folder=folder, port=port, host=HOST, more="recursion no;")
        zone = _AUTHORITY.format(**keys._asdict(), zone=ZONE, record=RECORD)
        (folder / "zone").write_text(ZONE_FILE)
        super().__init__(folder, port, options + zone)
        self.keys = keys
        self._other = dns.tsig.Key("other.", keys.other, "hmac-sha256.")

    def write(self, kind: str, *values: str, ttl: int = 5, name: str = RECORD) -> None:
        """Put values of one type in place of all that is at the name; none: remove it."""
        update = dns.update.UpdateMessage(f"{ZONE}.")
        update.delete(f"{name}.")
        for value in values:
            update.add(f"{name}.", ttl, kind, value)
        self._send(update)

    def add(self, kind: str, value: str, *, name: str = RECORD, ttl: int = 5) -> None:
        update = dns.update.UpdateMessage(f"{ZONE}.")
        update.add(f"{name}.", ttl, kind, value)
        self._send(update)

    def _send(self, update: dns.update.UpdateMessage) -> None:
        update.use_tsig(self._other)
        answer = dns.query.tcp(update, HOST, timeout=ASK_SECONDS_MAX, port=self.port)
        assert answer.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(answer.rcode())

    def read(self, kind: str = "CNAME", name: str = RECORD) -> list[str]:
        """The values at the name, as the authority says them."""
        return look_up(self.port, kind, name)


def look_up(port: int, kind: str = "CNAME", name: str = RECORD) -> list[str]:
    """What the server on that port answers, by UDP."""
    question = dns.message.make_query(f"{name}.", kind)
    answer = dns.query.udp(question, HOST, timeout=ASK_SECONDS_MAX, port=port)
    return sorted(str(rdata) for rrset in answer.answer for rdata in rrset)


def new_keys() -> Keys:
    return Keys(*(base64.b64encode(os.urandom(32)).decode() for _ in Keys._fields))


@contextmanager
def authority(folder: Path, keys: Keys | None = None) -> Iterator[Authority]:
    with held_ports(1) as (port,):
        pass
    running = Authority(folder, port, keys or new_keys())
    running.start()
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def resolver(folder: Path, upstream: Authority) -> Iterator[Named]:
    """A caching resolver that asks `upstream`, and nobody else, whatever it is asked."""
    with held_ports(1) as (port,):
        pass
    more = f"recursion yes; forward only; forwarders {{ {HOST} port {upstream.port}; }};"
    running = Named(folder, port, OPTIONS.format(folder=folder, port=port, host=HOST, more=more))
    running.start()
    try:
        yield running
    finally:
        running.kill()
