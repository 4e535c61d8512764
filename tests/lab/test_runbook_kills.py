"""farshore killed at every place of a run, and gone on with: one end state, one writable side.

The kills share a bucket: each begins under a new pair's name, at which nothing was recorded.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.lab.runbook_ground import SEEDS, STEPS, Pair

SWITCHOVER_PLACES = (
    "switch.driver.planned",
    "switch.driver.applied",
    "haproxy.file.written",
    "haproxy.map.set",
    "fence.recorded",
    "fence.policy.put",
    "freeze.applied",
)
FAILOVER_PLACES = (
    "switch.driver.planned",
    "switch.driver.applied",
    "haproxy.file.written",
    "haproxy.map.set",
    "fence.recorded",
)


def places(verb: str, others: tuple[str, ...]) -> list[object]:
    """Before and behind the record of every step, and the places within them.

    With every test: every other step done and not recorded, and each place; the others with
    `make test-long`.
    """
    numbers = range(1, len(STEPS[verb]) + 1)
    steps = [f"run.acted:{number}" for number in numbers if number % 2]
    more = [f"run.acted:{number}" for number in numbers if not number % 2]
    more += [f"run.{when}:{number}" for number in numbers for when in ("intended", "recorded")]
    return [*steps, *others, *(pytest.param(place, marks=pytest.mark.long) for place in more)]


def killed(pair: Pair, verb: str, place: str, *more: str) -> str:
    """Run it until it dies there; the run's id."""
    words = (verb, "--to", "west", "--confirm", "west", *more)
    ended = pair.order(*words, env={"FARSHORE_DIE_AT": place})
    assert ended.code == -9, (place, ended)
    (run,) = pair.runs()
    return str(run["id"])


def one_side_at_most(pair: Pair, *, dead: bool = False) -> None:
    """Clients that are sent to west cannot write at east."""
    if pair.active == "west":
        assert pair.fence_state("east") == ("pending" if dead else "standing")
        assert dead or not pair.may_write("east")


def gone_on_with(pair: Pair, run: str) -> None:
    """Resumed, it ends as one that was never killed."""
    ended = pair.run("resume", run, "--json")
    assert ended.code == 0, ended
    found = json.loads(ended.stdout)
    assert found["state"] == "done"
    assert {step["outcome"] for step in found["steps"]} == {"ok"}
    assert pair.active == "west"
    record = pair.record("west")
    assert (record["phase"], record["primary"]) == ("switched", "west")
    assert record["freeze"] is None
    assert record["switch"]["active"] == record["switch"]["wanted"] == "west"


def through_the_door(pair: Pair) -> None:
    """Clients read what they had, and write, at west."""
    s3 = pair.at_the_door()
    for key, body in SEEDS.items():
        assert s3.get_object(Bucket=pair.bucket, Key=key)["Body"].read() == body
    s3.put_object(Bucket=pair.bucket, Key=f"after/{pair.name}", Body=b"after")
    west = pair.s3("west")
    assert west.head_object(Bucket=pair.bucket, Key=f"after/{pair.name}")
    for version in west.list_object_versions(Bucket=pair.bucket, Prefix="after/")["Versions"]:
        west.delete_object(Bucket=pair.bucket, Key=version["Key"], VersionId=version["VersionId"])


# -- both sites are up ---------------------------------------------------------------------


@pytest.mark.parametrize("place", places("switchover", SWITCHOVER_PLACES))
def test_a_switchover_killed_anywhere_is_gone_on_with(kills: Pair, place: str) -> None:
    run = killed(kills, "switchover", place, "--override", "daemon=no daemon in this test")
    one_side_at_most(kills)
    gone_on_with(kills, run)
    one_side_at_most(kills)
    through_the_door(kills)


def test_what_came_round_the_freeze_before_the_fence_is_copied_before_the_flip(
    kills: Pair,
) -> None:
    """Killed when the fence stands. Who the fence spares writes as a client did before it stood."""
    run = killed(kills, "switchover", "run.acted:5", "--override", "daemon=no daemon in this test")
    key = f"round/{kills.name}"
    kills.s3("east", "replicator").put_object(
        Bucket=kills.bucket, Key=key, Body=b"past the front door"
    )
    gone_on_with(kills, run)
    read = kills.s3("west").get_object(Bucket=kills.bucket, Key=key)
    assert read["Body"].read() == b"past the front door"
    (look,) = [step for step in kills.runs()[0]["steps"] if step["id"] == "last_look"]
    assert look["evidence"]["came_round"] == [f"{kills.bucket}/{key}"]
    assert f"1 key written round the freeze, copied before the flip: {kills.bucket}" in look["note"]


# -- east is dead --------------------------------------------------------------------------


@pytest.mark.parametrize("place", places("failover", FAILOVER_PLACES))
def test_a_failover_killed_anywhere_is_gone_on_with(bereft: Pair, place: str) -> None:
    run = killed(bereft, "failover", place)
    one_side_at_most(bereft, dead=True)
    gone_on_with(bereft, run)
    one_side_at_most(bereft, dead=True)
    through_the_door(bereft)


def test_another_machine_goes_on_with_the_configuration_alone(kills: Pair, tmp_path: Path) -> None:
    run = killed(kills, "switchover", "run.acted:5", "--override", "daemon=none here")
    there = tmp_path / "elsewhere"
    there.mkdir()
    shutil.copy(kills.config, there / "farshore.toml")
    kills.folder, kills.config = there, there / "farshore.toml"
    gone_on_with(kills, run)
    log = kills.json("audit", "list")
    assert (log["without_result"], len(log["answered_later"])) == ([], 1), "its step was killed"
