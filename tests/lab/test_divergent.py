"""East dies with writes that west never got; west goes on; east comes back: a person decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.daemon import Daemon, eventually, shape
from tests.lab.runbook_ground import BUSY_S, Pair

BOTH, ALONE, DELETED = "seed/1", "only/east", "seed/2"
"""Written on both sides; written on east alone; deleted on east alone."""


@pytest.fixture
def parted(pair: Pair) -> Iterator[Daemon]:
    """West is primary and committed; east is back with versions of its own, and fenced."""
    for key in (BOTH, ALONE):
        pair.write(key, b"of east, never copied", "east")
    pair.s3("east", "app").delete_object(Bucket=pair.bucket, Key=DELETED)
    pair.lab.kill("east")
    pair.failover("west")
    pair.write(BOTH, b"of west, after the failover", "west")
    pair.lab.revive("east")
    with Daemon(pair) as daemon:
        eventually(lambda: pair.fence_state("east") == "standing", BUSY_S, "east is fenced")
        pair.done("commit")
        pair.done("reprotect")
        yield daemon


def waiting(pair: Pair) -> set[str]:
    """The keys with divergent versions that wait for a decision."""
    return {row["key"] for row in pair.json("divergent", "list")["versions"]}


def newest(pair: Pair, site: str, key: str) -> bytes:
    """What clients read there; b"" where it is deleted."""
    s3 = pair.s3(site)
    try:
        body: bytes = s3.get_object(Bucket=pair.bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return b""
    return body


def counts(pair: Pair) -> Counter[str]:
    """How many versions and markers of each key east has."""
    return Counter(key for key, _ in shape(pair, "east"))


def protected(pair: Pair) -> None:
    eventually(lambda: pair.order("reprotect").code == 0, BUSY_S, "both sides are equal")
    assert pair.json("verify")["differences"] == []


@pytest.mark.usefixtures("parted")
def test_what_is_kept_stays_in_the_history_and_hides_nothing(pair: Pair) -> None:
    assert waiting(pair) == {BOTH, ALONE, DELETED}
    assert pair.order("reprotect").code == 4, "not protected before a person has decided"
    before = counts(pair)
    (run,) = pair.runs()
    told = pair.json("report", run["id"])
    assert (told["rpo"]["found_versions"], told["rpo"]["found_s"] > 0) == (3, True)
    assert told["steps"] == run["steps"], "what stood in the run stands"
    pair.done("divergent", "keep", "--all")
    assert waiting(pair) == set()
    protected(pair)
    assert pair.json("report", run["id"])["rpo"]["found_versions"] == 3, "decided is not undone"
    assert newest(pair, "east", BOTH) == b"of west, after the failover"
    assert newest(pair, "east", ALONE) == b""
    assert newest(pair, "east", DELETED) == b"seed 2"
    assert counts(pair) >= before, "nothing is deleted"
    assert pair.done("failback", "--confirm", "east")["state"] == "done"
    pair.write(BOTH, b"of east again", "east")
    pair.done("commit")
    pair.done("reprotect")
    protected(pair)
    assert newest(pair, "west", BOTH) == b"of east again"


@pytest.mark.usefixtures("parted")
def test_what_is_adopted_is_written_at_the_primary(pair: Pair) -> None:
    pair.done("divergent", "adopt", BOTH)
    assert waiting(pair) == {ALONE, DELETED}
    assert newest(pair, "west", BOTH) == b"of east, never copied"
    pair.done("divergent", "adopt", "--all")
    protected(pair)
    for site in ("east", "west"):
        assert newest(pair, site, BOTH) == b"of east, never copied"
        assert newest(pair, site, ALONE) == b"of east, never copied"
        assert newest(pair, site, DELETED) == b""
    assert pair.done("failback", "--confirm", "east")["state"] == "done"
    again = pair.order("divergent", "adopt", BOTH)
    assert again.code == 5
