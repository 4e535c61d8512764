"""`farshore status` on real sites, without the daemon: from the buckets alone."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from farshore.lab.regions import Lab
from tests.lab.farshore_cli import Farshore


def asked(farshore: Farshore) -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    ended = farshore.run("status", "--json")
    document: dict[str, Any] = json.loads(ended.stdout)
    return ended.code, document


def test_a_verify_proves_where_we_stand_also_with_the_source_dead(
    farshore: Farshore, lab: Lab
) -> None:
    farshore.put_all({"a.txt": [b"one"]})
    farshore.json("backfill")
    before = asked(farshore)[1]["at"]
    farshore.json("verify")
    code, document = asked(farshore)
    assert document["last_verify"]["versions"] == 1
    assert document["last_verify"]["differences"] == 0
    began = datetime.fromisoformat(document["last_verify"]["began_at"])
    assert began >= datetime.fromisoformat(before) - timedelta(seconds=2)
    assert code == {"AT RISK": 3, "NOT SAFE": 4}[document["verdict"]]
    assert document["verdict"] != "SAFE", "no daemon runs: nobody knows what is written next"

    lab.kill("east")
    code, document = asked(farshore)
    assert code in (3, 4)
    assert document["source"]["answers"] is False
    assert document["watermark"] is not None
    said = farshore.run("status").stdout
    assert "is on west; after that, unknown." in said.splitlines()[0]

    lab.kill("west")
    code, document = asked(farshore)
    assert (code, document["verdict"]) == (4, "NOT SAFE")
    assert "west does not answer" in document["reasons"][0]["text"]


def test_differences_are_not_safe(farshore: Farshore) -> None:
    farshore.put_all({"a.txt": [b"one"]})
    assert farshore.run("verify").code == 4
    code, document = asked(farshore)
    assert code == 4
    assert "found 1 difference" in " ".join(r["text"] for r in document["reasons"])
