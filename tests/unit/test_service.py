"""What the daemon makes of feeds that lose something, and of what a person must see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.daemon.letters import ADDRESS_FILE
from farshore.daemon.publisher import Publisher
from farshore.daemon.reports import Reporter
from farshore.daemon.service import Service
from farshore.engine.heartbeat import HEARTBEAT_KEY, Heartbeat
from farshore.engine.reconcile import Scan
from farshore.errors import StateError
from farshore.feed.hint import Hint, Notice
from farshore.journal.deletes import HeldDelete
from farshore.testing.backlog import MemoryBacklog
from tests.unit.pairs import BUCKET, Pair, quiet
from tests.unit.sites import TOML, config_of
from tests.unit.test_intake import Scripted

FEED = "webhook"


class World:
    """A service whose first scan has closed, and one heart on a store in memory."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.pair = pair
        self.clock = pair.clock
        config = config_of(TOML, folder / "farshore.toml")
        self.folder = config.state_dir
        backlog = MemoryBacklog()
        self.reporter = Reporter(config, backlog, pair.clock)
        self.said: list[str] = []
        publisher = Publisher(config, self.reporter)
        self.service = Service(config, backlog, [], pair.clock, self.said.append, publisher)
        side = pair.side(pair.east, pair.source_can, quiet)
        self.service.hearts = [Heartbeat(side, pair.clock, self.reporter.offset)]
        self.reporter.heard.begin([BUCKET])
        self.scan()

    def scan(self) -> None:
        tally = Scan(self.clock.now())
        self.reporter.scan_started(tally)
        self.reporter.scan_closed(tally)
        self.service.scan_now.clear()

    async def beat(self) -> Hint:
        """Write one, two seconds later; answers its hint."""
        self.clock.advance(2.0)
        await self.service.hearts[0].beat()
        newest = self.pair.east.dump(BUCKET)[0].version.version_id
        return Hint(BUCKET, HEARTBEAT_KEY, self.clock.now() + 0.01, versions=(newest,))

    async def tell(self, hint: Hint) -> None:
        await self.service.intake.receive([hint], FEED)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(await Pair().ready(), tmp_path)


async def test_heartbeats_of_a_feed_move_the_watermark(world: World) -> None:
    for _ in range(3):
        await world.tell(await world.beat())
    assert world.reporter.report().basis == "feed"
    assert not world.service.scan_now.is_set()


async def test_heartbeats_that_never_came_break_the_promise_until_a_scan(world: World) -> None:
    await world.tell(await world.beat())
    for _ in range(4):
        await world.beat()  # dropped by their sender, and who knows what else
    held = world.reporter.report().watermark
    await world.tell(await world.beat())
    report = world.reporter.report()
    assert (report.watermark, report.feeds_whole) == (held, False)
    assert report.feeds[FEED].missed > 0
    assert world.service.scan_now.is_set()
    assert ["never came" in line for line in world.said] == [True]
    world.scan()
    await world.tell(await world.beat())
    await world.tell(await world.beat())
    report = world.reporter.report()
    assert (report.feeds_whole, report.basis) == (True, "feed"), "good again"


async def test_a_flood_of_unreadable_messages_is_said_once_and_counted(world: World) -> None:
    listener = world.service.intake.listener(FEED)
    for _ in range(5):
        listener.unreadable("An event cannot be read.")
    report = world.reporter.report()
    assert (report.feeds[FEED].unreadable, report.feeds_whole) == (5, False)
    assert len(world.said) == 1
    assert world.service.scan_now.is_set()


async def test_an_address_is_for_its_owner_s_eyes_alone(world: World) -> None:
    world.folder.mkdir(parents=True, exist_ok=True)
    (world.folder / ADDRESS_FILE).touch(0o644)
    notice = Notice("confirm", "Confirm it.", "https://sns.example/?Token=hunter2")
    world.service.intake.listener(FEED).noticed(notice)
    kept = world.folder / ADDRESS_FILE
    assert kept.read_text() == "https://sns.example/?Token=hunter2\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in "".join(world.said)
    assert not world.service.scan_now.is_set()


async def test_a_subscription_that_has_ended_may_have_lost_something(world: World) -> None:
    world.service.intake.listener(FEED).noticed(Notice("ended", "No more events."))
    assert world.service.scan_now.is_set()
    assert not world.reporter.report().feeds_whole


async def test_a_journal_that_fails_in_a_feed_ends_the_daemon_with_its_own_words(
    tmp_path: Path,
) -> None:
    world = World(await Pair().ready(), tmp_path)

    class Full(MemoryBacklog):
        async def note(self, *_: object, **__: object) -> list[tuple[str, str, int]]:
            raise StateError("the disk is full")

    feed = Scripted()
    feed.settles = "durable"
    feed.bring(Hint("files", "k", 1.0))
    world.service.intake.backlog = Full()
    world.service.feeds.append(feed)
    with pytest.raises(StateError, match="the disk is full"):
        await world.service.run()


async def test_the_guard_counts_on_when_replication_begins_anew(world: World) -> None:
    """As it does with every new bucket: a flood of deletes gets no new allowance by it."""
    service = world.service
    service.config = replace(
        service.config,
        daemon=replace(service.config.daemon, deletes_count=1, deletes_share=0.0),
    )
    passed = []
    for key in "ab":
        delete = HeldDelete(BUCKET, key, "m", world.clock.now())
        async with service._dispatching([world.pair.crew()]) as dispatcher:
            passed.append(dispatcher._guard.admit(delete, target_keys=0))
    assert passed == [True, False]
