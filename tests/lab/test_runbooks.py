"""Runbooks as a person runs them: a front door, a daemon, live clients, and sites that die."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest

from tests.lab.clients import Load
from tests.lab.daemon import Daemon, contents, eventually, settle, status
from tests.lab.runbook_ground import Pair, until_busy

FROZEN_S_MAX = 8.0
"""What clients bear; how much less it is, the benchmark says."""
NO_DAEMON = ("--override", "daemon=no daemon in this test")
"""Where nothing is to be copied."""


@pytest.fixture
def daemon(pair: Pair) -> Iterator[Daemon]:
    with Daemon(pair) as running:
        yield running.until_ready()


def acknowledged(running: Load) -> set[str]:
    return {span.key for span in running.written}


# -- both sites are up ---------------------------------------------------------------------


def test_a_switchover_under_load_fails_nobody_and_loses_nothing(pair: Pair, daemon: Daemon) -> None:
    with pair.load() as running:
        done = pair.switchover("west")
        until_busy(running, 20)
    assert running.failed == []
    assert done["state"] == "done"
    assert pair.active == "west"
    assert acknowledged(running) <= contents(pair, "west").keys()
    assert not pair.may_write("east")
    assert frozen_s(done) < FROZEN_S_MAX
    assert pair.record("east") == pair.record("west")


def frozen_s(run: Mapping[str, Any]) -> float:
    """From the beginning of the freeze to the end of the thaw."""
    steps = {step["id"]: step for step in run["steps"]}
    began, ended = steps["freeze"]["began_at"], steps["thaw"]["ended_at"]
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def test_there_and_back_again(pair: Pair, daemon: Daemon) -> None:
    with pair.load() as running:
        pair.switchover("west")
        assert pair.order("failback", "--confirm", "east").code != 0, "not before it is protected"
        pair.done("commit")
        until_busy(running, 10)
    pair.protect_again(daemon)
    with pair.load() as later:
        done = pair.done("failback", "--confirm", "east")
        until_busy(later, 10)
    assert done["state"] == "done"
    assert running.failed == later.failed == []
    assert pair.active == "east"
    assert pair.may_write("east")
    assert not pair.may_write("west")
    assert acknowledged(running) | acknowledged(later) <= contents(pair, "east").keys()


def test_a_rollback_goes_back_while_nothing_was_written(pair: Pair) -> None:
    assert pair.order("rollback", "--confirm", "east").code != 0, "there is nothing to go back from"
    pair.switchover("west", *NO_DAEMON)
    assert pair.done("rollback", "--confirm", "east")["state"] == "done"
    assert pair.active == "east"
    assert pair.may_write("east")
    assert not pair.may_write("west")
    record = pair.record("east")
    assert (record["phase"], record["primary"], record["freeze"]) == ("protected", "east", None)


def test_nobody_goes_back_to_a_site_that_does_not_answer(pair: Pair) -> None:
    pair.switchover("west", *NO_DAEMON)
    pair.lab.kill("east")
    ended = pair.order("rollback", "--confirm", "east")
    assert ended.code != 0
    assert "east" in ended.error["message"]
    assert "cannot be reached" in ended.error["message"]
    assert [run["state"] for run in pair.runs()] == ["done"], "no run is left behind"


def test_a_rollback_is_refused_once_something_was_written(pair: Pair) -> None:
    pair.switchover("west", *NO_DAEMON)
    pair.at_the_door().put_object(Bucket=pair.bucket, Key="new", Body=b"after the flip")
    assert pair.json("presign", "get", "new")["site"] == "west", "where clients go"
    ended = pair.order("rollback", "--confirm", "east")
    assert ended.code == 1
    assert "1 versions were written at west" in json.loads(ended.stdout)["aborted"]
    assert pair.active == "west"
    pair.at_the_door().put_object(Bucket=pair.bucket, Key="newer", Body=b"writes go on")
    assert not pair.may_write("east")


# -- east dies -----------------------------------------------------------------------------


def test_a_failover_from_a_dead_site_and_the_whole_way_back(pair: Pair, daemon: Daemon) -> None:
    with pair.load() as running:
        pass
    settle(pair)
    pair.lab.kill("east")
    done = pair.failover("west")
    assert done["state"] == "done"
    with pair.load() as later:
        until_busy(later, 20)
    assert later.failed == []
    pair.lab.revive("east")
    eventually(lambda: pair.fence_state("east") == "standing", 60, "east is fenced, being back")
    assert not pair.may_write("east")
    pair.done("commit")
    pair.protect_again(daemon)
    proof = pair.json("verify")
    assert proof["differences"] == [], proof
    page = pair.run("report", done["id"]).stdout
    assert "RPO found afterwards: 0.00 s, 0 versions missing, by reprotect by " in page
    assert pair.done("failback", "--confirm", "east")["state"] == "done"
    assert pair.may_write("east")
    assert acknowledged(running) | acknowledged(later) <= contents(pair, "east").keys()


def test_a_failover_names_what_is_known_to_be_missing(pair: Pair, daemon: Daemon) -> None:
    def told() -> bool:
        return bool(status(pair)[1]["report"]["backlog"]["count"] == 2)

    settle(pair)
    pair.json("pause")
    for key in ("late/1", "late/2"):
        pair.write(key, b"written after the pause", "east")
    eventually(told, 60, "the far side has been told")
    offered = pair.run("failover", "--to", "west", "--why", "a test")
    assert offered.code == 2
    assert "east still answers" in offered.stdout
    assert "`farshore sync PREFIX`" in offered.stdout
    pair.lab.kill("east")
    shown = pair.failover("west")["plan"]["shown"]
    assert (shown["missing_versions"], len(shown["known_missing"])) == (2, 2)
    assert {name.partition("/")[2] for name in shown["known_missing"]} == {"late/1", "late/2"}


def test_without_a_daemon_s_word_the_last_verify_says_what_may_be_lost(pair: Pair) -> None:
    pair.json("backfill")
    began = pair.json("verify")
    assert began["differences"] == []
    pair.lab.kill("east")
    shown = pair.failover("west")["plan"]["shown"]
    assert shown["watermark"] is not None
    assert shown["missing_versions"] is None, "nobody has counted what waits"


def test_writes_are_held_until_a_person_allows_them(pair: Pair) -> None:
    pair.lab.kill("east")
    assert pair.failover("west", "--writes", "hold")["state"] == "done"
    assert pair.active == "west"
    assert not pair.may_write("west")
    assert pair.s3("west", "app").get_object(Bucket=pair.bucket, Key="seed/1")
    ended = pair.order("unfence", "west", "--confirm", "west")
    assert ended.code == 0, ended
    assert pair.may_write("west")


# -- who may, and when ---------------------------------------------------------------------


def test_a_stale_approval_is_refused(pair: Pair) -> None:
    run = pair.switchover("west", *NO_DAEMON, "--two-persons", "--by", "one@desk")
    assert run["state"] == "planned"
    mine = pair.order("approve", run["id"], "--by", "one@desk")
    assert mine.code != 0
    assert "two persons" in mine.error["message"]
    pair.done("approve", run["id"], "--by", "two@desk")
    pair.done("switch", "set", "west", "--confirm", "west")
    ended = pair.run("resume", run["id"], "--json")
    assert ended.code == 5
    assert "have changed since the approval: " in ended.error["message"]
    assert pair.runs()[0]["state"] == "approved"


def test_two_persons_agree_and_the_second_begins_it(pair: Pair) -> None:
    run = pair.switchover("west", *NO_DAEMON, "--two-persons", "--by", "one@desk")
    pair.done("approve", run["id"], "--by", "two@desk")
    assert pair.active == "east"
    ended = pair.json("resume", run["id"], "--by", "two@desk")
    assert ended["state"] == "done"
    assert pair.active == "west"


def test_a_plan_is_kept_and_begun_later(pair: Pair) -> None:
    run = pair.done("plan", "switchover", *NO_DAEMON)
    assert (run["state"], run["plan"]["target"]) == ("planned", "west")
    assert pair.active == "east"
    assert pair.order("plan", "holiday").code == 2
    pair.done("approve", run["id"])
    assert pair.json("resume", run["id"])["state"] == "done"
    assert pair.active == "west"


def test_one_run_at_a_time(pair: Pair) -> None:
    run = pair.switchover("west", *NO_DAEMON, "--two-persons", "--by", "one@desk")
    second = pair.order("failover", "--to", "west", "--confirm", "west")
    assert second.code == 5
    assert run["id"] in second.error["message"]
    assert [one["id"] for one in pair.runs()] == [run["id"]]
    pair.done("decline", run["id"], "--by", "two@desk")
    assert pair.runs()[0]["state"] == "declined"
    assert pair.run("resume", run["id"]).code == 5
    assert pair.switchover("west", *NO_DAEMON)["state"] == "done"


def test_a_wrong_name_changes_nothing(pair: Pair) -> None:
    ended = pair.order("switchover", "--to", "west", "--confirm", "wset", *NO_DAEMON)
    assert ended.code == 5
    assert pair.runs() == []
    assert pair.active == "east"
    assert pair.order("switchover", "--to", "north", "--confirm", "north").code in (1, 2, 3)
    assert pair.runs() == []


def test_an_override_names_a_rule_and_a_reason(pair: Pair) -> None:
    for text in ("daemon", "daemon=", "weather=fine"):
        ended = pair.order("switchover", "--to", "west", "--confirm", "west", "--override", text)
        assert ended.code == 2, ended
    assert pair.runs() == []
    without = pair.order("switchover", "--to", "west", "--confirm", "west")
    assert without.code == 1
    assert json.loads(without.stdout)["state"] == "aborted"
    assert "daemon" in json.loads(without.stdout)["aborted"]
    assert pair.may_write("east")


# -- abort ---------------------------------------------------------------------------------


def dies(pair: Pair, place: str) -> str:
    """A switchover that is killed there; the run's id."""
    words = ("switchover", "--to", "west", "--confirm", "west", *NO_DAEMON)
    ended = pair.order(*words, env={"FARSHORE_DIE_AT": place})
    assert ended.code == -9, ended
    return str(pair.runs()[0]["id"])


def test_an_abort_before_the_flip_takes_everything_back(pair: Pair) -> None:
    run = dies(pair, "run.recorded:5")
    assert not pair.may_write("east")
    pair.done("abort", run)
    assert pair.active == "east"
    with pair.load() as running:
        until_busy(running, 10)
    assert running.failed == []
    assert (pair.record("west")["phase"], pair.record("west")["fences"]) == ("protected", [])


def test_an_abort_after_the_flip_leaves_what_stands(pair: Pair) -> None:
    run = dies(pair, "run.acted:7")
    ended = pair.done("abort", run)
    assert ended["state"] == "aborted"
    assert pair.active == "west"
    assert not pair.may_write("east")
    assert pair.record("west")["primary"] == "west"
