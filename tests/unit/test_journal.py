"""The journal's contract on every implementation; on SQLite, what disks do to it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.errors import StateError
from farshore.journal.sqlite import Journal, SqliteJournal, UploadName
from tests.unit.pairs import MemoryJournal

NAME = UploadName("west", "files", "a/b", "east;v1")


class JournalSuite:
    """Run on each implementation, which gives the fixture `journal`: an empty one."""

    def test_an_unknown_upload_has_no_id(self, journal: Journal) -> None:
        assert journal.recall_upload(NAME) == ""

    def test_what_is_remembered_is_recalled(self, journal: Journal) -> None:
        journal.remember_upload(NAME, "id 1")
        assert journal.recall_upload(NAME) == "id 1"
        assert journal.recall_upload(NAME) == "id 1"

    def test_to_remember_again_replaces(self, journal: Journal) -> None:
        journal.remember_upload(NAME, "id 1")
        journal.remember_upload(NAME, "id 2")
        assert journal.recall_upload(NAME) == "id 2"
        journal.forget_upload(NAME)
        assert journal.recall_upload(NAME) == ""

    def test_to_forget_is_final_and_may_be_repeated(self, journal: Journal) -> None:
        journal.remember_upload(NAME, "id 1")
        journal.forget_upload(NAME)
        journal.forget_upload(NAME)
        assert journal.recall_upload(NAME) == ""

    @pytest.mark.parametrize("field", UploadName._fields)
    def test_names_that_differ_in_one_field_are_kept_apart(
        self, journal: Journal, field: str
    ) -> None:
        other = NAME._replace(**{field: "other"})
        journal.remember_upload(NAME, "ours")
        journal.remember_upload(other, "other's")
        assert journal.recall_upload(NAME) == "ours"
        assert journal.recall_upload(other) == "other's"
        journal.forget_upload(other)
        assert journal.recall_upload(NAME) == "ours"

    @pytest.mark.parametrize("key", ["", "é\n\t%_'\"", "\U0001f600" * 256, "a\x00b", "?", ":key"])
    def test_odd_keys(self, journal: Journal, key: str) -> None:
        journal.remember_upload(NAME._replace(key=key), "id/+=%2F")
        assert journal.recall_upload(NAME._replace(key=key)) == "id/+=%2F"


class TestMemoryJournal(JournalSuite):
    """The fake of the unit tests."""

    @pytest.fixture
    def journal(self) -> Journal:
        return MemoryJournal()


class TestSqliteJournal(JournalSuite):
    """One file."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Iterator[Journal]:
        made = SqliteJournal(tmp_path / "journal.sqlite")
        yield made
        made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


def test_what_was_written_survives_a_new_opening(path: Path) -> None:
    first = SqliteJournal(path)
    first.remember_upload(NAME, "id 1")
    first.close()
    second = SqliteJournal(path)
    assert second.recall_upload(NAME) == "id 1"
    second.close()


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from farshore.journal.sqlite import SqliteJournal, UploadName
SqliteJournal(Path(sys.argv[1])).remember_upload(UploadName(*sys.argv[2:]), "id 1")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_written_survives_a_sigkill(path: Path) -> None:
    died = subprocess.run(
        [sys.executable, "-c", WRITE_AND_DIE, str(path), *NAME], timeout=60, check=False
    )
    assert died.returncode == -signal.SIGKILL
    journal = SqliteJournal(path)
    assert journal.recall_upload(NAME) == "id 1"
    journal.close()


def test_two_openings_see_the_same(path: Path) -> None:
    """`status` beside `backfill`."""
    one, two = SqliteJournal(path), SqliteJournal(path)
    one.remember_upload(NAME, "id 1")
    assert two.recall_upload(NAME) == "id 1"
    two.forget_upload(NAME)
    assert one.recall_upload(NAME) == ""
    one.close()
    two.close()


WRITE_UNTIL_FULL = """
import resource, signal, sys
from pathlib import Path
from farshore.errors import StateError
from farshore.journal.sqlite import SqliteJournal, UploadName
journal = SqliteJournal(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    for number in range(10_000):
        journal.remember_upload(UploadName("west", "files", f"k{number}" * 50, "east;v1"), "id")
except StateError as error:
    print(number, error.exit_code, error, error.hint, sep="\\n")
"""


def test_a_full_disk_is_an_error_that_says_so_and_keeps_what_was_written(path: Path) -> None:
    full = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_FULL, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    number, exit_code, message, hint = full.stdout.splitlines()
    assert int(number) > 10
    assert exit_code == "1"
    assert str(path) in message
    assert "cannot be written" in message
    assert "space" in hint
    journal = SqliteJournal(path)
    last = int(number) - 1
    assert journal.recall_upload(UploadName("west", "files", f"k{last}" * 50, "east;v1")) == "id"
    journal.close()


def _damaged(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def _folder(path: Path) -> None:
    path.mkdir()


def _of_another_shape(path: Path) -> None:
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE upload (other TEXT)")
    made.close()


@pytest.mark.parametrize("spoil", [_damaged, _folder, _of_another_shape])
def test_a_file_that_is_no_journal_is_named(path: Path, spoil: Callable[[Path], None]) -> None:
    path.parent.mkdir()
    spoil(path)
    with pytest.raises(StateError, match=r"journal\.sqlite cannot be") as raised:
        SqliteJournal(path).recall_upload(NAME)
    assert "delete it" in raised.value.hint


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be opened"):
        SqliteJournal(tmp_path / "file" / "state" / "journal.sqlite")


def test_a_journal_that_somebody_holds_for_a_moment_is_waited_for(path: Path) -> None:
    journal = SqliteJournal(path)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, holder.execute, ("COMMIT",))
    release.start()
    journal.remember_upload(NAME, "id 1")
    release.join()
    assert journal.recall_upload(NAME) == "id 1"
    holder.close()
    journal.close()
