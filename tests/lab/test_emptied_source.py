"""A source bucket is emptied, or deleted and made anew: the target keeps everything, in words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.daemon import Daemon, configure, contents, eventually, reasons, settle, status
from tests.lab.farshore_cli import Farshore, Histories

KEYS = [f"files/{n:02}" for n in range(40)]
OLD = {key: [b"one", b"two " + key.encode()] for key in KEYS}
GUARD: dict[str, Any] = {"deletes_count": 4, "deletes_share": 0.0, "scan_every": "1s"}
"""Every test here waits for several scans."""

HELD = 36
"""Of 40 deletes the guard lets 4 through."""


def text_of(farshore: Farshore, name: str) -> str:
    """One reason of the verdict, in words; "" while it is not given."""
    found = [one["text"] for one in status(farshore)[1]["reasons"] if one["name"] == name]
    return found[0] if found else ""


def purge(farshore: Farshore, keys: set[str]) -> None:
    """Every version and marker of these keys, on the source."""
    s3 = farshore.s3("east")
    for key, version_id, _ in farshore.rows("east"):
        if key in keys:
            s3.delete_object(Bucket=farshore.bucket, Key=key, VersionId=version_id)


def beneath(found: Histories, kept: Histories) -> bool:
    """Whether every old history still lies, whole, under whatever has come since."""
    return all(found.get(key, [])[-len(entries) :] == entries for key, entries in kept.items())


def scans(daemon: Daemon, count: int = 2) -> None:
    """So many more scans have closed."""
    for _ in range(count):
        last = daemon.report()["scan"]
        eventually(lambda last=last: daemon.report()["scan"] != last, 60, "another scan")  # type: ignore[misc] # a lambda's default


def visible(farshore: Farshore) -> int:
    count: int = farshore.s3("west").list_objects_v2(Bucket=farshore.bucket)["KeyCount"]
    return count


def test_all_objects_deleted_by_markers(farshore: Farshore) -> None:
    configure(farshore, **GUARD)
    farshore.put_all(OLD)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        kept = settle(farshore)
        farshore.put_all({key: [None] for key in KEYS})
        eventually(lambda: daemon.report()["deletes_held"] == HELD, 60, "the guard holds them")
        scans(daemon)
        assert visible(farshore) == HELD
        assert beneath(contents(farshore, "west"), kept)
        eventually(lambda: f"holds back {HELD}" in text_of(farshore, "deletes-held"), 60, "said")
        assert status(farshore)[0] == 3


def test_all_versions_purged(farshore: Farshore) -> None:
    configure(farshore, **GUARD)
    farshore.put_all(OLD)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        kept = settle(farshore)
        scans(daemon, 1)
        purge(farshore, set(KEYS[1:]))
        lost = f"east/{farshore.bucket} has lost 97 % of its keys (1 of 40 are left)"
        eventually(lambda: text_of(farshore, "source-shrunk").startswith(lost), 60, "said")
        scans(daemon)
        assert contents(farshore, "west") == kept
        assert daemon.report()["expired"]["total"] == 0, "all had been copied"
        daemon.kill()
    with Daemon(farshore) as daemon:  # a new start does not forget it
        daemon.until_ready()
        eventually(lambda: text_of(farshore, "source-shrunk").startswith(lost), 60, "still said")
        purge(farshore, {KEYS[0]})
        nothing = f"east/{farshore.bucket} has lost 100 % of its keys (0 of 40 are left)"
        eventually(lambda: text_of(farshore, "source-shrunk").startswith(nothing), 60, "all gone")
        eventually(lambda: "nothing-seen" in reasons(status(farshore)[1]), 60, "said, too")
        assert contents(farshore, "west") == kept
        suspended = {"Status": "Suspended"}
        farshore.s3("west").put_bucket_versioning(
            Bucket=farshore.bucket, VersioningConfiguration=suspended
        )
        off = f"Versioning is off at west for {farshore.bucket}"
        eventually(lambda: text_of(farshore, "target-unversioned").startswith(off), 60, "said")
        assert status(farshore)[0] == 4
    enabled = {"Status": "Enabled"}
    farshore.s3("west").put_bucket_versioning(
        Bucket=farshore.bucket, VersioningConfiguration=enabled
    )
    assert farshore.json("verify")["agree"] is True, "kept history is no difference"


def make_anew(farshore: Farshore, *, versioned: bool) -> Any:
    s3 = farshore.s3("east")
    purge(farshore, {key for key, _, _ in farshore.rows("east")})
    s3.delete_bucket(Bucket=farshore.bucket)
    s3.create_bucket(Bucket=farshore.bucket)
    if versioned:
        enabled = {"Status": "Enabled"}
        s3.put_bucket_versioning(Bucket=farshore.bucket, VersioningConfiguration=enabled)
    return s3


@pytest.mark.parametrize(
    "versioned",
    [
        pytest.param(True, id="versioned"),
        pytest.param(False, id="unversioned", marks=pytest.mark.long),
    ],
)
def test_deleted_and_made_anew_with_new_writes_to_old_keys(
    farshore: Farshore, versioned: bool
) -> None:
    configure(farshore, **GUARD)
    farshore.put_all(OLD)
    written, deleted, untouched = KEYS[0], KEYS[1], KEYS[2:]
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        kept = settle(farshore)
        scans(daemon, 1)
        s3 = make_anew(farshore, versioned=versioned)
        s3.put_object(Bucket=farshore.bucket, Key=written, Body=b"after")
        s3.delete_object(Bucket=farshore.bucket, Key=deleted)
        s3.put_object(Bucket=farshore.bucket, Key="new", Body=b"new")

        def arrived() -> bool:
            found = contents(farshore, "west")
            return "new" in found and found[written][0].size == len(b"after")

        eventually(arrived, 60, "what is written now")
        lost = f"east/{farshore.bucket} has lost 9"
        eventually(lambda: text_of(farshore, "source-shrunk").startswith(lost), 60, "said")
        scans(daemon)
        found = contents(farshore, "west")
        assert beneath(found, kept), "every old version lies where it lay"
        assert {key: found[key] for key in untouched} == {key: kept[key] for key in untouched}
        assert len(found[written]) == 3
        assert [entry.is_marker for entry in found[deleted]] in ([False] * 2, [True] + [False] * 2)
        off = text_of(farshore, "source-unversioned")
        assert bool(off) is not versioned
        assert daemon.report()["not_replicated"].get("CONFLICT", {}) == {}
        assert daemon.process.poll() is None


def test_replicas_that_nobody_can_tell_apart_are_a_conflict_and_stay(farshore: Farshore) -> None:
    """Stamps tell what came from the old bucket; what has none is somebody else's."""
    configure(farshore, **GUARD)
    farshore.put_all({"k": [b"one"]})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.s3("west").put_object(Bucket=farshore.bucket, Key="k", Body=b"written on west")
        kept = contents(farshore, "west")
        s3 = make_anew(farshore, versioned=True)
        s3.put_object(Bucket=farshore.bucket, Key="k", Body=b"after")
        eventually(lambda: causes(daemon) == {"CONFLICT": 1}, 60, "counted")
        rows = farshore.json("backlog", "list", "--failed")["rows"]
        assert "not of the source" in rows[0]["explanation"]
        scans(daemon)
        assert contents(farshore, "west") == kept


def causes(daemon: Daemon) -> dict[str, int]:
    found: dict[str, int] = daemon.report()["not_replicated"].get("CONFLICT", {})
    return found
