"""`farshore lab`, as a person or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from farshore.cli import main
from farshore.lab.regions import Lab
from farshore.lab.settings import PERFECT

Capture = pytest.CaptureFixture[str]


def _said(capsys: Capture, lab: Lab, *words: str) -> str:
    """What `farshore lab WORDS` prints."""
    assert main.run(["lab", *words, "--dir", str(lab.folder)]) == 0
    return capsys.readouterr().out


def _json(capsys: Capture, lab: Lab, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_said(capsys, lab, *words, "--json"))
    return document


def test_status_has_addresses_and_keys_for_machines(lab: Lab, capsys: Capture) -> None:
    found = lab.status()
    east, west = _json(capsys, lab, "status")["sites"]
    assert (east["name"], west["name"]) == ("east", "west")
    assert east["endpoint"] == found.site("east").endpoint
    assert east["direct_endpoint"] == found.site("east").direct_endpoint
    assert east["filer"] == found.site("east").filer
    assert east["filer_grpc"] == found.site("east").filer_grpc
    assert east["pid"] == found.site("east").pid
    assert set(east["principals"]) == {"operator", "replicator", "app", "owner"}
    for name, keys in found.site("east").principals.items():
        expected = {"access_key": keys.access_key, "secret_key": keys.secret_key}
        assert east["principals"][name] == expected


def test_people_see_no_secret(lab: Lab, capsys: Capture) -> None:
    shown = _said(capsys, lab, "status") + repr(lab.status())
    for site in lab.status().sites:
        assert site.endpoint in shown
        assert not any(keys.secret_key in shown for keys in site.principals.values())


def test_up_says_that_it_is_up(lab: Lab, capsys: Capture) -> None:
    before = lab.status()
    assert "The lab is up already." in _said(capsys, lab, "up")
    assert lab.status() == before


def test_kill_and_revive(lab: Lab, capsys: Capture) -> None:
    assert "west is dead" in _said(capsys, lab, "kill", "west")
    assert "dead" in _said(capsys, lab, "status")
    assert _json(capsys, lab, "status")["sites"][1]["pid"] is None
    assert "west is alive" in _said(capsys, lab, "revive", "west")


def test_link_changes_what_is_named_and_keeps_the_rest(lab: Lab, capsys: Capture) -> None:
    _said(capsys, lab, "link", "east", "--latency", "20", "--jitter", "2", "--rate", "100")
    shown = _said(capsys, lab, "link", "east", "--cut")
    assert "cut, 20 ± 2 ms each way, 100 Mbit/s" in shown
    assert "20 ± 2 ms each way, 100 Mbit/s" in _said(capsys, lab, "link", "east", "--heal")
    assert _json(capsys, lab, "link", "east")["link"]["cut"] is False
    assert "refusing" in _said(capsys, lab, "link", "east", "--refuse")
    assert "refusing" not in _said(capsys, lab, "link", "east", "--heal")
    _said(capsys, lab, "link", "east", "--reset-after", "4096")
    assert lab.link_settings("east").reset_after == 4096
    assert lab.link_settings("west") == PERFECT


def test_refuse_and_cut_exclude_each_other(lab: Lab, capsys: Capture) -> None:
    for two in (["--cut", "--heal"], ["--refuse", "--heal"]):
        assert main.run(["lab", "link", "east", *two, "--dir", str(lab.folder)]) == 2
    for word in ("kill", "revive", "link"):
        assert main.run(["lab", word, "north", "--dir", str(lab.folder)]) == 2
    words = ["lab", "link", "east", "--refuse", "--cut", "--dir", str(lab.folder)]
    assert main.run(words) == 2
    assert "--refuse" in capsys.readouterr().err
    assert lab.link_settings("east") == PERFECT


def test_without_a_lab_the_hint_says_how_to_start_one(tmp_path: Path, capsys: Capture) -> None:
    assert main.run(["lab", "status", "--dir", str(tmp_path)]) == 1
    assert "farshore lab up" in capsys.readouterr().err
    assert main.run(["lab", "down", "--dir", str(tmp_path)]) == 0
