"""`farshore demo` to its end, with HAProxy and without: every check agrees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farshore.lab.front_door import VARIABLE
from tests.debian import server

SECONDS_MAX = 180
"""What the demo promises, on two cores."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * SECONDS_MAX)]


@pytest.mark.parametrize(("haproxy", "how"), [(True, "HAProxy"), (False, "farshore.boto3_client")])
def test_everything_agrees_from_the_first_copy_to_home_again(
    tmp_path: Path, haproxy: bool, how: str
) -> None:
    program = server("haproxy") if haproxy else str(tmp_path / "none")
    report = tmp_path / "report" / "demo.md"
    done = subprocess.run(
        [sys.executable, "-m", "farshore", "demo", "--json", "--report", str(report)],
        env={**os.environ, VARIABLE: program},
        capture_output=True,
        text=True,
        timeout=2 * SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    assert told["objections"] == []
    assert told["seconds"] < SECONDS_MAX
    assert how in told["steps"][0]["outcome"]
    measured = told["measured"]
    assert 0 < measured["rto_s"] < 30
    assert measured["writes_acknowledged"] > 150
    assert [run["state"] for run in measured["runs"].values()] == ["done", "done"]
    assert told["report"] == str(report)
    assert "approved by the script of the demo" in report.read_text()
