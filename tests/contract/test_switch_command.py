"""The switch contract on a program of the user's, and on programs that break it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from farshore.config.switches import CommandSwitch
from farshore.switch.command import OUTPUT_BYTES_MAX, CommandDriver
from farshore.switch.driver import DriverPlan, SwitchError, SwitchMoved, SwitchUnknown

from . import switch_program
from .switch_suite import EAST, WEST, AnsweredSwitchSuite, applied

VALUES = {EAST: "https://s3.east.example.net", WEST: "https://s3.west.example.net"}
STRANGE = "https://s3.elsewhere.example.org"
PLACES = ("first", "second")
TIMEOUT_S = 2.5
"""Long for the program, which needs 50 ms; short for those who wait for one that hangs."""

PROGRAM = (sys.executable, "-I", "-S", str(Path(switch_program.__file__)))


class CommandBench:
    secrets = ("hunter2",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state.json"
        self._fault = folder / "FAULT"

    def driver(self) -> CommandDriver:
        argv = (*PROGRAM, "--token=hunter2", str(self.state))
        return CommandDriver(CommandSwitch("command", argv, TIMEOUT_S, VALUES, self.folder))

    def impatient(self) -> CommandDriver:
        return self.driver()

    def write(self, value: str) -> None:
        self.state.write_text(json.dumps(dict.fromkeys(PLACES, value)))

    async def put(self, site: str) -> None:
        self.write(VALUES[site])

    async def put_strange(self) -> None:
        self.write(STRANGE)

    async def truth(self) -> str:
        values = set(json.loads(self.state.read_text()).values())
        return next((s for s, v in VALUES.items() if values == {v}), "")

    async def cut(self) -> None:
        self._fault.write_text("cut")

    async def lose_answer(self) -> None:
        self._fault.write_text("lose")

    async def silence(self) -> None:
        self._fault.write_text("silent")

    async def heal(self) -> None:
        self._fault.unlink(missing_ok=True)


@pytest.fixture
async def bench(tmp_path: Path) -> CommandBench:
    made = CommandBench(tmp_path)
    await made.put(EAST)
    return made


class TestCommandSwitch(AnsweredSwitchSuite):
    """Two places behind one program."""


async def test_what_the_program_says_is_in_the_plan(bench: CommandBench) -> None:
    plan = await bench.driver().plan(WEST)
    assert plan.propagation_s == 1.5
    assert plan.findings == ("it is a test",)
    assert plan.lines == tuple(f"{p}: {VALUES[EAST]} becomes {VALUES[WEST]}" for p in PLACES)


async def test_what_hangs_is_killed_with_all_that_it_started(bench: CommandBench) -> None:
    await bench.silence()
    position = await bench.driver().current()
    assert [r.error for r in position.readings] == [
        f"{Path(PROGRAM[0]).name} did not end within 2.5 s"
    ]
    for pid in (bench.folder / "pids").read_text().split():
        assert await _is_gone(Path(f"/proc/{pid}/stat"))


def _state(stat: Path) -> str:
    """The process's state as proc(5) has it; "" when there is none."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def _is_gone(stat: Path) -> bool:
    """A killed child goes when its new parent has taken note of it."""
    for _ in range(200):
        if _state(stat) in "Z":
            return True
        await asyncio.sleep(0.01)  # nobody tells of the end of another's child
    return False


def scripted(tmp_path: Path, **verbs: str) -> CommandDriver:
    """A driver whose program runs one line of shell for each verb."""
    cases = "".join(f"{verb}) {line} ;;\n" for verb, line in verbs.items())
    script = tmp_path / "program"
    script.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}esac\n')
    script.chmod(0o755)
    return CommandDriver(CommandSwitch("command", (str(script),), TIMEOUT_S, VALUES, tmp_path))


READING = {"vantage": "v", "raw": VALUES[EAST]}
CURRENT = f"echo '{json.dumps({'readings': [READING]})}'"
PLAN = DriverPlan("command", WEST, (("v", VALUES[EAST]),), ("a line",))


@pytest.mark.parametrize(
    ("current", "words"),
    [
        ("exit 7", "exit code 7"),
        ("kill -9 $$", "signal SIGKILL"),
        ("echo hunter2", "(not JSON)"),
        ("echo '[]'", "the document: model_type"),
        ("true", "(not JSON)"),
        ("echo '{}'", "readings: missing"),
        ("""echo '{"readings": []}'""", "readings: too_short"),
        ("""echo '{"readings": [{"vantage": 7}]}'""", "readings.0.vantage: string_type"),
        (f"echo '{json.dumps({'readings': [READING, READING]})}'", "twice"),
        ("yes", f"more than {OUTPUT_BYTES_MAX} bytes"),
    ],
)
async def test_a_program_that_breaks_the_contract_is_told(
    tmp_path: Path, current: str, words: str
) -> None:
    driver = scripted(tmp_path, current=current, apply="touch applied")
    with pytest.raises(SwitchError) as caught:
        await driver.current()
    assert words in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert await applied(driver, PLAN) == "error"
    assert not (tmp_path / "applied").exists()


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("exit 3", SwitchMoved, "something else"),
        ("exit 4", SwitchError, "nothing was changed"),
        ("exit 7", SwitchUnknown, "exit code 7"),
        ("kill -9 $$", SwitchUnknown, "signal SIGKILL"),
        ("sleep 600", SwitchUnknown, "did not end"),
        ("exit 0", SwitchUnknown, "does not show west"),
    ],
)
async def test_every_end_of_apply(
    tmp_path: Path, line: str, kind: type[SwitchError | SwitchMoved], words: str
) -> None:
    driver = scripted(tmp_path, current=CURRENT, apply=line)
    with pytest.raises(kind, match=words) as caught:
        await driver.apply(PLAN)
    assert type(caught.value) is kind


@pytest.mark.parametrize("argv", ["/nowhere/program", "."])
async def test_a_program_that_cannot_be_started_is_told(tmp_path: Path, argv: str) -> None:
    driver = CommandDriver(CommandSwitch("command", (argv,), TIMEOUT_S, VALUES, tmp_path))
    for call in (driver.current(), driver.plan(WEST), driver.apply(PLAN), driver.verify(WEST)):
        with pytest.raises(SwitchError, match="cannot be started"):
            await call


async def test_a_program_that_reads_nothing_is_no_error(tmp_path: Path) -> None:
    driver = scripted(tmp_path, current=f"exec <&-; {CURRENT}")
    assert (await driver.current()).shows(EAST)


async def test_places_that_vanished_are_no_plan_to_follow(tmp_path: Path) -> None:
    two = DriverPlan("command", WEST, (*PLAN.expect, ("w", VALUES[EAST])), ("a line",))
    driver = scripted(tmp_path, current=CURRENT, apply="exit 0")
    with pytest.raises(SwitchError, match="fewer places"):
        await driver.apply(two)
