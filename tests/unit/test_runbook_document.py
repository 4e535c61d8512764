"""`farshore runbook` as a command: every chapter, for a pair with and without a switch."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.cli import main
from farshore.cli.runbook import tree
from tests.unit.sites import TOML

SWITCH = """
[switch]
[[switch.drivers]]
kind = "file"
path = "endpoint.json"
"""
CHAPTERS = [
    "Before the storm",
    "When east wobbles",
    "Switchover: east → west, both are up",
    "Take a switchover back",
    "Failover: east is down, west takes over",
    "Stabilise",
    "Failback: home to east",
    "Afterwards",
]


def rendered(folder: Path, more: str, capsys: pytest.CaptureFixture[str]) -> str:
    path = folder / "farshore.toml"
    path.write_text(TOML + more)
    assert main.run(["--config", str(path), "runbook", "--hot", "seed/"]) == 0
    return capsys.readouterr().out


def test_every_chapter_is_there_with_the_names_of_the_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = rendered(tmp_path, SWITCH, capsys)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == CHAPTERS
    assert "farshore switch verify west --wait 30" in text
    assert "farshore sync seed/ --timeout 60" in text


def test_without_a_switch_it_says_so_and_shows_no_command_of_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = rendered(tmp_path, "", capsys)
    assert "No `[switch]`: clients cannot be moved" in text
    assert "farshore switch verify" not in text


def test_the_tree_has_every_command_whatever_was_called() -> None:
    found = tree()
    assert {"switch show", "divergent keep", "rollback", "drill", "audit verify"} <= found.keys()
    assert "--confirm" in found["failover"].options
