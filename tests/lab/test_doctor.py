"""`farshore doctor` on real regions: a healthy pair, and each thing that is broken by name."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from farshore.config.load import load
from farshore.control.checkups import checkup_name
from farshore.lab.pairfile import CONTROL_BUCKET
from tests.lab.farshore_cli import Farshore
from tests.lab.fences import admit_app, credentials, forget_record

QUICK_S = 15.0
"""With one side dead it is still an answer for somebody who waits."""

DRIVERS = """
[objectives]
drill_max_age = "90d"

[switch]
propagation_max = 30
[[switch.drivers]]
kind = "file"
name = "one"
path = "one.env"
format = "env"
[switch.drivers.values]
east = "https://east.example"
west = "https://west.example"
[[switch.drivers]]
kind = "file"
name = "two"
path = "two.env"
format = "env"
[switch.drivers.values]
east = "https://east.example"
west = "https://west.example"
"""


@pytest.fixture
def pair(farshore: Farshore) -> Farshore:
    """A healthy pair: an application with rights, a copied object, a verify, a drill, a switch."""
    forget_record(farshore)
    farshore.configure(credentials=credentials(farshore), more=DRIVERS)
    for site in ("east", "west"):
        admit_app(farshore, site)
    farshore.put_all({"a.txt": [b"one", b"two"], "b.txt": [b"three"]})
    farshore.json("backfill")
    farshore.json("verify")
    farshore.json("switch", "set", "east", "--why", "a test", "--confirm", "east")
    keep_drill(farshore, "live", passed=True, ago_s=60.0)
    return farshore


def keep_drill(farshore: Farshore, level: str, *, passed: bool, ago_s: float) -> None:
    """What a drill leaves behind in the target's control bucket."""
    ended = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - ago_s))
    body = {"schema": 1, "level": level, "passed": passed, "ended_at": ended}
    name = checkup_name(load(farshore.config).pair).removeprefix("doctor/").removesuffix(".json")
    farshore.s3("west").put_object(
        Bucket=CONTROL_BUCKET, Key=f"drills/{name}/d1.json", Body=json.dumps(body).encode()
    )


def asked(farshore: Farshore, *only: str) -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    words = [word for name in only for word in ("--only", name)]
    ended = farshore.run("doctor", *words, "--json")
    document: dict[str, Any] = json.loads(ended.stdout)
    return ended.code, document


def states(document: dict[str, Any], state: str) -> list[tuple[str, str]]:
    """(check, site) of the findings in that state that count."""
    return [
        (finding["name"], finding["site"])
        for finding in document["findings"]
        if finding["state"] == state and finding["counts"]
    ]


def evidence(document: dict[str, Any], name: str, site: str = "") -> str:
    (found,) = [f for f in document["findings"] if (f["name"], f["site"]) == (name, site)]
    return f"{found['evidence']} -> {found['remedy']}"


def left_over(farshore: Farshore, sites: Sequence[str] = ("east", "west")) -> list[str]:
    """Canaries that were not purged."""
    found = []
    for site in sites:
        page = farshore.s3(site).list_object_versions(
            Bucket=farshore.bucket, Prefix=".farshore-canary/"
        )
        found += [row["Key"] for row in page.get("Versions", [])]
    return found


def test_a_healthy_pair_is_ok(pair: Farshore) -> None:
    code, document = asked(pair)
    assert (states(document, "not ok"), states(document, "could not tell")) == ([], [])
    assert (code, document["state"], document["kept"]) == (0, "ok", True)
    assert {f["name"] for f in document["findings"]} >= {"fence", "presign", "drill", "ttl"}
    assert "2 objects" in evidence(document, "replicas", "west")
    assert left_over(pair) == []
