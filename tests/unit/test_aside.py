"""Blocking work beside the event loop: answered, raised, or left behind."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from farshore.switch.aside import aside

HANGS = """
import asyncio, threading
from farshore.switch.aside import aside

async def main():
    try:
        await aside(threading.Event().wait, 0.05)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


async def test_what_it_answers_and_raises_comes_back() -> None:
    def fails() -> None:
        raise KeyError("k")

    assert await aside(lambda: 7, 5) == 7
    with pytest.raises(KeyError):
        await aside(fails, 5)


async def test_it_runs_in_another_thread() -> None:
    assert await aside(threading.get_ident, 5) != threading.get_ident()


async def test_what_ends_too_late_is_heard_by_nobody() -> None:
    release, ended = threading.Event(), threading.Event()

    def slow() -> None:
        release.wait(10)
        ended.set()

    with pytest.raises(TimeoutError):
        await aside(slow, 0.05)
    release.set()
    assert await aside(lambda: ended.wait(10), 10)


def test_a_program_ends_though_its_work_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "given up\n"
    assert done.stderr == ""
