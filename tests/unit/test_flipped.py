"""The flip of a run: who was killed before the epoch was noted leaves it to the next process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.config.switches import FileSwitch
from farshore.core import whereabouts
from farshore.runbook.flipped import Flip
from farshore.runbook.ground import Ground
from farshore.switch.file import FileDriver
from tests.unit.sites import config_of
from tests.unit.two_sides import World

VALUES = {"east": "https://s3.east.example.com", "west": "https://s3.west.example.com"}


class Died(BaseException):
    """The process is gone."""


class Dying(FileDriver):
    """Its process dies when the epoch is to be noted."""

    async def note_epoch(self, site: str, epoch: int) -> None:
        raise Died


class Deaf(FileDriver):
    """It takes no epoch, and says nothing."""

    async def note_epoch(self, site: str, epoch: int) -> None: ...


def file(tmp_path: Path, kind: type[FileDriver] = FileDriver) -> FileDriver:
    return kind(FileSwitch("file", tmp_path / "endpoint.json", "json", VALUES))


@pytest.fixture
async def ground(tmp_path: Path) -> Ground:
    """A switchover that stands before its flip; one file says where clients go."""
    world = await World().ready()
    anna = world.person("anna")
    for event in ("freeze", "drain", "fence"):
        await anna.records(event)
    driver = file(tmp_path)
    await driver.apply(await driver.plan("east"))
    return Ground(config_of(), anna.plane, (driver,), world.clock, "anna", "a test", "run")


def epoch(tmp_path: Path) -> int:
    return whereabouts.read((tmp_path / "endpoint.json").read_bytes()).epoch


async def test_killed_before_the_epoch_was_noted_the_next_process_notes_it(
    ground: Ground, tmp_path: Path
) -> None:
    with pytest.raises(Died):
        await Flip(replace(ground, drivers=(file(tmp_path, Dying),))).act()
    record = await ground.record()
    assert (record.phase, epoch(tmp_path)) == ("switched", 0)

    resumed = Flip(ground)
    assert (await resumed.look()).done is False
    await resumed.act()
    assert (await resumed.look()).done
    assert epoch(tmp_path) == record.epoch == (await ground.record()).epoch
    assert (await Flip(ground).look()).done, "nothing is lacking any more"


async def test_a_file_that_takes_no_epoch_keeps_no_run_from_its_end(
    ground: Ground, tmp_path: Path
) -> None:
    flip = Flip(replace(ground, drivers=(file(tmp_path, Deaf),)))
    await flip.act()
    assert (await flip.look()).done
    assert epoch(tmp_path) == 0
