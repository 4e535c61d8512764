"""What a scan that does not come to its end takes back, on two stores in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from farshore.daemon.reports import Reporter
from farshore.daemon.scanning import Scanning
from farshore.engine.heartbeat import IN_FLIGHT_S
from farshore.engine.reconcile import Scan
from farshore.errors import Denied
from farshore.testing.store.faults import Fail, Script, on
from farshore.testing.store.memory import MemoryStore
from tests.unit.pairs import BUCKET, Pair, quiet
from tests.unit.sites import TOML, config_of
from tests.unit.test_dispatch import Live


def scanning(pair: Pair, folder: Path, script: Script = quiet) -> Scanning:
    """What scans, of a daemon that has promised everything up to now."""
    live = Live(pair, target_script=script)
    config = config_of(TOML, folder / "farshore.toml")
    reporter = Reporter(config, live.backlog, pair.clock)
    tally = Scan(pair.clock.now())
    reporter.scan_started(tally)
    reporter.scan_closed(tally)
    asked = asyncio.Event()
    crews = [live.crew]
    return Scanning(config, live.backlog, pair.clock, crews, live.dispatcher, reporter, asked)


async def with_buckets(*stores: MemoryStore) -> None:
    for store in stores:
        await store.create_bucket(BUCKET)
        await store.put_versioning(BUCKET, True)


async def test_a_scan_that_comes_to_its_end_promises_what_stood_when_it_began(
    tmp_path: Path,
) -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"one")
    await pair.run()
    one = scanning(pair, tmp_path)
    pair.clock.advance(60.0)
    assert await one.scan_all()
    assert one.reporter.mark.watermark == pair.clock.now() - IN_FLIGHT_S


async def test_a_bucket_that_is_gone_from_the_target_has_nothing_that_was_promised(
    tmp_path: Path,
) -> None:
    pair = Pair()
    await with_buckets(pair.east)
    one = scanning(pair, tmp_path)
    assert not await one.scan_all()
    assert one.reporter.mark.watermark is None
    await with_buckets(pair.west)
    assert await one.scan_all()
    assert one.reporter.mark.watermark is not None


async def test_a_bucket_that_is_gone_from_the_source_takes_nothing_back(tmp_path: Path) -> None:
    pair = Pair()
    await with_buckets(pair.west)
    one = scanning(pair, tmp_path)
    before = one.reporter.mark.watermark
    assert not await one.scan_all()
    assert one.reporter.mark.watermark == before is not None


async def test_a_target_that_does_not_say_what_it_has_is_not_taken_for_empty(
    tmp_path: Path,
) -> None:
    def refusal(action: str) -> Denied:
        return Denied(f"{action}: AccessDenied", status=403, code="AccessDenied")

    pair = Pair()
    await with_buckets(pair.west)
    one = scanning(pair, tmp_path, on("get_versioning", Fail(refusal)))
    before = one.reporter.mark.watermark
    assert not await one.scan_all()
    assert one.reporter.mark.watermark == before is not None
