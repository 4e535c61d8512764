"""A region that comes back with empty disks: nothing is vouched for that it had, none doubled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from farshore.control.status import StatusDocument, StatusLost, status_name
from farshore.daemon.publisher import Publisher
from farshore.daemon.reports import Reporter
from farshore.engine.reconcile import Scan
from farshore.testing.backlog import MemoryBacklog
from farshore.testing.store.memory import MemoryStore
from tests.unit.pairs import BUCKET, Pair
from tests.unit.sites import TOML, config_of

CONTROL = "farshore-control"


async def ready() -> Pair:
    pair = await Pair().ready()
    await pair.west.create_bucket(CONTROL)
    await pair.west.put_versioning(CONTROL, True)
    return pair


async def test_a_daemon_whose_status_is_gone_stops_and_promises_nothing(tmp_path: Path) -> None:
    pair = await ready()
    config = config_of(TOML, tmp_path / "farshore.toml")
    reporter = Reporter(config, MemoryBacklog(), pair.clock)
    reporter.working(None, [pair.crew()])
    tally = Scan(pair.clock.now())
    reporter.scan_started(tally)
    reporter.scan_closed(tally)
    board = StatusDocument(pair.west, CONTROL, config.pair.name)
    await board.write(reporter.report())
    assert reporter.report().watermark is not None
    await pair.west.delete(CONTROL, status_name(config.pair.name))
    async with asyncio.timeout(5.0):
        with pytest.raises(StatusLost, match="west has lost the status"):
            await Publisher(config, reporter).publish_for_ever(board, every_s=60.0)
    assert reporter.report().watermark is None
    assert reporter.report().scan is None


async def test_a_status_that_was_never_written_is_not_missed() -> None:
    pair = await ready()
    await StatusDocument(pair.west, CONTROL, "east-west").require_kept()


async def test_what_is_copied_home_to_new_disks_is_not_copied_out_again() -> None:
    pair = await Pair().ready()
    for body in (b"one", b"two"):
        await pair.east.put(BUCKET, "k", body)
    await pair.run()
    survivor = pair.west
    home = MemoryStore("east", clock=pair.clock, seed=3)
    await home.create_bucket(BUCKET)
    await home.put_versioning(BUCKET, True)
    pair.east, pair.west = survivor, home
    await pair.run()
    pair.east, pair.west = home, survivor
    await home.put(BUCKET, "k", b"three")
    await pair.run()
    assert [held.body for held in survivor.dump(BUCKET)] == [b"three", b"two", b"one"]
    proof = await pair.prove()
    assert not proof.differences
