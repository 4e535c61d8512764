"""Drills as a person holds them: scratch objects, a killed drill, and a live one under load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farshore.lab.pairfile import CONTROL_BUCKET
from tests.lab.clients import Load
from tests.lab.daemon import SETTLE_SECONDS_MAX, Daemon, contents, eventually, shape
from tests.lab.runbook_ground import STEPS, Pair, reachable, until_busy

GENTLE_S = 0.2
"""Between two writes of clients who write on while the sides are proved equal: `reprotect` has to
catch up with them, on a machine that has much else to do, too."""

NO_DAEMON = ("--override", "daemon=no daemon in this test")


@pytest.fixture
def daemon(pair: Pair) -> Iterator[Daemon]:
    with Daemon(pair) as running:
        yield running.until_ready()


def scratch(pair: Pair) -> list[str]:
    """Everything of a drill that stands anywhere: keys of versions and markers, on both sides."""
    return [
        f"{site}: {key}"
        for site in ("east", "west")
        for key, _, _ in pair.rows(site)
        if "drill" in key
    ]


def steps(drill: dict[str, Any]) -> dict[str, str]:
    return {step["id"]: step["outcome"] for step in drill["steps"]}


def isolated(pair: Pair) -> dict[str, Any]:
    return pair.done("drill", "--level", "isolated", "--hypothesis", "nobody notices")


# -- isolated ------------------------------------------------------------------------------


def test_an_isolated_drill_leaves_nothing_and_touches_nothing(pair: Pair, daemon: Daemon) -> None:
    before = recorded(pair)
    with pair.load() as running:
        drill = isolated(pair)
        until_busy(running, 10)
    assert (drill["level"], drill["passed"], drill["findings"]) == ("isolated", True, [])
    assert set(steps(drill).values()) == {"ok"}, steps(drill)
    assert "running farshore" in evidence(drill, "replicate")["by"]
    assert evidence(drill, "clean")["purged"] > 0
    assert running.failed == []
    assert scratch(pair) == []
    assert pair.active == "east"
    assert recorded(pair) == before
    equal(pair)


def recorded(pair: Pair) -> list[tuple[str, str]]:
    """(key, ETag) of the pair's control record; none where nothing was ever recorded."""
    found = pair.s3("east").list_objects_v2(Bucket=CONTROL_BUCKET, Prefix=f"record/{pair.name}.")
    return [(row["Key"], row["ETag"]) for row in found.get("Contents", [])]


def equal(pair: Pair) -> None:
    """Both sides show the same entries, by listings alone: the daemon's heartbeat goes on."""
    eventually(
        lambda: shape(pair, "east") == shape(pair, "west"), SETTLE_SECONDS_MAX, "equal histories"
    )


def evidence(drill: dict[str, Any], step: str) -> dict[str, Any]:
    (found,) = [one for one in drill["steps"] if one["id"] == step]
    seen: dict[str, Any] = found["evidence"]
    return seen


def test_without_a_daemon_the_drill_copies_and_says_so(pair: Pair) -> None:
    drill = isolated(pair)
    assert drill["passed"], drill
    assert "this command" in evidence(drill, "replicate")["by"]
    assert scratch(pair) == []
    for site in ("east", "west"):
        kept = pair.s3(site).list_objects_v2(
            Bucket=CONTROL_BUCKET, Prefix=f"drills/{pair.name}/{drill['id']}"
        )
        assert [row["Key"].rpartition(".")[2] for row in kept["Contents"]] == ["html", "json", "md"]


@pytest.mark.parametrize("place", ["drill.written", "drill.flipped"])
def test_what_a_killed_drill_left_is_purged_by_the_next(pair: Pair, place: str) -> None:
    before, files = pair.rows("east"), contents(pair, "east")
    ended = pair.order("drill", "--level", "isolated", env={"FARSHORE_DIE_AT": place})
    assert ended.code == -9, ended
    assert scratch(pair) != []
    assert pair.active == "east"
    if place == "drill.written":
        cleaned = pair.json("drill", "--clean")
        assert cleaned["purged"] > 0
        assert len(cleaned["ended"]) == 1
    else:
        assert isolated(pair)["passed"]
    assert scratch(pair) == []
    verdicts = [one["verdict"] for one in pair.json("drill", "list")["drills"]]
    assert verdicts[-1] == "aborted"
    assert pair.rows("east") == before
    assert contents(pair, "east") == files


def test_only_scratch_of_drills_is_purged(pair: Pair) -> None:
    pair.write("farshore-drill/notes.txt", b"somebody's own", "east")
    assert pair.json("drill", "--clean")["purged"] == 0
    assert isolated(pair)["passed"]
    assert scratch(pair) == ["east: farshore-drill/notes.txt"]


def test_a_target_that_is_down_fails_the_drill_and_leaves_nothing(pair: Pair) -> None:
    pair.lab.kill("west")
    ended = pair.order("drill", "--level", "isolated")
    assert ended.code == 1, ended
    said = json.loads(ended.stdout)["error"]["message"]
    assert said.startswith("A drill needs both sites, and west does not answer")
    assert said.endswith("Nothing was begun.")
    pair.lab.revive("west")
    assert pair.json("drill", "list")["drills"] == []
    assert pair.json("drill", "--clean")["silent"] == {}
    assert scratch(pair) == []


