"""The state file under bad luck: kills, a full disk, torn writes, damage, and others who write."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import StateError
from farshore.feed.hint import Hint
from farshore.journal.backlog import Work
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.journal.groupcommit import GROUP_ROWS_MAX, QUEUE_MAX, GroupCommit
from farshore.journal.sqlite import SqliteJournal, UploadName
from farshore.journal.statefile import BUSY_TIMEOUT_S, opened

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
async def backlog(file: Path) -> AsyncIterator[SqliteBacklog]:
    backlog = SqliteBacklog(file)
    yield backlog
    await backlog.aclose()


async def note(backlog: SqliteBacklog, *keys: str) -> None:
    await backlog.note([Hint("files", key) for key in keys], now=1.0)


async def keys_in(file: Path) -> set[str]:
    backlog = SqliteBacklog(file)
    found = {row.key for row in backlog.rows(limit=1_000_000)}
    await backlog.aclose()
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    return found


def child(mode: str, file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.unit.backlog_child", mode, str(file)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


# -- a kill ------------------------------------------------------------------------


def test_a_folder_that_is_made_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Keys of files and ids of open uploads stand in it; a folder that is there stays as it is."""
    opened(tmp_path / "state" / "journal.sqlite").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o750)
    opened(shared / "journal.sqlite").close()
    assert shared.stat().st_mode & 0o777 == 0o750


async def test_a_kill_at_any_moment_loses_nothing_that_was_noted(file: Path) -> None:
    moments = random.Random(20_261_122)
    expected: set[str] = set()
    for number in range(4):
        file = file.with_name(f"{number}.sqlite")
        told = _killed(file, after_lines=moments.randrange(3, 400))
        done = {key for word, *keys in told if word == "done" for key in keys}
        perhaps = {key for word, *keys in told if word == "finishing" for key in keys}
        expected = {key for word, *keys in told if word == "noted" for key in keys}
        found = await keys_in(file)
        assert expected - perhaps <= found
        assert not found & done
    assert expected


