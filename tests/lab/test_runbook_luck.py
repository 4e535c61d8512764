"""Runbooks with bad luck: sites that come back or die in the middle, cuts, mute switches.

In every case one side at most takes clients' writes, and a person can bring the run to an end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.lab.settings import PERFECT, LinkSettings
from tests.lab.background import Background
from tests.lab.daemon import Daemon, contents, eventually, settle
from tests.lab.farshore_cli import Ended
from tests.lab.runbook_ground import BUSY_S, NOBODY_MADE, Pair, reachable, until_busy
from tests.lab.traceless import serves, takes_writes

NO_DAEMON = ("--override", "daemon=no daemon in this test")
CUT = LinkSettings(cut=True)
RUN_SECONDS_MAX = 60.0
"""A run whose site has fallen silent ends by then, well or badly."""


@pytest.fixture
def ground(kills: Pair) -> Iterator[Pair]:
    """Afterwards the links are whole again."""
    yield kills
    for site in ("east", "west"):
        kills.lab.link(site, PERFECT)


def killed(pair: Pair, verb: str, place: str, *more: str) -> str:
    """A run towards west that dies there; its id."""
    words = (verb, "--to", "west", "--confirm", "west", *more)
    ended = pair.order(*words, env={"FARSHORE_DIE_AT": place})
    assert ended.code == -9, (place, ended)
    return str(pair.runs()[0]["id"])


def only_at(pair: Pair, site: str) -> None:
    """Clients are sent there, may write there, and the other side refuses them."""
    other = "west" if site == "east" else "east"
    assert pair.active == site
    assert not pair.may_write(other)
    record = pair.record(site)
    assert (record["primary"], record["freeze"]) == (site, None)
    serves(pair, site)


def as_before(pair: Pair) -> None:
    """East is primary, open and protected; nothing of the run is left."""
    assert pair.active == "east"
    record = pair.record("east")
    assert (record["phase"], record["primary"]) == ("protected", "east")
    assert (record["fences"], record["freeze"]) == ([], None)
    serves(pair, "east")


# -- the old site comes back ---------------------------------------------------------------


def test_the_source_comes_back_before_it_was_fenced(bereft: Pair) -> None:
    run = killed(bereft, "failover", "run.recorded:2")
    bereft.lab.revive("east")
    assert bereft.json("resume", run)["state"] == "done"
    assert bereft.fence_state("east") == "standing"
    only_at(bereft, "west")


def test_the_source_comes_back_behind_the_flip_and_is_fenced_at_once(pair: Pair) -> None:
    with Daemon(pair) as running:
        running.until_ready()
        with pair.load() as before:
            pass
        settle(pair)
        pair.lab.kill("east")
        run = killed(pair, "failover", "run.recorded:4")
        pair.lab.revive("east")
        eventually(lambda: pair.fence_state("east") == "standing", BUSY_S, "east is fenced")
        assert not pair.may_write("east")
        assert pair.json("resume", run)["state"] == "done"
        only_at(pair, "west")
        with pair.load() as later:
            until_busy(later, 10)
    assert later.failed == []
    written = {span.key for span in (*before.written, *later.written)}
    assert written <= contents(pair, "west").keys()


# -- the new site dies ---------------------------------------------------------------------


@pytest.mark.parametrize("step", [3, 5])
def test_the_target_dies_before_the_flip_and_all_is_taken_back(ground: Pair, step: int) -> None:
    """Drained, and fenced: with west dead nobody could write anywhere until it is taken back."""
    run = killed(ground, "switchover", f"run.recorded:{step}", *NO_DAEMON)
    ground.lab.kill("west")
    ended = ground.order("abort", run)
    assert ended.code == 0, ended
    assert json.loads(ended.stdout)["state"] == "aborted"
    as_before(ground)
    ground.lab.revive("west")
    assert ground.json("runs")["runs"][0]["state"] == "aborted"
    assert ground.switchover("west", *NO_DAEMON)["state"] == "done"


def test_a_switchover_whose_target_has_died_takes_itself_back(ground: Pair) -> None:
    run = killed(ground, "switchover", "run.recorded:3", *NO_DAEMON)
    ground.lab.kill("west")
    ended = ground.run("resume", run, "--json")
    assert ended.code == 1, ended
    assert json.loads(ended.stdout)["state"] == "aborted"
    as_before(ground)


def test_the_target_dies_behind_the_flip_and_comes_back(ground: Pair) -> None:
    run = killed(ground, "switchover", "run.acted:7", *NO_DAEMON)
    ground.lab.kill("west")
    ended = ground.run("resume", run, "--json")
    assert ended.code in (1, 3, 6), ended
    assert not ground.may_write("east")
    revived(ground, "west")
    assert ground.json("resume", run)["state"] == "done"
    only_at(ground, "west")


def revived(pair: Pair, site: str) -> None:
    """It is back, and the proxy has seen it wherever it sends clients there."""
    pair.lab.revive(site)
    get = {"Bucket": pair.bucket, "Key": "seed/0"}
    eventually(
        lambda: pair.active != site or reachable(lambda: pair.at_the_door().get_object(**get)),
        RUN_SECONDS_MAX,
        f"the proxy has found {site}",
    )


def test_a_failover_whose_target_dies_goes_on_when_it_is_back(bereft: Pair) -> None:
    run = killed(bereft, "failover", "run.recorded:3")
    bereft.lab.kill("west")
    assert bereft.run("resume", run, "--json").code != 0, "no side answers"
    revived(bereft, "west")
    assert bereft.json("resume", run)["state"] == "done"
    assert bereft.active == "west"
    assert takes_writes(bereft, "west")


# -- a cut ---------------------------------------------------------------------------------


def under_way(pair: Pair, phase: str) -> Background:
    """A switchover of its own, once the record has come to that phase."""
    words = ("switchover", "--to", "west", "--confirm", "west", *NO_DAEMON)
    running = pair.start(*words, "--why", "a test", "--json")

    def there() -> bool:
        assert running.poll() is None or pair.record("east")["phase"] != "protected"
        return _phase(pair) == phase

    eventually(there, RUN_SECONDS_MAX, phase)
    return running


def _phase(pair: Pair) -> str:
    s3 = pair.s3("east")
    found = s3.list_objects_v2(Bucket="farshore-control", Prefix=f"record/{pair.name}.")
    return str(pair.record("east")["phase"]) if found.get("Contents") else ""


def ended(running: Background) -> Ended:
    out, err = running.communicate(timeout=RUN_SECONDS_MAX)
    return Ended(running.wait(), out, err)


def test_the_line_to_the_target_is_cut_in_a_switchover(ground: Pair) -> None:
    running = under_way(ground, "frozen")
    ground.lab.link("west", CUT)
    how = ended(running)
    assert how.code != 0, how
    assert ground.active == "east"
    ground.lab.link("west", PERFECT)
    run = ground.runs()[0]
    if run["state"] != "aborted":
        ground.done("abort", run["id"])
    as_before(ground)


def test_a_cut_that_heals_is_gone_on_after(ground: Pair) -> None:
    run = killed(ground, "switchover", "run.recorded:5", *NO_DAEMON)
    ground.lab.link("east", CUT)
    first = ground.run("resume", run, "--json")
    assert first.code != -9
    ground.lab.link("east", PERFECT)
    if first.code:
        assert ground.json("resume", run)["state"] == "done"
    only_at(ground, "west")
    ground.done("commit")  # whoever changes the record next brings the side that was cut up to it
    assert ground.record("east") == ground.record("west")


# -- a mute switch -------------------------------------------------------------------------

PROGRAM = """
import json, pathlib, sys, time
here, asked = pathlib.Path(__file__).parent, json.load(sys.stdin)
value, mute = here / "clients", here / "mute"
if sys.argv[1] == "apply":
    value.write_text(asked["values"][asked["to"]])
    if MUTE:
        mute.write_text("")
    time.sleep(60)
