"""What a run says: every step once, whoever made it, on a terminal and in a pipe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farshore.cli.console import Console
from farshore.cli.run_words import Steps, say_end
from farshore.core.runbook import Approval, Plan, Run, StepPlan
from farshore.errors import FarshoreError
from farshore.runbook.runner import Runner
from farshore.testing.clock import ManualClock
from tests.unit.test_runner import Fake, Log, Shelf, World, begun, steps


async def made(told: Steps, *, drain: FarshoreError | None = None, first: int = 0) -> Run:
    """A run through fake steps; the `first` ones were made by another process."""
    world, run = World(), begun()
    fakes = steps(world)
    for name in list(fakes)[:first]:
        world.holds.add(name)
        run = run.step_begun(name, 3.0, "one@desk").step_ended(name, "ok", 3.5)
    if drain is not None:
        fakes["drain"] = _refusing(fakes["drain"], drain)
    maker = Runner(list(fakes.values()), Shelf(), Log(), ManualClock(), "one@desk", "flip", told)
    return await maker.go(run)


def _refusing(fake: Fake, error: FarshoreError) -> Fake:
    fake.error, fake.takes_effect = error, False
    return fake


@pytest.mark.parametrize("first", [0, 2])
async def test_every_step_is_printed_once_and_among_the_results(
    first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console()
    told = Steps(console)
    ended = await made(told, first=first)
    told.rest(ended)
    say_end(console, ended)
    out, err = capsys.readouterr()
    assert err == ""
    for name in ("freeze", "drain", "flip", "probe"):
        assert out.count(f"  {name}: ok") == 1, out
    assert out.count("before, 0.50 s") == first
    assert out.endswith("Done: west is primary. Then: `farshore commit`.\n")


async def test_with_json_steps_are_progress(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=True)
    told = Steps(console)
    ended = await made(told)
    told.rest(ended)
    say_end(console, ended)
    out, err = capsys.readouterr()
    assert (out, err.count("flip: ok, ")) == ("", 1)


async def test_why_a_step_failed_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    told = Steps(console)
    ended = await made(told, drain=FarshoreError("3 writes stay"))
    told.rest(ended)
    say_end(console, ended)
    out = capsys.readouterr().out
    assert out.count("3 writes stay") == 1
    assert "Aborted: drain failed. east is primary, as before." in out


def test_why_a_person_aborted_is_said_whole(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan("switchover", "p", "east", "west", 1, "abc", (StepPlan("flip", "Flip."),))
    run = replace(Run("r1", plan, "a", 1.0, 1.0), approval=Approval("b", 2.0, plan.digest, True))
    say_end(Console(), run.abort(3.0, "wrong day: it is Friday"))
    assert "Aborted: wrong day: it is Friday. east" in capsys.readouterr().out