def _killed(file: Path, after_lines: int) -> list[list[str]]:
    """What it told before it was killed, some lines in."""
    process = child("endless", file)
    assert process.stdout is not None
    told = [process.stdout.readline().split() for _ in range(after_lines)]
    process.send_signal(signal.SIGKILL)
    told += [line.split() for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    assert process.wait(30) == -signal.SIGKILL
    return told


# -- a full disk -------------------------------------------------------------------


async def test_a_full_disk_is_told_and_survived(file: Path) -> None:
    """A limit of the operating system on the size of files stands in for the disk."""
    process = child("starved", file)
    told = [line.split() for line in process.communicate(timeout=60)[0].splitlines()]
    assert process.returncode == 0
    (refusal,) = [" ".join(words) for word, *words in told if word == "refused"]
    assert f"the state file {file} cannot be written" in refusal
    assert "what was written before is kept" in refusal
    noted = [key for word, *keys in told if word == "noted" for key in keys]
    assert told.index(next(line for line in told if line[0] == "refused")) == len(told) - 2 > 0
    assert await keys_in(file) == set(noted)


async def fill(backlog: SqliteBacklog, noted: list[str]) -> None:
    for group in range(100):
        keys = [f"{group}-{number}" for number in range(100)]
        await note(backlog, *keys)
        noted += keys


async def test_work_of_a_note_that_failed_changes_nothing(file: Path) -> None:
    """A lane has begun before the note was on the disk, and then the disk was full. The next
    note of that key may get the same generation: it must not be taken for done with it."""
    backlog = SqliteBacklog(file, bytes_max=200_000)
    offered: list[Work] = []

    def take(work: Work) -> bool:
        offered.append(work)
        return True

    backlog.offer_to(take)
    with pytest.raises(StateError, match="full"):
        await note(backlog, "k", *(f"{number:03}-{'x' * 1000}" for number in range(400)))
    backlog.offer_to(None)
    work = next(work for work in offered if work.key == "k")
    ((*_, generation),) = await backlog.note([Hint("files", "k")], now=1.0)
    assert generation == work.generation
    waiting = asyncio.ensure_future(backlog.applied("files", "k", generation))
    assert await backlog.take(1.0, 9) == [], "one lane a key, also now"
    assert await backlog.done(work), "it was noted again"
    assert not waiting.done()
    (again,) = await backlog.take(1.0, 9)
    assert not await backlog.done(again)
    await waiting
    assert backlog.rows() == []
    await backlog.aclose()


@pytest.fixture
async def unheard() -> AsyncIterator[list[str]]:
    """What asyncio complains of: errors that nobody was told."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(str(context["message"])))
    yield told
    loop.set_exception_handler(None)


async def go_away(backlog: SqliteBacklog, turns: int) -> None:
    """Ask for work, together with a note that fails, and do not wait for the answer."""
    taking = asyncio.ensure_future(backlog.take(1.0, 9))
    await asyncio.sleep(0)  # it asks first, and shares its transaction with the next
    large = [f"more-{number}" for number in range(400)]
    noting = asyncio.ensure_future(note(backlog, *large))
    for _ in range(turns):
        await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(StateError):
        await noting
    await asyncio.wait([taking])


@pytest.mark.parametrize("turns", range(4))
async def test_on_a_full_disk_the_error_of_who_went_away_is_no_complaint(
    file: Path, unheard: list[str], turns: int
) -> None:
    backlog = SqliteBacklog(file, bytes_max=200_000)
    with pytest.raises(StateError):
        await fill(backlog, [])
    await asyncio.create_task(go_away(backlog, turns))
    await backlog.aclose()
    gc.collect()
    assert unheard == []


class NoRollback(sqlite3.Connection):
    """A disk on which even going back fails."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql in ("COMMIT", "ROLLBACK"):
            raise sqlite3.OperationalError(f"disk I/O error ({sql})")
        return super().execute(sql, *values)


async def test_a_disk_that_cannot_even_go_back_tells_everybody_why(
    file: Path, unheard: list[str]
) -> None:
    opened(file, "CREATE TABLE t (n INTEGER) STRICT").close()
    db = sqlite3.connect(file, factory=NoRollback, isolation_level=None, check_same_thread=False)
    group = GroupCommit(db, file)

    def insert(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES (1)")

    outcomes = await asyncio.gather(
        *(group.perform(insert) for _ in range(3)), return_exceptions=True
    )
    assert ["COMMIT" in str(outcome) for outcome in outcomes] == [True] * 3
    with pytest.raises(StateError, match="a transaction"):
        await group.perform(insert)
    await group.aclose()
    gc.collect()
    assert unheard == []


async def test_a_backlog_that_is_full_takes_up_again_when_work_is_done(file: Path) -> None:
    backlog = SqliteBacklog(file, bytes_max=200_000)
    noted: list[str] = []
    with pytest.raises(StateError, match="cannot be written") as caught:
        await fill(backlog, noted)
    assert "what was written before is kept" in caught.value.hint
    assert {row.key for row in backlog.rows(limit=100_000)} == set(noted)
    with pytest.raises(StateError):
        await note(backlog, *(f"more-{number}" for number in range(400)))
    for work in await backlog.take(1.0, len(noted) // 2):
        await backlog.done(work)
    await note(backlog, *(f"more-{number}" for number in range(100)))
    await backlog.aclose()
    assert len(await keys_in(file)) == len(noted) - len(noted) // 2 + 100


async def test_work_that_could_not_be_marked_is_due_once_more(
    file: Path, backlog: SqliteBacklog
) -> None:
    await note(backlog, "a", "b")
    first, second = await backlog.take(1.0, 2)
    await note(backlog, "d")
    other = opened(file)
    other.execute("CREATE TRIGGER no BEFORE DELETE ON work BEGIN SELECT RAISE(ABORT, 'no'); END")
    waiting = asyncio.ensure_future(backlog.applied("files", "a", first.generation))
    taking = asyncio.ensure_future(backlog.take(1.0, 9))
    await asyncio.sleep(0)  # so that it comes first in the group
    outcomes = await asyncio.gather(
        taking,
        backlog.done(first),
        note(backlog, "c"),
        backlog.put_back(
            second, due_at=9.0, reason="FAILED", cause="x", explanation="", attempts=1
        ),
        return_exceptions=True,
    )
    assert {type(outcome) for outcome in outcomes} == {StateError}  # one group, one fate
    other.execute("DROP TRIGGER no")
    other.close()
    again = await backlog.take(1.0, 9)
    assert again[:2] == [first, second]
    assert [work.key for work in again[2:]] == ["d"]
    assert not waiting.done()
    await backlog.done(first)
    await waiting


# -- torn writes and damage --------------------------------------------------------


@pytest.fixture
async def torn(file: Path, backlog: SqliteBacklog, tmp_path: Path) -> Path:
    """A copy of a state file in use, as a power cut leaves it: all of it in the log."""
    for number in range(40):
        await note(backlog, f"{number:02}")
    copy = tmp_path / "copy" / file.name
    copy.parent.mkdir()
    for beside in ("", "-wal"):
        shutil.copy(file.with_name(file.name + beside), copy.with_name(file.name + beside))
    return copy


@pytest.mark.parametrize("garbage", [b"", b"\0" * 5000, b"garbage " * 1000])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.77, 0.999])
async def test_a_torn_log_keeps_what_was_whole(torn: Path, share: float, garbage: bytes) -> None:
    log = torn.with_name(torn.name + "-wal")
    cut = int(log.stat().st_size * share)
    log.write_bytes(log.read_bytes()[:cut] + garbage)
    found = sorted(await keys_in(torn))
    assert found == [f"{number:02}" for number in range(len(found))]
    assert 40 * share - 12 < len(found) < 40


async def test_a_log_of_garbage_is_an_empty_one(torn: Path) -> None:
    torn.with_name(torn.name + "-wal").write_bytes(b"garbage " * 5000)
    torn.with_name(torn.name + "-shm").write_bytes(b"garbage " * 5000)
    assert await keys_in(torn) == set()


def test_a_file_that_is_no_database(file: Path) -> None:
    file.write_bytes(b"no database " * 1000)
    for open_it in (SqliteBacklog, SqliteJournal):
        with pytest.raises(StateError, match="cannot be opened: file is not a database") as caught:
            open_it(file)
        assert "it is only a cache" in caught.value.hint
        assert "journal.sqlite-wal" in caught.value.hint


def damage(file: Path) -> None:
    """Ten pages in the middle."""
    whole = file.read_bytes()
    at = len(whole) // 2 // 4096 * 4096
    file.write_bytes(whole[:at] + b"\xff" * 40_960 + whole[at + 40_960 :])


async def empty(backlog: SqliteBacklog) -> None:
    while works := await backlog.take(1.0, 500):
        await asyncio.gather(*(backlog.done(work) for work in works))


async def test_damage_in_the_middle_is_found_when_it_is_read(file: Path) -> None:
    backlog = SqliteBacklog(file)
    await note(backlog, *(f"{number}-{'x' * 200}" for number in range(2000)))
    await backlog.aclose()
    damage(file)
    backlog = SqliteBacklog(file)
    with pytest.raises(StateError, match="malformed") as caught:
        await empty(backlog)
    assert "it is only a cache" in caught.value.hint
    await backlog.aclose()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(StateError, match="cannot be opened") as caught:
        SqliteBacklog(tmp_path / "state" / "journal.sqlite")
    assert "mend the rights" in caught.value.hint


def test_a_folder_in_the_file_s_place(file: Path) -> None:
    file.mkdir()
    with pytest.raises(StateError, match="cannot be opened"):
        SqliteBacklog(file)


# -- several who write -------------------------------------------------------------


async def test_who_waits_for_another_writer_does_not_stop_the_others(
    file: Path, backlog: SqliteBacklog
) -> None:
    other = opened(file)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(note(backlog, "a"))
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await asyncio.sleep(0.01)  # the loop turns, and nothing is written yet
        assert not waiting.done()
        assert backlog.rows() == []
    assert asyncio.get_running_loop().time() - began < BUSY_TIMEOUT_S
    other.execute("ROLLBACK")
    other.close()
    await waiting
    assert [row.key for row in backlog.rows()] == ["a"]


async def test_another_writer_who_does_not_end(file: Path) -> None:
    other = opened(file, "CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    group = GroupCommit(opened(file), file, busy_timeout_s=0.03)
    with pytest.raises(StateError, match="locked") as caught:
        await group.perform(lambda db: db.execute("INSERT INTO t VALUES (1)").close())
    assert "Another farshore" in caught.value.hint
    other.execute("ROLLBACK")
    await group.perform(lambda db: db.execute("INSERT INTO t VALUES (2)").close())
    await group.aclose()
    assert other.execute("SELECT x FROM t").fetchall() == [(2,)]
    other.close()


async def test_uploads_and_backlog_share_the_file(file: Path, backlog: SqliteBacklog) -> None:
    """Both write from one event loop; neither ever waits for the other for ever."""
    journal = SqliteJournal(file)
    name = UploadName("west", "files", "big", "east:1")
    noting = [asyncio.ensure_future(note(backlog, f"{number}")) for number in range(50)]
    for number in range(50):
        journal.remember_upload(name, str(number))
        await asyncio.sleep(0)
    await asyncio.gather(*noting)
    assert journal.recall_upload(name) == "49"
    assert len(backlog.rows()) == 50
    journal.forget_upload(name)
    assert journal.recall_upload(name) == ""
    journal.close()


async def test_two_processes_give_out_different_generations(
    file: Path, backlog: SqliteBacklog
) -> None:
    other = SqliteBacklog(file)
    answers = [
        await (backlog, other)[number % 2].note([Hint("files", "a")], now=1.0)
        for number in range(6)
    ]
    generations = [generation for ((_, _, generation),) in answers]
    assert generations == sorted(set(generations))
    await other.aclose()


# -- group commit ------------------------------------------------------------------


@pytest.fixture
async def group(file: Path) -> AsyncIterator[GroupCommit]:
    group = GroupCommit(opened(file, "CREATE TABLE t (x)"), file)
    yield group
    await group.aclose()


def insert(value: int) -> Any:
    return lambda db: db.execute("INSERT INTO t VALUES (?) RETURNING x", (value,)).fetchall()


async def test_results_and_order(file: Path, group: GroupCommit) -> None:
    ended: list[int] = []

    def note_end(n: int, committed: bool) -> None:
        ended.append(n if committed else -1)

    results = await asyncio.gather(
        *(group.perform(insert(n), after=partial(note_end, n)) for n in range(2 * QUEUE_MAX))
    )
    assert results == [[(n,)] for n in range(2 * QUEUE_MAX)]
    assert ended == list(range(2 * QUEUE_MAX))


@pytest.mark.parametrize("groups", [1, 3])
async def test_many_share_one_transaction_up_to_its_bound(
    file: Path, group: GroupCommit, groups: int
) -> None:
    versions: set[int] = set()
    watcher = opened(file)

    def look(_committed: bool) -> None:
        versions.add(watcher.execute("PRAGMA data_version").fetchone()[0])

    await asyncio.gather(
        *(
            group.perform(insert(n), rows=GROUP_ROWS_MAX // 100, after=look)
            for n in range(groups * 100)
        )
    )
    assert len(versions) == groups
    watcher.close()


async def test_a_defect_reaches_all_of_its_group_and_none_after(group: GroupCommit) -> None:
    ended: list[bool] = []
    outcomes = await asyncio.gather(
        group.perform(insert(1), after=ended.append),
        group.perform(lambda _db: 1 // 0),
        return_exceptions=True,
    )
    assert {type(outcome) for outcome in outcomes} == {ZeroDivisionError}
    assert ended == [False]
    select: Any = lambda db: db.execute("SELECT count(*) FROM t").fetchone()  # noqa: E731
    assert await group.perform(select) == (0,)


async def test_the_end_commits_what_waits_and_then_refuses(file: Path, group: GroupCommit) -> None:
    waiting = [asyncio.ensure_future(group.perform(insert(n), durable=True)) for n in range(20)]
    await asyncio.sleep(0)
    await group.aclose()
    assert await asyncio.gather(*waiting) == [[(n,)] for n in range(20)]
    with pytest.raises(StateError, match="is closed"):
        await group.perform(insert(1))


def test_a_loop_that_ends_in_a_hurry_leaves_nobody_waiting(file: Path) -> None:
    async def hurry() -> asyncio.Task[Any]:
        group = GroupCommit(opened(file, "CREATE TABLE t (x)"), file)
        task = asyncio.create_task(group.perform(insert(1), durable=True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    task = asyncio.run(hurry())
    assert task.cancelled() or isinstance(task.exception(), StateError)


def test_a_path_that_climbs_above_the_root_is_opened(file: Path) -> None:
    """`farshore --config ../srv/farshore.toml` in / makes one; SQLite itself refuses it."""
    opened(Path(f"/..{file}")).close()
    assert file.exists()
