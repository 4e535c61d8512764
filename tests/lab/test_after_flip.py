"""`farshore status` after a flip: the run, what clients met with, and what is open until closed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.daemon import Daemon
from tests.lab.runbook_ground import Pair, until_busy


def status(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pair.run("status", "--json").stdout)
    return found


def still_open(document: dict[str, Any]) -> set[str]:
    return {item["name"] for item in document["after_flip"]["open"]}


@pytest.mark.timeout(180)  # a switchover under load, and the copy back
def test_a_switchover_is_told_until_all_of_it_is_closed(pair: Pair) -> None:
    assert still_open(status(pair)) == set(), "nothing was switched yet"
    with Daemon(pair) as daemon:
        daemon.until_ready()
        with pair.load() as running:
            done = pair.switchover("west")
            until_busy(running, 20)
        after = status(pair)
        told = after["after_flip"]
        assert (told["run"]["id"], told["run"]["state"]) == (done["id"], "done")
        before, since = told["errors"]["before"], told["errors"]["since"]
        assert (before["site"], before["requests"] > 0) == ("east", True)
        assert (since["site"], since["requests"] >= 20, since["failed"]) == ("west", True, 0)
        assert still_open(after) == {"uncommitted", "old-side-fenced"}

        pair.done("commit")
        committed = status(pair)
        assert still_open(committed) == {"unprotected", "old-side-fenced"}
        assert committed["verdict"] == "NOT SAFE"
        screen = pair.run("status").stdout
        assert "west is primary and unprotected, nothing is copied to east: `farshore" in screen
        assert "still open" in screen
        assert "errors since" in screen

        pair.protect_again(daemon)
        closed = status(pair)
    assert (still_open(closed), closed["after_flip"]["run"]) == (set(), None)
    proof = closed["last_verify"]
    assert (proof["differences"], proof["versions"] > 0) == (0, True), "reprotect has proved it"


def test_a_failover_asks_for_what_the_lost_side_alone_has(pair: Pair) -> None:
    pair.lab.kill("east")
    pair.failover("west", "--override", "record=a test")
    assert still_open(status(pair)) >= {"uncommitted", "divergent-unknown", "set-aside"}
