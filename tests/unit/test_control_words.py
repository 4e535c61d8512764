"""What a person says to a running daemon through the state file: pause, resume, deletes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.cli import main
from farshore.errors import StateError
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.journal.pause import CURSOR, Pause, pause, paused, resume
from farshore.testing.backlog import MemoryBacklog
from tests.unit.pairs import BUCKET, Pair
from tests.unit.sites import TOML
from tests.unit.test_dispatch import Live

TURNS = 50
"""Of the event loop: far more than a key needs to reach the target in memory."""


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., int]:
    file = tmp_path / "farshore.toml"
    file.write_text(TOML)
    return lambda *words: main.run(["--config", str(file), *words])


def state_file(tmp_path: Path) -> Path:
    return tmp_path / ".farshore" / "journal.sqlite"


async def test_a_paused_dispatcher_takes_nothing_until_it_is_resumed() -> None:
    live = Live(await Pair().ready())
    await live.pair.east.put(BUCKET, "k", b"one")
    await pause(live.backlog, Pause("anna", "host1", 1.0))
    async with live.running():
        await live.note("k")
        for _ in range(TURNS):
            live.dispatcher.wake()
            await asyncio.sleep(0)
        assert live.count() == 1, "hints are still noted, and wait"
        await resume(live.backlog)
        await live.until(lambda: live.count() == 0)
    assert live.pair.equal()


def test_a_pause_is_kept_for_the_next_daemon_and_says_who_and_why(
    tmp_path: Path, ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def held() -> Pause | None:
        return asyncio.run(_held(state_file(tmp_path)))

    assert ask("pause", "--reason", "disk change", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    kept = held()
    assert kept is not None
    assert said["paused"] is True
    assert (kept.by, kept.host, kept.reason) == (said["by"], said["host"], "disk change")
    assert kept.who == f"{kept.by} on {kept.host} (disk change)"
    assert ask("pause") == 0
    assert "was paused already" in capsys.readouterr().out
    assert ask("resume") == 0
    assert "it was paused by" in capsys.readouterr().out
    assert held() is None
    assert ask("resume") == 0
    assert capsys.readouterr().out == "It was not paused.\n"


async def _held(path: Path) -> Pause | None:
    backlog = SqliteBacklog(path)
    try:
        return paused(backlog)
    finally:
        await backlog.aclose()


async def test_a_pause_that_cannot_be_read_stops_work_and_is_named() -> None:
    backlog = MemoryBacklog()
    await backlog.set_cursor(CURSOR, '{"by": "anna"}')
    with pytest.raises(StateError, match="cannot be understood") as raised:
        paused(backlog)
    assert "farshore resume" in raised.value.hint


def test_sync_refuses_what_it_could_only_wait_for(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask("sync", "a/", "--bucket", "nobodys") == 2
    assert "does not replicate the bucket nobodys" in capsys.readouterr().err
    assert ask("pause", "--reason", "disk change") == 0
    assert ask("sync", "a/", "--json") == 5
    document = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert "(disk change)" in document["error"]["message"]
    assert "farshore resume" in document["error"]["hint"]