def test_what_can_be_cleaned_is_cleaned_with_the_target_down(pair: Pair) -> None:
    ended = pair.order("drill", "--level", "isolated", env={"FARSHORE_DIE_AT": "drill.written"})
    assert ended.code == -9, ended
    pair.lab.kill("west")
    ended = pair.run("drill", "--clean", "--json")
    assert ended.code == 1, ended
    told = json.loads(ended.stdout)
    assert (told["purged"] > 0, told["left"], [*told["silent"]]) == (True, None, ["west"])
    pair.lab.revive("west")
    again = pair.json("drill", "--clean")
    assert (again["left"], len(again["ended"])) == (0, 1)
    assert scratch(pair) == []


# -- plan ----------------------------------------------------------------------------------


def test_a_tabletop_walks_both_runbooks_and_changes_nothing(pair: Pair, daemon: Daemon) -> None:
    before = shape(pair, "east")
    drill = pair.done("drill", "--level", "plan")
    assert drill["passed"], drill
    for verb in ("switchover", "failover"):
        walked = [step["id"] for step in drill["steps"] if step["group"] == verb]
        assert walked == list(STEPS[verb])
    assert shape(pair, "east") == before
    assert pair.active == "east"


def test_a_tabletop_finds_what_would_fail(pair: Pair) -> None:
    pair.lab.kill("west")
    ended = pair.order("drill", "--level", "plan")
    assert ended.code != 0


# -- live ----------------------------------------------------------------------------------


def test_a_live_drill_goes_there_and_back(pair: Pair, daemon: Daemon) -> None:
    with pair.load(pause_s=GENTLE_S) as running:
        drill = pair.done(
            "drill",
            "--level",
            "live",
            "--soak",
            "1",
            "--confirm",
            "west",
            "--abort-if",
            "failed_probes>0",
        )
        until_busy(running, 10)
    assert drill["passed"], drill
    assert running.failed == []
    assert (drill["client"]["failed"], len(drill["runs"])) == (0, 2)
    assert drill["rpo"]["found_versions"] == 0
    assert drill["rto"]["total_s"] < 20
    assert (pair.active, pair.record("east")["phase"]) == ("east", "protected")
    assert acknowledged(running) <= {key for key, _ in shape(pair, "east")}
    assert scratch(pair) == []
    equal(pair)


def acknowledged(running: Load) -> set[str]:
    return {span.key for span in running.written}


def test_a_live_drill_is_called_off_before_the_flip(pair: Pair, daemon: Daemon) -> None:
    ended = pair.order("drill", "--level", "live", "--confirm", "west", "--abort-if", "frozen_s>0")
    assert ended.code == 4, ended
    drill = json.loads(ended.stdout)
    assert drill["verdict"] == "aborted"
    assert (pair.active, pair.record("east")["phase"]) == ("east", "protected")
    assert pair.may_write("east")
    assert [run["state"] for run in pair.runs()] == ["aborted"]


def test_a_live_drill_wants_the_name_and_a_daemon(pair: Pair) -> None:
    assert pair.order("drill", "--level", "live", "--confirm", "east").code == 5
    assert pair.json("drill", "list")["drills"] == []
    ended = pair.order("drill", "--level", "live", "--confirm", "west")
    assert ended.code == 4
    assert pair.runs() == []
    assert steps(json.loads(ended.stdout))["preflight"] == "failed"


# -- reports -------------------------------------------------------------------------------


def test_reports_are_read_with_one_side_gone(pair: Pair, tmp_path: Path) -> None:
    drill = isolated(pair)["id"]
    noted = pair.json("drill", "finding", drill, "--add", "who has the pager?", "--owner", "ops")
    assert noted["findings"][0]["owner"] == "ops"
    run = pair.switchover("west", *NO_DAEMON)["id"]
    pair.lab.kill("east")
    page = tmp_path / "drill.html"
    assert [one["id"] for one in pair.json("drill", "list")["drills"]] == [drill]
    for name in (drill, run):
        assert pair.json("report", name)["id"] == name
        assert pair.run("report", name).stdout.startswith("# ")
        assert pair.run("report", name, "--format", "html", "--out", str(page)).code == 0
        assert page.read_text().startswith("<!doctype html>")
    closed = pair.json("drill", "finding", drill, "--close", "1", "--by", "two@desk")
    assert closed["findings"][0]["closed_by"] == "two@desk"
    assert pair.run("report", "20200101-000000-drill-plan").code == 2
    assert not reachable(lambda: pair.s3("east").list_buckets())


def test_a_live_drill_that_stops_at_the_other_side_says_what_is_left(
    pair: Pair, daemon: Daemon
) -> None:
    ended = pair.order(
        "drill", "--level", "live", "--confirm", "west", "--soak", "30", "--abort-if", "drill_s>6"
    )
    assert ended.code == 4, ended
    drill = json.loads(ended.stdout)
    if not pair.runs()[0]["aborted"]:
        assert pair.active == "west"
        assert "Clients are at west" in drill["aborted"]
        assert not pair.may_write("east")
    assert scratch(pair) == []
