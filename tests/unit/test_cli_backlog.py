"""`farshore backlog` on a state file, with and without somebody else at work on it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from farshore.cli import main
from farshore.control.status import DaemonState, StatusReport, write_local
from farshore.feed.hint import Hint
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.journal.ledger import Ledgers, LeftOut

from .sites import TOML

NOW = 1_767_225_600.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "farshore.toml"
    file.write_text(TOML)
    return file


def state_file(config: Path) -> Path:
    return config.parent / ".farshore" / "journal.sqlite"


def ask(config: Path, *words: str) -> int:
    return main.run(["--config", str(config), "backlog", *words])


async def put(backlog: SqliteBacklog, key: str, reason: str, due_at: float) -> None:
    await backlog.note([Hint("files", key, NOW, "", 10)], now=NOW)
    for work in await backlog.take(NOW, 10):
        if reason:
            await backlog.put_back(
                work,
                due_at=due_at,
                attempts=2,
                reason=reason,
                cause="Denied",
                explanation="no right\x1b to read it",
            )


@pytest.fixture
async def running(config: Path) -> Any:
    """Somebody else who has the file open, as `farshore run` would."""
    backlog = SqliteBacklog(state_file(config))
    await put(backlog, "a/bad", "FAILED", NOW * 2)
    await put(backlog, "a/odd", "UNSUPPORTED", math.inf)
    await put(backlog, "b/\ud800", "FAILED", 1e300)
    await put(backlog, "new", "", NOW)
    yield backlog
    await backlog.aclose()


def in_a_thread(config: Path, *words: str) -> int:
    """The command has a loop of its own."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask, config, *words).result()


def test_there_is_no_state_file_yet(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(config, "list") == 0
    told = capsys.readouterr().out
    assert "what waits is not known here; `farshore status` asks the target" in told
    assert "Nothing waits" not in told
    assert ask(config, "retry", "--json") == 0
    assert json.loads(capsys.readouterr().out)["retried"] == 0
    assert not state_file(config).exists()


async def test_list(
    config: Path, running: SqliteBacklog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_a_thread(config, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["CHANGED", "STATE", "TRIES", "NEXT", "TRY", "KEY", "WHY"]
    assert "2026-01-01T00:00:00.000Z  FAILED" in lines[1]
    assert "files/a/bad" in lines[1]
    assert "Denied: no right\\x1b to read it" in lines[1]
    assert "when asked" in lines[2]
    assert "WAITS" in lines[4]
    assert "has not reported yet: more may wait" in lines[5]
    assert lines[6] == (
        "4 keys in the backlog, 2 FAILED, 1 UNSUPPORTED; "
        "the oldest change is of 2026-01-01T00:00:00.000Z."
    )


@pytest.mark.parametrize(
    ("age_s", "stopped_at", "said"),
    [
        (5.0, None, ""),
        (5.0, NOW, "since 2025-12-31T23:59:55.000Z: this is how things were then"),
        (600.0, None, "since 2025-12-31T23:50:00.000Z: this is how things were then"),
    ],
)
async def test_a_backlog_that_nobody_keeps_is_said_to_be_old(
    config: Path,
    running: SqliteBacklog,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    age_s: float,
    stopped_at: float | None,
    said: str,
) -> None:
    monkeypatch.setattr("farshore.cli.backlog._now", lambda: NOW + 100.0)  # the source is behind
    state = DaemonState("h", 1, "1", NOW)
    report = StatusReport(
        "east-west", NOW - age_s, state, stopped_at=stopped_at, source_offset_s=-100.0
    )
    write_local(state_file(config).parent, report)
    assert in_a_thread(config, "list", "--json") == 0
    doubt = json.loads(capsys.readouterr().out)["doubt"]
    assert said in doubt
    assert bool(doubt) == bool(said)


async def test_deletes_alone_keep_no_watermark_back(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backlog = SqliteBacklog(state_file(config))
    await backlog.note([Hint("files", "k", NOW, "", 0)], now=NOW)
    (work,) = await backlog.take(NOW, 1)
    await backlog.put_back(
        work, due_at=NOW * 2, attempts=0, reason="PENDING", cause="DeleteGuard", explanation="held"
    )
    await backlog.aclose()
    assert in_a_thread(config, "list") == 0
    assert "1 key in the backlog; none keeps the watermark back." in capsys.readouterr().out


async def test_list_as_json(
    config: Path, running: SqliteBacklog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_a_thread(config, "list", "--failed", "--json", "--limit", "2") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["count"], told["bytes"], told["held"]) == (4, 40, 0)
    assert told["failed"] == {"FAILED": 2, "UNSUPPORTED": 1}
    assert told["oldest_since"] == "2026-01-01T00:00:00.000Z"
    assert [row["key"] for row in told["rows"]] == ["a/bad", "a/odd"]
    assert told["rows"][1]["due_at"] is None
    assert in_a_thread(config, "list", "--prefix", "b/", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["key"], row["due_at"], row["attempts"]) == ("b/\\ud800", None, 2)


async def test_retry_is_seen_by_who_is_at_work(
    config: Path, running: SqliteBacklog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await running.take(NOW, 10) == []  # "new" is in flight, the others wait
    assert in_a_thread(config, "retry", "--prefix", "a/") == 0
    assert capsys.readouterr().out == "2 keys that failed will be tried again now.\n"
    assert [work.key for work in await running.take(NOW, 10)] == ["a/bad", "a/odd"]
    assert in_a_thread(config, "retry", "--json") == 0
    assert json.loads(capsys.readouterr().out)["retried"] == 3


def test_a_damaged_state_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state_file(config).parent.mkdir()
    state_file(config).write_bytes(b"no database " * 1000)
    assert ask(config, "list") == 1
    assert "it is only a cache" in capsys.readouterr().err


def test_what_expired_and_what_was_cancelled_is_listed_by_name(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledgers = Ledgers.at(state_file(config))
    ledgers.expired.record(
        [LeftOut("files", f"{'ab'[n % 2]}/{n}\x1b", f"v{n}", NOW + n) for n in range(1500)]
    )
    ledgers.cancelled.record([LeftOut("files", "c\ud800", "m", NOW)])
    ledgers.close()
    assert ask(config, "expired") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["FOUND", "KEY", "VERSION"]
    assert lines[1].split() == ["2026-01-01T00:24:59.000Z", "files/b/1499\\x1b", "v1499"]
    assert len(lines) == 1003
    assert lines[-1] == (
        "1,500 versions in all were purged on the source before they were copied; "
        "1,000 shown, the newest first: --limit shows more."
    )
    assert ask(config, "expired", "--prefix", "a/", "--limit", "5000", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["total"], told["kept"], len(told["rows"])) == (1500, 750, 750)
    assert told["rows"][0]["key"] == "a/1498\x1b"
    assert ask(config, "cancelled", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [
        {"bucket": "files", "key": "c\\ud800", "version_id": "m", "at": "2026-01-01T00:00:00.000Z"}
    ]


def test_where_nothing_expired_nothing_is_made(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(config, "expired") == 0
    told = capsys.readouterr().out
    assert "is not known here" in told
    assert "No version" not in told
    assert not state_file(config).exists()
    Ledgers.at(state_file(config)).close()
    assert ask(config, "cancelled") == 0
    assert "No delete was cancelled" in capsys.readouterr().out
