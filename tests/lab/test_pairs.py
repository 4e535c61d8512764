"""Several pairs between the same two sites, over one control bucket."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from farshore.lab.regions import Lab
from tests.lab.daemon import Daemon, configure, eventually, reasons, settle, status
from tests.lab.farshore_cli import Farshore


def another(farshore: Farshore, lab: Lab, folder: Path, bucket: str) -> Farshore:
    """The command line of somebody else, with a folder of its own."""
    folder.mkdir()
    return Farshore(folder, lab, bucket)


def told_by(pair: Farshore, pid: int) -> bool:
    """Whether the pair's status comes from that daemon."""
    report = status(pair)[1]["report"]
    return bool(report and report["daemon"]["pid"] == pid)


def test_two_pairs_of_the_same_sites_live_side_by_side(
    farshore: Farshore, lab: Lab, tmp_path: Path
) -> None:
    other = another(farshore, lab, tmp_path / "other", f"{farshore.bucket}-2")
    other.make_buckets()
    configure(farshore, name=f"{farshore.bucket}-a")
    configure(other, name=f"{farshore.bucket}-b")
    with Daemon(farshore) as first, Daemon(other) as second:
        first.until_ready()
        second.until_ready()
        farshore.put_all({"a": [b"1", b"2"]})
        other.put_all({"b": [b"1"]})
        assert list(settle(farshore)) == ["a"]
        assert list(settle(other)) == ["b"]
        for ours in (farshore, other):
            ours.json("verify")
        for ours, daemon in ((farshore, first), (other, second)):
            eventually(partial(told_by, ours, daemon.process.pid), 60, "its own daemon's report")
        told = {status(ours)[1]["pair"] for ours in (farshore, other)}
        assert told == {f"{farshore.bucket}-a", f"{farshore.bucket}-b"}
        for daemon, name in ((first, f"{farshore.bucket}-a"), (second, f"{farshore.bucket}-b")):
            assert f'pair="{name}"'.encode() in daemon.ask("/metrics").body


def test_two_pairs_of_one_name_are_told_apart(farshore: Farshore, lab: Lab, tmp_path: Path) -> None:
    other = another(farshore, lab, tmp_path / "other", f"{farshore.bucket}-2")
    other.make_buckets()
    configure(farshore)
    configure(other)
    farshore.put_all({"a": [b"1"]})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.json("verify")
        code, document = status(other)
    assert code == 4
    assert "other-scope" in reasons(document)
    assert document["watermark"] is None
    assert document["last_verify"] is None
