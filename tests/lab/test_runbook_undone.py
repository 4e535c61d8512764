"""farshore killed while it takes a run back, and while it goes back: gone on with, all the same.

The last one is killed with live writers at the front door and `farshore run` at work.
"""

from __future__ import annotations

import pytest

from tests.lab.daemon import Daemon, contents
from tests.lab.runbook_ground import Pair, until_busy
from tests.lab.traceless import serves, takes_writes

NO_DAEMON = ("--override", "daemon=no daemon in this test")
ROLLBACK_STEPS = 11
BEGUN = 5
"""Steps of a switchover that stand when it is to be taken back: writes are fenced off."""


def killed(pair: Pair, place: str, *words: str) -> None:
    """A command that dies there."""
    ended = pair.order(*words, env={"FARSHORE_DIE_AT": place})
    assert ended.code == -9, (place, ended)


def switchover_killed(pair: Pair, place: str, *more: str) -> str:
    """A switchover to west that dies there; the run's id."""
    killed(pair, place, "switchover", "--to", "west", "--confirm", "west", *more)
    return str(pair.runs()[0]["id"])


def at_home(pair: Pair) -> None:
    """Clients write at east, which is primary; nothing is under way."""
    assert pair.active == "east"
    record = pair.record("east")
    assert (record["phase"], record["primary"], record["freeze"]) == ("protected", "east", None)
    assert record["switch"]["wanted"] == "east"
    serves(pair, "east")


def of_many(places: list[str], *short: str) -> list[object]:
    """Those of `short` with every test, the others with `make test-long`."""
    return [
        place if place in short else pytest.param(place, marks=pytest.mark.long) for place in places
    ]


# -- an abort ------------------------------------------------------------------------------

UNDOING = [*(f"run.undone:{number}" for number in range(1, BEGUN + 1)), "fence.policy.removed"]


@pytest.mark.parametrize("place", of_many(UNDOING, "run.undone:1", "fence.policy.removed"))
def test_an_abort_killed_anywhere_is_made_again(kills: Pair, place: str) -> None:
    run = switchover_killed(kills, f"run.recorded:{BEGUN}", *NO_DAEMON)
    killed(kills, place, "abort", run)
    ended = kills.done("abort", run)
    assert ended["state"] == "aborted"
    at_home(kills)
    assert kills.record("east")["fences"] == []
    assert kills.record("east") == kills.record("west")


def test_a_run_killed_while_it_takes_itself_back(kills: Pair) -> None:
    """Without the override its preflight fails: no daemon has ever reported."""
    run = switchover_killed(kills, "run.undone:1")
    assert kills.done("abort", run)["state"] == "aborted"
    assert kills.active == "east"
    serves(kills, "east")


def test_a_failover_is_aborted_while_the_dead_side_is_dead(bereft: Pair) -> None:
    words = ("failover", "--to", "west", "--confirm", "west")
    killed(bereft, "run.recorded:3", *words)
    run = str(bereft.runs()[0]["id"])
    killed(bereft, "run.undone:1", "abort", run)
    assert bereft.done("abort", run)["state"] == "aborted"
    record = bereft.record("west")
    assert (record["phase"], record["primary"], record["fences"]) == ("protected", "east", [])
    assert bereft.active == "east"


# -- a rollback ----------------------------------------------------------------------------

GOING_BACK = [
    *(f"run.{when}:{n}" for n in range(1, ROLLBACK_STEPS + 1) for when in ("intended", "acted")),
    "fence.policy.put",
    "fence.policy.removed",
    "haproxy.map.set",
]


@pytest.mark.parametrize("place", of_many(GOING_BACK, "run.acted:6", "fence.policy.removed"))
def test_a_rollback_killed_anywhere_is_gone_on_with(kills: Pair, place: str) -> None:
    kills.switchover("west", *NO_DAEMON)
    killed(kills, place, "rollback", "--confirm", "east")
    assert kills.active == "west" or not takes_writes(kills, "west"), "both sides take writes"
    run = kills.runs()[0]["id"]
    assert kills.json("resume", run)["state"] == "done"
    assert not kills.may_write("west")
    at_home(kills)


# -- everything at once --------------------------------------------------------------------


def live(pair: Pair, place: str) -> None:
    """Writers, a daemon, a kill, and the way on: nobody fails, nothing is lost."""
    with Daemon(pair) as running:
        running.until_ready()
        with pair.load() as clients:
            run = switchover_killed(pair, place)
            assert pair.json("resume", run)["state"] == "done"
            until_busy(clients, 20)
        assert clients.failed == []
        assert pair.active == "west"
        assert not pair.may_write("east")
        assert {span.key for span in clients.written} <= contents(pair, "west").keys()


def test_killed_under_load_nobody_notices(pair: Pair) -> None:
    live(pair, "run.acted:7")


@pytest.mark.long
@pytest.mark.parametrize(
    "place", ["run.recorded:2", "run.recorded:5", "run.acted:8", "run.acted:10"]
)
def test_killed_elsewhere_under_load_nobody_notices(pair: Pair, place: str) -> None:
    live(pair, place)
