"""A bucket that loses most of its keys is told for a week, or until they are back."""

from __future__ import annotations

import pytest

from farshore.core.shrinkage import DAY_S, TOLD_S, Shrunk, Size, seen
from farshore.core.verdict import Objectives, Snapshot, judge
from farshore.engine.buckets import CURSOR, note_sizes
from farshore.testing.backlog import MemoryBacklog

NOW = 1_777_644_131.0


def walked(*counts: int, every_s: float = 300.0) -> Size:
    """What is known after scans that saw so many keys."""
    size: Size | None = None
    for number, keys in enumerate(counts):
        size = seen(size, "files", keys, NOW + number * every_s)
    assert size is not None
    return size


@pytest.mark.parametrize(
    ("counts", "lost"),
    [
        pytest.param((100, 2), (100, 2), id="nearly all"),
        pytest.param((100, 50), (100, 50), id="half"),
        pytest.param((100, 51), None, id="less than half"),
        pytest.param((3, 0), (3, 0), id="the last of a few"),
        pytest.param((12, 3), None, id="some of a few"),
        pytest.param((0, 0), None, id="empty from the start"),
        pytest.param((100, 80, 60, 40), (100, 40), id="bit by bit"),
        pytest.param((100, 2, 2, 1), (100, 1), id="told from scan to scan"),
        pytest.param((100, 2, 90), None, id="they are back"),
        pytest.param((100, 2, 90, 30), (90, 30), id="and lost again"),
    ],
)
def test_a_loss_is_seen(counts: tuple[int, ...], lost: tuple[int, int] | None) -> None:
    shrunk = walked(*counts).shrunk
    assert (shrunk and (shrunk.before, shrunk.left)) == lost


def test_what_goes_in_the_course_of_days_is_no_loss() -> None:
    assert walked(100, 80, 60, 40, every_s=DAY_S + 1).shrunk is None


def test_after_a_week_the_bucket_is_what_it_is() -> None:
    size = walked(100, 2)
    still = seen(size, "files", 2, NOW + TOLD_S)
    assert still.shrunk is not None
    assert seen(still, "files", 2, NOW + TOLD_S + 400) == Size(2, NOW + TOLD_S + 400)


@pytest.mark.parametrize(
    ("before", "left", "percent"), [(100, 2, 98), (3, 0, 100), (1000, 1, 99), (0, 0, 0)]
)
def test_percent_is_never_rounded_up(before: int, left: int, percent: int) -> None:
    assert Shrunk("files", before, left, NOW).lost_percent == percent


async def test_it_is_remembered_over_restarts_and_of_buckets_that_are_replicated() -> None:
    backlog = MemoryBacklog()
    assert await note_sizes(backlog, {"files": 100, "other": 5}, NOW) == []
    assert await note_sizes(backlog, {"files": 2, "other": 5}, NOW + 1) == [
        Shrunk("files", 100, 2, NOW + 1)
    ]
    assert await note_sizes(backlog, {"files": 2}, NOW + 2) == [Shrunk("files", 100, 2, NOW + 1)]
    assert "other" not in backlog.cursor(CURSOR)


@pytest.mark.parametrize("kept", ["", "{", "[1]", '{"files": {}}', '{"files": {"keys": "x"}}'])
async def test_what_cannot_be_understood_is_begun_anew(kept: str) -> None:
    backlog = MemoryBacklog()
    await backlog.set_cursor(CURSOR, kept)
    assert await note_sizes(backlog, {"files": 2}, NOW) == []


def test_the_verdict_names_the_bucket_and_what_it_lost() -> None:
    shrunk = (Shrunk("files", 100, 2, NOW),)
    snapshot = Snapshot(
        "east", "west", NOW, shrunk=shrunk, unversioned=("files",), target_unversioned=("copies",)
    )
    reasons = {reason.name: reason for reason in judge(snapshot, Objectives()).reasons}
    assert reasons["source-shrunk"].text.startswith(
        "east/files has lost 98 % of its keys (2 of 100 are left), seen at "
    )
    assert "west keeps everything" in reasons["source-shrunk"].text
    assert "Versioning is off at east for files" in reasons["source-unversioned"].text
    assert "Versioning is off at west for copies" in reasons["target-unversioned"].text
    assert reasons["target-unversioned"].level == "NOT SAFE"
