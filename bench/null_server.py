"""The null S3 server as a process of its own: two endpoints, a full source, an empty target.

`python -m bench.null_server --small 8000 --big 8` prints one line of JSON with the two
ports and serves until its standard input is closed or it is killed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from types import TracebackType

from bench.child import ROOT
from bench.null_http import Answer, Answerer, Request, Server
from bench.null_s3 import MIB, PATTERN, Bucket, Meter, Site, Stored, known_md5

SMALL_BYTES = 4096
BIG_BYTES = 128 * MIB
BULK_PATTERNS = 4
KEYS_PER_FOLDER = 1000
BUCKET = "files"
CONTROL_BUCKET = "farshore-control"
HOST = "127.0.0.1"
METER_PATH = "/-meter"
END_LIMIT_SECONDS = 30
SOURCE_AGE_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Ports on 127.0.0.1 of the two sites."""

    east: int
    west: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The server's view of a run.

    `seconds`: from the first request to the last answer, on either site. `copied`: keys
    whose ETag and size are the same on the target as on the source. `counts`: requests
    by site, method and bucket (a "/" at the end: of an object in it).
    """

    seconds: float
    copied: int
    counts: dict[str, int]


class NullServer:
    """A context manager around the process; it is ended by its pid."""

    def __init__(self, *, small: int = 0, big: int = 0) -> None:
        self._arguments = ["--small", str(small), "--big", str(big)]
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Endpoints:
        command = [sys.executable, "-m", "bench.null_server", *self._arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the null server did not start: {' '.join(command)}")
        ports = json.loads(line)
        self._port = ports["east"]
        return Endpoints(ports["east"], ports["west"])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=END_LIMIT_SECONDS)

    def read_meter(self) -> Reading:
        """What the server has seen since the meter was restarted."""
        return Reading(**json.loads(self._ask_meter("GET")))

    def restart_meter(self) -> None:
        """Measure from now on: what the preparation asked is forgotten."""
        self._ask_meter("DELETE")

    def _ask_meter(self, method: str) -> bytes:
        client = http.client.HTTPConnection(HOST, self._port, timeout=END_LIMIT_SECONDS)
        client.request(method, METER_PATH)
        answer = client.getresponse().read()
        client.close()
        return answer

    @property
    def cpu_seconds(self) -> float:
        """User and system time that the running server has taken so far."""
        assert self._process is not None
        with open(f"/proc/{self._process.pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def source_bucket(small: int, big: int) -> Bucket:
    """A bucket of `small` objects of 4 KiB in folders, and `big` objects of 128 MiB."""
    bucket = Bucket(BUCKET, keeps=False)
    for n in range(small):
        _add(bucket, b"folder-%03d/object-%06d.bin" % (n // KEYS_PER_FOLDER, n), n, SMALL_BYTES)
    for n in range(big):
        _add(bucket, b"video-%03d.bin" % n, n, BIG_BYTES)
    return bucket


def _add(bucket: Bucket, key: bytes, n: int, size: int) -> None:
    modified = float(int(time.time()) - SOURCE_AGE_SECONDS)
    headers = (
        b"Content-Type: application/octet-stream\r\nx-amz-meta-mtime: %d.25\r\n"
        b"x-amz-meta-purpose: bench\r\n" % modified
    )
    etag = known_md5(size).encode()
    bucket.put(key, Stored(etag, size, modified, b"s%031x" % n, headers, None))


def bulk_file() -> int:
    """A file in memory: `BULK_PATTERNS` patterns, few enough for the processor's cache."""
    fd = os.memfd_create("bench-bulk")
    for _ in range(BULK_PATTERNS):
        os.write(fd, PATTERN)
    return fd


def metered(site: Site, meter: Meter, source: Bucket, target: Bucket) -> Answerer:
    """The site, with the meter's reading at `METER_PATH`."""
    path = METER_PATH.encode()

    def answer(request: Request) -> Answer:
        if request.path != path:
            return site(request)
        if request.method == b"DELETE":
            meter.restart()
            return Answer(204)
        reading = Reading(meter.last - meter.first, copied_keys(source, target), meter.counts)
        return Answer(200, body=json.dumps(asdict(reading)).encode())

    return answer


def copied_keys(source: Bucket, target: Bucket) -> int:
    """How many keys have the same ETag and size in both buckets."""
    pairs = ((source.get(key), target.get(key)) for key in source.sorted_keys())
    return sum(1 for s, t in pairs if s and t and (s.etag, s.size) == (t.etag, t.size))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Build both sites, print the ports, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=0)
    parser.add_argument("--big", type=int, default=0)
    chosen = parser.parse_args()
    meter = Meter()
    source, target = source_bucket(chosen.small, chosen.big), Bucket(BUCKET, keeps=False)
    server = Server(bulk_file())
    ports = {}
    for name, bucket in (("east", source), ("west", target)):
        site = Site(name, meter)
        site.add(bucket)
        site.add(Bucket(CONTROL_BUCKET, keeps=True))
        ports[name] = server.listen(metered(site, meter, source, target))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(json.dumps(ports), flush=True)
    server.serve()


if __name__ == "__main__":
    main()
