"""Held deletes belong to the pair, not to a machine: decided from elsewhere, and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from farshore.lab.regions import Lab
from tests.lab.daemon import Daemon, configure, eventually, settle
from tests.lab.farshore_cli import Farshore

KEYS = [f"{folder}/{n}" for folder in ("a", "b", "c") for n in range(2)]


def hidden(farshore: Farshore) -> set[str]:
    """Keys whose object cannot be read on the target."""
    return {key for key, _, is_marker in farshore.rows("west") if is_marker}


def test_a_person_elsewhere_decides_and_a_lost_disk_costs_nothing(
    farshore: Farshore, lab: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "laptop"
    folder.mkdir()
    laptop = Farshore(folder, lab, farshore.bucket)
    for machine in (farshore, laptop):
        configure(machine, deletes_count=0, deletes_share=0.0)
    farshore.put_all({key: [b"1"] for key in KEYS})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.put_all({key: [None] for key in KEYS})
        eventually(lambda: laptop.json("deletes")["count"] == 6, 60, "seen from elsewhere")
        unasked = laptop.run("deletes", "release", "--prefix", "a/")
        assert unasked.code == 2, "nobody is there to be asked"
        assert "add --yes" in unasked.stderr
        assert laptop.json("deletes")["count"] == 6
        assert laptop.json("deletes", "release", "--prefix", "a/", "--yes")["released"] == 2
        eventually(lambda: hidden(farshore) == {"a/0", "a/1"}, 60, "taken up by the daemon")
        assert laptop.json("deletes", "discard", "--prefix", "b/", "--yes")["discarded"] == 2
        assert laptop.json("deletes")["count"] == 2
        eventually(lambda: daemon.report()["deletes_held"] == 2, 60, "two are left")
        daemon.kill()
    # The laptop decides while nobody is at work, and the daemon's disk is lost.
    laptop.json("deletes", "discard", "--prefix", "c/0", "--yes")
    shutil.rmtree(farshore.state_dir)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        eventually(lambda: daemon.report()["deletes_held"] == 1, 60, "one is held still")
        told = laptop.json("deletes")
        assert ([row["key"] for row in told["rows"]], told["discarded"]) == (["c/1"], 3)
        daemon.terminate()
    assert hidden(farshore) == {"a/0", "a/1"}, "nothing slipped through"
    differing = laptop.run("verify", "--json")
    assert "c/1" in differing.stdout, "held: it is owed"
    laptop.json("deletes", "discard", "--yes")
    assert laptop.json("verify")["agree"] is True, "discarded, and known to every machine"
    assert not laptop.state_dir.exists()


def test_without_the_target_nobody_can_decide(farshore: Farshore, lab: Lab) -> None:
    configure(farshore)
    lab.kill("west")
    ended = farshore.run("deletes", "release", "--yes", "--json")
    assert ended.code == 1
    assert "west" in ended.error["message"]


def test_what_came_into_step_in_another_way_is_listed_no_longer(farshore: Farshore) -> None:
    configure(farshore, deletes_count=0, deletes_share=0.0)
    farshore.put_all({key: [b"1"] for key in KEYS})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.put_all({key: [None] for key in KEYS})
        eventually(lambda: farshore.json("deletes")["count"] == 6, 60, "all are held")
        farshore.s3("west").delete_object(Bucket=farshore.bucket, Key="a/0")
        farshore.put_all({"a/1": [b"2"]})
        eventually(lambda: farshore.json("deletes")["count"] == 4, 60, "two are in step")
        daemon.terminate()
    farshore.put_all({"b/0": [b"2"]})
    farshore.run("sync", "b/")
    assert [row["key"] for row in farshore.json("deletes")["rows"]] == ["b/1", "c/0", "c/1"]
