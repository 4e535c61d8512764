"""farshore's side: `farshore backfill` with its defaults, as a user would run it."""

from __future__ import annotations

import http.client
import json
import os
import sys
from pathlib import Path

from bench import child
from bench.null_server import BUCKET, CONTROL_BUCKET, HOST, Endpoints

BINARY = str(Path(sys.executable).parent / "farshore")
REQUEST_LIMIT_SECONDS = 30
CAPABILITIES = {
    "server": "null",
    "probed_at": "2026-01-01T00:00:00Z",
    "listing": "plain",
    "encoding_type_url": True,
    "sub_second_modified": False,
    "conditional_create": True,
    "conditional_replace": True,
    "conditional_complete": True,
    "conditional_delete": True,
    "stacked_markers": True,
    "marker_by_id": False,
    "etag_is_md5": True,
    "content_md5_verified": True,
    "checksums": False,
    "part_number": True,
    "tags_per_version": True,
    "tags_on_multipart": True,
    "object_lock": False,
}
"""What `farshore apply` would have recorded of the null server, had it probed it."""

_SITE = """
[sites.{name}]
endpoint = "http://127.0.0.1:{port}"
[sites.{name}.credentials]
operator = {{ env = "BENCH" }}
replicator = {{ env = "BENCH" }}
app = {{ env = "BENCH" }}
"""
_PAIR = f"""
[pair]
source = "east"
target = "west"
[[pair.buckets]]
source = "{BUCKET}"
"""


def record_capabilities(endpoints: Endpoints) -> None:
    """Put the probe's result into both control buckets, where the backfill looks for it."""
    for site, port in (("east", endpoints.east), ("west", endpoints.west)):
        where = {"endpoint": f"http://{HOST}:{port}", "filer": ""}
        body = json.dumps({"schema": 1, **where, "capabilities": CAPABILITIES})
        client = http.client.HTTPConnection(HOST, port, timeout=REQUEST_LIMIT_SECONDS)
        client.request("PUT", f"/{CONTROL_BUCKET}/capabilities/{site}.json", body=body)
        answer = client.getresponse()
        answer.read()
        client.close()
        if answer.status != http.HTTPStatus.OK:
            raise child.ClientFailed(f"the null server answered {answer.status} to a record")


def write_config(endpoints: Endpoints, folder: str) -> None:
    """Write farshore.toml into `folder`: everything not said here is farshore's default."""
    east = _SITE.format(name="east", port=endpoints.east)
    west = _SITE.format(name="west", port=endpoints.west)
    Path(folder, "farshore.toml").write_text(east + west + _PAIR)


def environment(folder: str) -> dict[str, str]:
    """The little that the command needs."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "BENCH_ACCESS_KEY_ID": "bench",
        "BENCH_SECRET_ACCESS_KEY": "bench-secret",
    }


def copy(endpoints: Endpoints, folder: str) -> child.Cost:
    """Copy every version of the bucket from east to west; the site is `prepare`d."""
    return child.run([BINARY, "backfill"], environment(folder), folder)


def prepare(endpoints: Endpoints, folder: str) -> None:
    """What a user has done once, before any backfill: not measured."""
    write_config(endpoints, folder)
    record_capabilities(endpoints)
