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
from farshore.lab.regions import Lab
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


SLOW_SWITCH = """
import json, sys
json.load(sys.stdin)
print(json.dumps({"readings": [{"vantage": "cache", "raw": "e"}], "propagation_s": 300.0}))
"""
"""A user's program whose clients keep what they were told for five minutes."""


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


def test_each_broken_thing_is_named(pair: Farshore) -> None:
    pair.s3("west", "operator").delete_bucket_policy(Bucket=pair.bucket)
    (pair.folder / "two.env").write_text(
        (pair.folder / "two.env").read_text().replace("east.example", "west.example")
    )
    for site, origin in (("east", "https://a.example"), ("west", "https://b.example")):
        rule = {"AllowedOrigins": [origin], "AllowedMethods": ["GET"]}
        pair.s3(site).put_bucket_cors(Bucket=pair.bucket, CORSConfiguration={"CORSRules": [rule]})
    expire = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}}
    pair.s3("west").put_bucket_lifecycle_configuration(
        Bucket=pair.bucket,
        LifecycleConfiguration={"Rules": [{**expire, "Expiration": {"Days": 30}}]},
    )
    keep_drill(pair, "live", passed=True, ago_s=91 * 86400.0)
    began = time.monotonic()
    code, document = asked(pair)
    assert (code, time.monotonic() - began < QUICK_S) == (4, True), document
    wrong = set(states(document, "not ok"))
    assert wrong >= {
        ("rights", "west"),
        ("presign", "west"),
        ("switch", ""),
        ("parity-cors", ""),
        ("parity-policy", ""),
        ("lifecycle", "west"),
        ("drill", ""),
    }
    assert not wrong & {("rights", "east"), ("fence", "east"), ("versioning", "west")}
    assert "the app at west lacks s3:PutObject" in evidence(document, "rights", "west").replace(
        "The app", "the app"
    )
    assert "expires replicas after 30 d" in evidence(document, "lifecycle", "west")
    assert "https://a.example" in evidence(document, "parity-cors")
    assert left_over(pair) == []

    judged = pair.run("status", "--json")
    told = json.loads(judged.stdout)
    reasons = {reason["name"]: reason["level"] for reason in told["reasons"]}
    assert reasons["doctor-rights"] == "NOT SAFE"
    assert {"doctor-switch", "drill-old"} <= set(reasons)

    shown = pair.run("apply", "--parity", "--dry-run", "--json")
    assert shown.code == 4, shown
    carried = pair.run("apply", "--parity", "--yes", "--json")
    assert carried.code == 0, carried
    assert {row["kind"] for row in json.loads(carried.stdout)["carried"]} == {"cors", "policy"}
    code, document = asked(pair, "parity", "rights")
    assert states(document, "not ok") == [], "what was carried is the same, and works"
    assert document["kept"] is False, "a part of it is not kept for the whole"


def test_a_fence_that_does_not_bite_and_a_ttl_that_is_too_long_are_named(pair: Farshore) -> None:
    text = pair.config.read_text()
    spared = '[sites.east.fence]\nspare = ["operator", "replicator", "app"]\nobeyed_within = 1\n'
    pair.config.write_text(f"{text}\n{spared}")
    code, document = asked(pair, "fence")
    assert (code, states(document, "not ok")) == (4, [("fence", "east")])
    assert "the app could still write" in evidence(document, "fence", "east")

    slow = text.replace("propagation_max = 30", "propagation_max = 1")
    program = pair.folder / "slow.py"
    program.write_text(SLOW_SWITCH)
    driver = (
        f'[[switch.drivers]]\nkind = "command"\nname = "slow"\nargv = ["python3", "{program}"]\n'
        '[switch.drivers.values]\neast = "e"\nwest = "w"\n'
    )
    pair.config.write_text(f"{slow}\n{driver}")
    code, document = asked(pair, "ttl", "switch")
    assert states(document, "not ok") == [("ttl", "")], document
    assert "slow: clients keep the old answer for up to 300 s" in evidence(document, "ttl")


def test_with_one_side_dead_it_is_quick_and_still_useful(pair: Farshore, lab: Lab) -> None:
    for dead, alive in (("east", "west"), ("west", "east")):
        lab.kill(dead)
        began = time.monotonic()
        code, document = asked(pair)
        took = time.monotonic() - began
        lab.revive(dead)
        assert (code, took < QUICK_S) == (4, True), (took, document)
        assert states(document, "not ok") == [("sites", dead)]
        assert ("rights", alive) in states(document, "ok")
        assert ("rights", dead) in states(document, "could not tell")
    assert left_over(pair) == []


def test_an_unknown_check_is_refused_with_those_that_there_are(farshore: Farshore) -> None:
    refused = farshore.run("doctor", "--only", "nonsense", "--json")
    assert refused.code == 2
    assert "versioning" in refused.error["hint"]
