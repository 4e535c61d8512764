"""A command that the nursery runs does what the same command does in a Python of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.background import Background
from tests.lab.nursery import nursery
from tests.unit.sites import TOML

SECONDS = 60.0


def born(
    words: Sequence[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> subprocess.CompletedProcess[str]:
    return nursery().run(words, folder, {**os.environ, **(env or {})}, "", seconds)


def alone(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "farshore", *words]
    return subprocess.run(
        line, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--version"], 0),
        (["status", "--help"], 0),
        (["nonsense"], 2),
        (["status", "--json"], 2),
        (["--config", "there.toml", "config", "check", "--json"], 0),
    ],
)
def test_it_ends_as_it_would_alone(tmp_path: Path, words: list[str], code: int) -> None:
    (tmp_path / "there.toml").write_text(TOML)
    here, there = born(words, tmp_path), alone(words, tmp_path)
    assert here.returncode == there.returncode == code
    assert (here.stdout, here.stderr) == (there.stdout, there.stderr)


def test_its_environment_is_the_given_one(tmp_path: Path) -> None:
    (tmp_path / "there.toml").write_text(TOML)
    named = {"FARSHORE_CONFIG": "there.toml"}
    assert born(["config", "check"], tmp_path, named).returncode == 0
    assert born(["config", "check"], tmp_path).returncode == 2


def test_one_that_hangs_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "farshore.toml")  # nobody writes into it
    with pytest.raises(subprocess.TimeoutExpired):
        born(["config", "check"], tmp_path, seconds=0.5)
    assert born(["--version"], tmp_path).returncode == 0, "the next one is served"


def test_one_that_nobody_waits_for_any_more_disturbs_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        with open(os.devnull, "r+b") as nowhere:
            child = nursery().begin(["--version"], tmp_path, os.environ, [nowhere] * 3)
        child.answer.close()
    for _ in range(5):
        assert born(["--version"], tmp_path).returncode == 0


def test_many_at_once_have_each_their_own_answer(tmp_path: Path) -> None:
    words = [["--version"], ["nonsense"]] * 10
    with ThreadPoolExecutor(len(words)) as hands:
        ended = list(hands.map(lambda one: born(one, tmp_path), words))
    assert [one.returncode for one in ended] == [0, 2] * 10
    assert {one.stdout.split(" ")[0] for one in ended[::2]} == {"farshore"}


def test_a_signal_that_ends_it_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "farshore.toml")  # nobody writes into it
    with open(os.devnull, "r+b") as nowhere:
        child = nursery().begin(["config", "check"], tmp_path, os.environ, [nowhere] * 3)
    with child.answer:
        os.kill(child.pid, signal.SIGTERM)
        assert nursery().awaited(child, SECONDS, []) == -signal.SIGTERM


def test_in_the_background_it_is_heard_while_it_runs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "farshore.toml")
    running = Background(["config", "check", "--json"], tmp_path, os.environ)
    assert running.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.05)
    (tmp_path / "farshore.toml").write_text(TOML)  # what it has been waiting for
    out, err = running.communicate()
    assert (running.returncode, out[:1], err) == (0, "{", "")
    assert running.communicate() == (out, err)
    running.kill()
    assert running.poll() == 0, "its end is behind it"


def test_in_the_background_one_that_is_killed_or_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "farshore.toml")  # nobody writes into it
    killed, hangs = (Background(["config", "check"], tmp_path, os.environ) for _ in range(2))
    killed.kill()
    assert killed.communicate()[0] == ""
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(subprocess.TimeoutExpired, match="farshore"):
        hangs.communicate(0.2)
    hangs.communicate()
    assert hangs.returncode == -signal.SIGKILL
