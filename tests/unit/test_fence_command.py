"""A fence by a program of the user's: what it is asked, and what becomes of its mistakes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.config.fences import FenceWay
from farshore.errors import FarshoreError, OutcomeUnknown
from farshore.fence.command import CommandBarrier
from tests.unit.sites import TOML, config_of

KEEPS = """\
import os, pathlib, sys
place = pathlib.Path("state")
verb, site = sys.argv[2:]
with open("asked", "a") as notes:
    buckets = os.environ["FARSHORE_BUCKETS"].split("\\n")
    print(sys.argv[1], verb, site, *buckets, os.environ["FARSHORE_ENDPOINT"], file=notes)
if verb == "show":
    print("standing" if place.exists() else "absent")
elif verb == "fence":
    place.touch()
else:
    place.unlink(missing_ok=True)
"""


def barrier(folder: Path, script: str, *, timeout_s: float = 30.0) -> CommandBarrier:
    program = folder / "program.py"
    program.write_text(script)
    way = FenceWay("command", argv=(sys.executable, str(program), "--x"), timeout_s=timeout_s)
    return CommandBarrier(replace(config_of().source, fence=way), folder)


async def test_what_it_is_asked(tmp_path: Path) -> None:
    fence = barrier(tmp_path, KEEPS)
    buckets = ["files", "logs"]
    assert await fence.standing(buckets) == {"files": False, "logs": False}
    await fence.put(buckets)
    assert await fence.standing(buckets) == {"files": True, "logs": True}
    assert await fence.take(buckets) == buckets
    assert await fence.take(buckets) == []
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[1] == "--x fence east files logs http://127.0.0.1:8333"
    assert [line.split()[1] for line in asked] == [
        "show", "fence", "show", "show", "unfence", "show", "unfence",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("print('perhaps')", 'said .perhaps., not "standing" or "absent"'),
        ("raise SystemExit('no rights')", "failed with exit code 1: no rights"),
        ("import os; os.kill(os.getpid(), 9)", "failed with exit code -9: -"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "said"),
    ],
)
async def test_what_it_does_wrong_is_told(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(FarshoreError, match=why) as caught:
        await barrier(tmp_path, script).standing(["files"])
    assert caught.value.hint


async def test_one_that_does_not_end_is_ended_and_its_outcome_not_known(tmp_path: Path) -> None:
    script = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    with pytest.raises(OutcomeUnknown, match="has not ended within 3 s"):
        await barrier(tmp_path, script, timeout_s=3.0).put(["files"])
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_one_that_is_not_there(tmp_path: Path) -> None:
    way = FenceWay("command", argv=("/nowhere/at-all",))
    fence = CommandBarrier(replace(config_of().source, fence=way), tmp_path)
    with pytest.raises(FarshoreError, match="at-all … fence east` cannot be started"):
        await fence.put(["files"])


def test_it_is_read_from_the_file() -> None:
    text = f'[sites.east.fence]\nby = "command"\nargv = {json.dumps(["a", "b"])}\ntimeout = "5s"\n'
    way = config_of(TOML.replace("[pair]", f"{text}[pair]")).source.fence
    assert way == FenceWay("command", argv=("a", "b"), timeout_s=5.0)
