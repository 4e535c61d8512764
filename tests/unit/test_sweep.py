"""The sweep: drift that no hint told of is mended on the target, slowly, and from where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from farshore.config.values import Daemon
from farshore.control.status import SweepState
from farshore.core import acl
from farshore.core.acl import Grant
from farshore.core.model import Attributes
from farshore.core.rules import Rule
from farshore.daemon.sweeping import AGAIN_S, Sweeping, versions_per_s
from farshore.engine.lane import Crew
from farshore.engine.sweep import CURSOR, Book, Pass, Sweep
from farshore.errors import Denied, Gone, Unreachable
from farshore.journal.pause import Pause, pause, resume
from farshore.s3.pace import TokenBucket
from farshore.testing.backlog import MemoryBacklog
from farshore.testing.store.faults import Fail, on
from farshore.testing.store.memory import WITH_ACLS, MemoryStore
from tests.unit.pairs import BUCKET, Pair, quiet
from tests.unit.sites import config_of

PUBLIC = Grant(acl.ALL_USERS, "READ")
LATER = "2099-01-01T00:00:00Z"
TAGGED = Attributes(tags=(("a", "1"),))


async def copied(*keys: str, attributes: Attributes = TAGGED) -> Pair:
    """Two versions under each key, on both sides."""
    pair = await Pair().ready()
    for key in keys:
        for body in (b"one", b"two"):
            await pair.east.put(BUCKET, key, body, attributes)
    await pair.run()
    assert pair.equal()
    return pair


def ids(store: MemoryStore, key: str) -> list[str]:
    """Newest first."""
    return [h.version.version_id for h in store.dump(BUCKET) if h.version.key == key]


async def nothing() -> None:
    """Nobody wants to know."""


async def swept(pair: Pair, crew: Crew | None = None, book: Book | None = None) -> Book:
    """One whole pass."""
    book = book or Book()
    pace = TokenBucket(0.0, clock=pair.clock, sleep=pair.clock.sleep)
    await Sweep([crew or pair.crew()], book, pace, pair.clock, nothing, pair.clock.sleep).run()
    return book


def last(book: Book) -> Pass:
    assert book.last is not None
    return book.last


async def test_what_is_equal_is_compared_and_left_alone() -> None:
    pair = await copied("a", "b")
    found = last(await swept(pair))
    assert (found.versions, found.mended, found.left) == (4, 0, 0)


async def test_tags_that_drifted_on_either_side_are_the_sources_again() -> None:
    pair = await copied("a", "b", "c")
    await pair.east.put_tags(BUCKET, "a", ids(pair.east, "a")[1], (("a", "2"),))
    await pair.west.put_tags(BUCKET, "b", ids(pair.west, "b")[0], (("a", "3"),))
    await pair.west.put_tags(BUCKET, "c", ids(pair.west, "c")[0], ())
    book = await swept(pair)
    assert (last(book).mended, book.mended_total) == (3, 3)
    assert pair.equal()
    again = await swept(pair, book=book)
    assert (last(again).mended, again.mended_total) == (0, 3)


async def test_equal_counts_of_tags_hide_nothing() -> None:
    pair = await copied("a")
    await pair.west.put_tags(BUCKET, "a", ids(pair.west, "a")[0], (("other", "x"),))
    assert last(await swept(pair)).mended == 1
    assert pair.equal()


async def test_retention_and_legal_hold_follow() -> None:
    pair = await copied("a", attributes=Attributes())
    newest = ids(pair.east, "a")[0]
    await pair.east.put_retention(BUCKET, "a", newest, "GOVERNANCE", LATER)
    await pair.east.put_legal_hold(BUCKET, "a", newest, True)
    assert last(await swept(pair)).mended == 1
    lock = pair.west.dump(BUCKET)[0].attributes.lock
    assert (lock.mode, lock.legal_hold) == ("GOVERNANCE", True)


async def test_a_lock_that_only_the_target_has_is_told_and_stays() -> None:
    pair = await copied("a", attributes=Attributes())
    await pair.west.put_retention(BUCKET, "a", ids(pair.west, "a")[0], "COMPLIANCE", LATER)
    found = last(await swept(pair))
    assert (found.mended, found.left) == (0, 1)
    assert "west does not take the source's lock" in found.trouble


async def test_a_version_that_may_not_be_read_is_told_and_the_rest_goes_on() -> None:
    pair = await copied("a", "b")
    await pair.west.put_tags(BUCKET, "b", ids(pair.west, "b")[0], ())

    def refusal(action: str) -> Denied:
        return Denied(f"{action}: AccessDenied", status=403)

    crew = pair.crew(on("head", Fail(refusal), times=99, key="a"))
    found = last(await swept(pair, crew))
    assert (found.mended, found.left) == (1, 2)
    assert "AccessDenied" in found.trouble


@pytest.mark.parametrize("rule", [Rule(exclude=True), Rule(prefix="elsewhere/")])
async def test_what_no_rule_covers_is_not_compared(rule: Rule) -> None:
    pair = await copied("a")
    pair.rules = (rule,)
    assert last(await swept(pair)).versions == 0


async def test_what_was_purged_since_it_was_listed_is_no_trouble() -> None:
    pair = await copied("a", "b")

    def purged(action: str) -> Gone:
        return Gone(f"{action}: NoSuchVersion", status=404)

    found = last(await swept(pair, pair.crew(quiet, on("head", Fail(purged), times=1, key="a"))))
    assert (found.versions, found.left) == (3, 0)


async def test_a_change_while_it_is_mended_is_mended_too() -> None:
    pair = await copied("a")
    version = ids(pair.east, "a")[0]
    await pair.east.put_tags(BUCKET, "a", version, (("a", "2"),))

    class Meanwhile(MemoryStore):
        """West; while tags are set here for the first time, they change on east again."""

        async def put_tags(self, *words: Any) -> None:
            await MemoryStore.put_tags(self, *words)
            if not done:
                done.append(True)
                await pair.east.put_tags(BUCKET, "a", version, (("a", "3"),))

    done: list[bool] = []
    pair.west.__class__ = Meanwhile
    assert last(await swept(pair)).mended == 1
    assert pair.equal()


async def test_lists_are_swept_and_grants_to_accounts_counted() -> None:
    pair = await Pair(source_can=WITH_ACLS, target_can=WITH_ACLS).ready()
    for key in ("a", "b"):
        await pair.east.put(BUCKET, key, b"one")
    await pair.run()
    owner = await pair.east.get_acl(BUCKET, "a")
    account = Grant("an-account-of-east", "READ")
    await pair.east.put_acl(BUCKET, "a", "", acl.with_groups(owner, [PUBLIC]))
    await pair.east.put_acl(BUCKET, "b", "", owner._replace(grants=(*owner.grants, account)))
    found = last(await swept(pair))
    assert (found.mended, found.left, found.accounts) == (1, 0, 1)
    assert acl.of_groups(await pair.west.get_acl(BUCKET, "a")) == {PUBLIC}
    again = last(await swept(pair))
    assert (again.mended, again.accounts) == (0, 1)


# -- from where it was -------------------------------------------------------------------


async def test_a_pass_that_broke_off_goes_on_after_the_last_key_that_is_done() -> None:
    keys = [f"k{n:02}" for n in range(40)]
    pair = await copied(*keys)
    for key in (keys[0], keys[39]):
        await pair.west.put_tags(BUCKET, key, ids(pair.west, key)[0], ())

    def away(action: str) -> Unreachable:
        return Unreachable(f"{action}: nobody listens")

    book, backlog = Book(), MemoryBacklog()
    crew = pair.crew(quiet, on("head", Fail(away), times=99, key=keys[20]))
    with pytest.raises(Unreachable):
        await swept(pair, crew, book)
    await book.keep(backlog)
    book = Book.read(backlog)
    assert book.now is not None
    assert (book.now.after, book.now.mended) == (keys[15], 1)
    first_looks = book.now.versions
    found = last(await swept(pair, book=book))
    assert (found.mended, book.mended_total) == (2, 2)
    assert found.versions < first_looks + len(keys) * 2, "not all from the beginning"
    assert pair.equal()


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"now": 3}', '{"mended_total": "x"}'])
async def test_a_book_that_cannot_be_understood_is_begun_anew(kept: str) -> None:
    backlog = MemoryBacklog()
    await backlog.set_cursor(CURSOR, kept)
    assert Book.read(backlog) == Book()


# -- in the daemon -----------------------------------------------------------------------


def settings(**changes: float) -> Daemon:
    values = {"sweep_every_s": 86400.0, "sweep_versions_per_s": 50.0, **changes}
    return replace(config_of().daemon, **values)  # type: ignore[arg-type] # floats alone


@pytest.mark.parametrize(
    ("versions", "rate"),
    [
        pytest.param(0, 50.0, id="not known: as fast as it may"),
        pytest.param(100, 1.0, id="few: slowly"),
        pytest.param(1_000_000, 1_000_000 * 1.2 / 86400, id="spread over the day"),
        pytest.param(100_000_000, 50.0, id="more than the day allows"),
    ],
)
def test_a_pass_is_spread_over_its_time(versions: int, rate: float) -> None:
    assert versions_per_s(settings(), versions) == pytest.approx(rate)


@dataclass
class Running:
    """The sweeping of a daemon, whose sleeps move the clock."""

    pair: Pair
    crew: Crew
    backlog: MemoryBacklog = field(default_factory=MemoryBacklog)
    told: list[SweepState] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pair.clock.advance(seconds)
        await asyncio.sleep(0)

    async def until(self, true: Callable[[], bool]) -> None:
        job = Sweeping(
            settings(),
            [self.crew],
            self.backlog,
            self.pair.clock,
            self.told.append,
            self.sleep,
        )
        task = asyncio.create_task(job.run())
        for _ in range(200_000):
            if true() or task.done():
                break
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert true()

    def ended(self) -> list[float]:
        return sorted({state.finished_at for state in self.told if state.finished_at is not None})


async def test_passes_follow_each_other_at_their_distance_and_are_told() -> None:
    pair = await copied("a")
    await pair.west.put_tags(BUCKET, "a", ids(pair.west, "a")[0], ())
    live = Running(pair, pair.crew())
    await live.until(lambda: len(live.ended()) == 2)
    first, second = live.ended()
    assert 86400.0 <= second - first < 86400.0 + 60
    assert (live.told[-1].versions, live.told[-1].mended_total) == (2, 1)


async def test_a_bucket_that_has_grown_delays_no_pass() -> None:
    """Paced by what the last pass had, a pass over a hundred times as much took a hundred days."""
    pair = await copied("a")
    live = Running(pair, pair.crew())
    await live.until(lambda: len(live.ended()) == 1)
    for number in range(200):
        await pair.east.put(BUCKET, f"b{number:03}", b"x")
    await pair.run()
    live.slept.clear()
    await live.until(lambda: len(live.ended()) == 2)
    assert live.told[-1].versions == 202
    assert sum(live.slept) <= 86400.0 + 60


async def test_a_new_daemon_knows_when_the_last_pass_ended() -> None:
    pair = await copied("a")
    live = Running(pair, pair.crew())
    await live.until(lambda: len(live.ended()) == 1)
    live.slept.clear()
    await live.until(lambda: len(live.ended()) == 2)
    assert sum(live.slept) >= 86400.0


async def test_a_site_that_is_away_is_told_and_the_pass_taken_up_again() -> None:
    pair = await copied("a")

    def away(action: str) -> Unreachable:
        return Unreachable(f"{action}: nobody listens")

    refused = on("head", Fail(away), times=5)  # as often as one look is tried again
    live = Running(pair, pair.crew(quiet, refused))
    await live.until(lambda: len(live.ended()) == 1)
    assert AGAIN_S in live.slept
    assert any("nobody listens" in state.trouble for state in live.told)
    assert live.told[-1].trouble == ""


async def test_nothing_is_compared_while_replication_is_paused() -> None:
    pair = await copied(*(f"k{n:02}" for n in range(40)))
    live = Running(pair, pair.crew())
    await pause(live.backlog, Pause("anna", "host-a", 0.0))
    await live.until(lambda: len(live.slept) > 20)
    assert not live.ended()
    await resume(live.backlog)
    await live.until(lambda: len(live.ended()) == 1)