if mute.exists():
    sys.exit(1)
print(json.dumps({"readings": [{"vantage": "clients", "raw": value.read_text()}]}))
"""


def mute_driver(pair: Pair, *, stays_mute: bool) -> Path:
    """A second driver, whose program acts and does not end; it may not answer afterwards."""
    program = pair.folder / "switch.py"
    program.write_text(PROGRAM.replace("MUTE", str(stays_mute)))
    (pair.folder / "clients").write_text("a")
    argv = json.dumps([sys.executable, str(program)])
    lines = ("[[switch.drivers]]", 'kind = "command"', f"argv = {argv}", 'timeout = "3s"')
    pair.renew(more="\n".join([*lines, 'values = { east = "a", west = "b" }']))
    return pair.folder / "mute"


def test_a_switch_that_acts_and_says_nothing_is_read_again(ground: Pair) -> None:
    mute_driver(ground, stays_mute=False)
    assert ground.switchover("west", *NO_DAEMON)["state"] == "done"
    only_at(ground, "west")


def test_a_switch_that_falls_mute_leaves_the_run_unknown(ground: Pair) -> None:
    mute = mute_driver(ground, stays_mute=True)
    how = ground.order("switchover", "--to", "west", "--confirm", "west", *NO_DAEMON)
    assert how.code == 6, how
    run = json.loads(how.stdout)
    assert run["state"] == "unknown"
    assert run["steps"][-1]["id"] == "flip"
    assert not ground.may_write("east")
    assert ground.record("east")["freeze"] is not None
    assert ground.run("resume", run["id"], "--json").code == 6, "it still cannot be read"
    assert not ground.may_write("east")
    mute.unlink()
    assert ground.json("resume", run["id"])["state"] == "done"
    only_at(ground, "west")


# -- what is missing, and who else is there ------------------------------------------------


def without_control_bucket(pair: Pair, site: str) -> None:
    """That site's control bucket is one that nobody has made."""
    text = pair.config.read_text()
    pair.config.write_text(
        text.replace(f"[sites.{site}]", f'[sites.{site}]\ncontrol_bucket = "{NOBODY_MADE}"')
    )


def test_no_control_bucket_at_the_new_site_stops_everything(ground: Pair) -> None:
    without_control_bucket(ground, "west")
    for verb in ("switchover", "failover"):
        how = ground.order(verb, "--to", "west", "--confirm", "west", *NO_DAEMON)
        assert how.code not in (0, -9), how
        assert "farshore apply" in how.stdout, how
        ground.done("abort")
        assert ground.active == "east"
        assert takes_writes(ground, "east")


def test_no_control_bucket_at_the_dead_site_is_no_matter(bereft: Pair) -> None:
    without_control_bucket(bereft, "east")
    assert bereft.failover("west")["state"] == "done"
    assert bereft.active == "west"
    assert takes_writes(bereft, "west")


def test_a_run_is_made_by_one_at_a_time(ground: Pair) -> None:
    run = killed(ground, "switchover", "run.recorded:2", *NO_DAEMON)
    both = [ground.start("resume", run, "--json") for _ in range(2)]
    codes = sorted(ended(one).code for one in both)
    assert codes[0] == 0
    assert codes[1] in (0, 5), codes
    (found,) = ground.runs()
    assert found["state"] == "done"
    only_at(ground, "west")
