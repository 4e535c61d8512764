"""One backfill at a time: taken, renewed, lost, taken over, given back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.control.documents import read_document
from farshore.control.lease import SETTLE_SECONDS, TTL_SECONDS, Lease, document_name, hold
from farshore.control.machine import LinuxMachine, Process
from farshore.errors import Corrupt, Denied, OutcomeUnknown, Refused, ServerFault, StoreError
from farshore.s3.capabilities import Capabilities
from farshore.testing.store.call import Call
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import Faults, ManualClock, store_of

BUCKET = "farshore-control"
WEAK = replace(EVERYTHING, conditional_create=False, conditional_replace=False)


class Naps:
    """A `sleep` that ends when the test says so: `pass_time` moves the clock and wakes it."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._asleep: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._asleep.put_nowait(woken)
        await woken.wait()

    async def pass_time(self, seconds: float) -> None:
        """Wait until somebody sleeps, move the clock, wake them, wait for the next sleep."""
        woken = await self._asleep.get()
        self._clock.time += seconds
        woken.set()

    async def settled(self) -> None:
        """Wait until somebody sleeps again."""
        self._asleep.put_nowait(await self._asleep.get())


class FakeMachine:
    """A machine whose processes die when the test says so."""

    def __init__(self, host: str = "a", pid: int = 1) -> None:
        self.process = Process(host, f"boot-{host}", pid, "100")
        self.gone: set[Process] = set()

    def this_process(self) -> Process:
        return self.process

    def is_gone(self, process: Process) -> bool:
        return process.machine == self.process.machine and process in self.gone


class World:
    """A control bucket, a clock and its sleepers."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store: MemoryStore = store_of("west", self.clock)
        self.naps = Naps(self.clock)

    @asynccontextmanager
    async def held(
        self, machine: FakeMachine | None = None, capabilities: Capabilities = EVERYTHING
    ) -> AsyncIterator[Lease]:
        async with hold(
            self.store,
            BUCKET,
            "backfill",
            capabilities=capabilities,
            clock=self.clock,
            machine=machine or FakeMachine(),
            sleep=self.naps.sleep,
        ) as lease:
            yield lease

    async def body(self) -> dict[str, object]:
        document = await read_document(self.store, BUCKET, document_name("backfill"))
        assert document is not None
        return document.body

    def versions(self) -> int:
        return len(self.store.dump(BUCKET))


@pytest.fixture
async def world() -> World:
    made = World()
    await made.store.create_bucket(BUCKET)
    await made.store.put_versioning(BUCKET, True)
    return made


async def test_a_lease_says_who_holds_it_and_is_given_back(world: World) -> None:
    async with world.held(FakeMachine("host-a", 42)) as lease:
        assert lease.strong
        body = await world.body()
        assert (body["host"], body["pid"], body["released"]) == ("host-a", 42, False)
        assert body["taken"] == "2023-11-14T22:13:20.000Z"
        assert body["expires"] == "2023-11-14T22:14:20.000Z"
    assert (await world.body())["released"] is True
    async with world.held(FakeMachine("host-b")):
        assert (await world.body())["host"] == "host-b"
    assert world.versions() == 1


async def test_a_live_holder_is_named_and_nothing_is_written(world: World) -> None:
    async with world.held(FakeMachine("host-a", 42)):
        before = world.store.dump(BUCKET)
        with pytest.raises(Refused) as caught:
            async with world.held(FakeMachine("host-b")):
                pytest.fail("two hold it")
        assert caught.value.exit_code == 5
        assert "process 42 on host-a, since 2023-11-14T22:13:20.000Z" in str(caught.value)
        assert "stop process 42 on host-a" in caught.value.hint
        assert world.store.dump(BUCKET) == before


async def test_renewal_moves_the_end_and_leaves_no_versions(world: World) -> None:
    async with world.held() as lease:
        for _ in range(4):
            await world.naps.pass_time(TTL_SECONDS / 3)
        await world.naps.settled()
        assert lease.claim.expires == world.clock.now() + TTL_SECONDS
        assert not lease.lost.is_set()
        assert world.versions() == 1
        with pytest.raises(Refused):
            async with world.held(FakeMachine("host-b")):
                pytest.fail("two hold it")


async def crashed(world: World, machine: FakeMachine) -> None:
    """Take the lease and die without giving it back."""
    lost = Faults(lambda call: Denied("dead") if call.operation == "put" else None)
    async with world.held(machine):
        world.store.hook = lost
    world.store.hook = None
    assert (await world.body())["released"] is False


async def test_a_dead_holder_on_this_machine_is_taken_over_at_once(world: World) -> None:
    machine = FakeMachine("host-a", 1)
    await crashed(world, machine)
    successor = FakeMachine("host-a", 2)
    successor.gone.add(machine.process)
    async with world.held(successor):
        assert (await world.body())["pid"] == 2


async def test_a_dead_holder_elsewhere_is_taken_over_when_it_has_expired(world: World) -> None:
    await crashed(world, FakeMachine("host-a"))
    world.clock.time += TTL_SECONDS - 0.5
    with pytest.raises(Refused):
        async with world.held(FakeMachine("host-b")):
            pytest.fail("too early")
    world.clock.time += 0.5
    async with world.held(FakeMachine("host-b")):
        assert (await world.body())["host"] == "host-b"


async def test_the_servers_clock_counts_not_ours(world: World) -> None:
    await crashed(world, FakeMachine("host-a"))
    ahead = ManualClock(world.clock.now() + 3600)
    world.store._offset_seconds = -3600.0  # our clock is an hour ahead of the server's
    world.clock = ahead
    with pytest.raises(Refused):
        async with world.held(FakeMachine("host-b")):
            pytest.fail("an hour ahead by our clock alone")


async def test_a_lease_taken_over_stops_the_work(world: World) -> None:
    leases: list[Lease] = []

    async def work() -> None:
        async with world.held() as lease:
            leases.append(lease)
            await steal(world)
            await world.naps.pass_time(TTL_SECONDS / 3)
            await asyncio.Event().wait()  # only being cancelled ends this

    with pytest.raises(Refused, match="taken over"):
        await work()
    assert leases[0].lost.is_set()
    with pytest.raises(Refused):
        leases[0].require()
    assert (await world.body())["token"] == "thief"


async def steal(world: World) -> None:
    body = b'{"schema": 1, "token": "thief"}'
    await world.store.put(BUCKET, document_name("backfill"), body)


async def test_an_outage_shorter_than_the_lease_is_survived(world: World) -> None:
    down = Faults(lambda call: ServerFault("down") if call.operation == "put" else None)
    async with world.held() as lease:
        world.store.hook = down
        await world.naps.pass_time(TTL_SECONDS / 3)
        await world.naps.settled()
        assert not lease.lost.is_set()
        world.store.hook = None
        await world.naps.pass_time(TTL_SECONDS / 3)
        await world.naps.settled()
        assert lease.claim.renewed == world.clock.now()
    assert (await world.body())["released"] is True


async def test_an_outage_as_long_as_the_lease_stops_the_work(world: World) -> None:
    down = Faults(lambda call: ServerFault("down") if call.operation == "put" else None)

    async def work() -> None:
        async with world.held():
            world.store.hook = down
            await world.naps.pass_time(TTL_SECONDS * 5 / 6)
            await asyncio.Event().wait()

    with pytest.raises(Refused, match="could not be renewed: down"):
        await work()


async def test_work_that_has_lost_its_lease_does_not_wait_for_itself(world: World) -> None:
    await test_an_outage_as_long_as_the_lease_stops_the_work(world)
    world.store.hook = None
    with pytest.raises(Refused, match="Another farshore works"):
        async with world.held(FakeMachine("b")):
            raise AssertionError
    async with world.held() as lease:
        assert (await world.body())["token"] == lease.claim.token


async def test_a_second_worker_in_the_same_process_waits_like_any_other(world: World) -> None:
    async with world.held():
        with pytest.raises(Refused, match="Another farshore works"):
            async with world.held():
                raise AssertionError


async def test_a_lease_whose_taker_was_cancelled_does_not_stay_behind(world: World) -> None:
    """Its PUT went through and what came after it did not: whoever tries again is let in."""

    async def work() -> None:
        async with world.held(capabilities=replace(EVERYTHING, conditional_create=False)):
            raise AssertionError

    task = asyncio.create_task(work())
    await world.naps.settled()
    assert (await world.body())["released"] is False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with world.held():
        pass


@pytest.mark.parametrize("fault", ["the answer is lost", "what is read back", "the old version"])
async def test_a_lease_that_was_claimed_and_not_taken_is_given_back(
    world: World, fault: str
) -> None:
    """Whoever comes next, on another machine, does not wait for it to expire."""
    if fault == "the old version":  # of the last holder's document; it is purged at the end
        async with world.held(FakeMachine("first")):
            pass

    class Failing(Faults):
        async def after(self, call: Call) -> None:
            if (call.operation, fault) == ("put", "the answer is lost"):
                world.store.hook = None
                raise OutcomeUnknown("no answer")
            if (call.operation, fault) == ("put", "what is read back"):
                world.store.hook = Faults(once("get"))
            if (call.operation, fault) == ("delete", "the old version"):
                world.store.hook = None
                raise ServerFault("try again")

    def once(operation: str) -> Callable[[Call], StoreError | None]:
        def refuse(call: Call) -> StoreError | None:
            if call.operation != operation:
                return None
            world.store.hook = None
            return ServerFault("try again")

        return refuse

    world.store.hook = Failing(lambda call: None)
    taking = asyncio.create_task(
        _taken(world, WEAK if fault == "what is read back" else EVERYTHING)
    )
    if fault == "what is read back":
        await world.naps.pass_time(0.0)
    with pytest.raises(StoreError):
        await taking
    assert (await world.body())["released"] is True
    async with world.held(FakeMachine("second")):
        pass


async def _taken(world: World, capabilities: Capabilities) -> None:
    async with world.held(FakeMachine("late"), capabilities):
        raise AssertionError


async def test_who_was_slow_to_claim_gives_up_where_the_server_keeps_nobody_out(
    world: World,
) -> None:
    """Somebody may have looked, claimed, waited and read back between its look and its PUT."""

    class Slow(Faults):
        async def before(self, call: Call) -> None:
            if call.operation == "put":
                world.store.hook = None
                world.clock.time += SETTLE_SECONDS + 0.1

    for capabilities in (WEAK, EVERYTHING):
        world.store.hook = Slow(lambda call: None)
        if capabilities is WEAK:
            with pytest.raises(Refused, match=r"took 2\.1 s, more than 2 s"):
                await _taken(world, capabilities)
            assert (await world.body())["released"] is True
        else:
            async with world.held(FakeMachine("late")):
                pass


async def test_a_renewal_without_an_answer_is_looked_up(world: World) -> None:
    class Lossy(Faults):
        async def after(self, call: Call) -> None:
            if call.operation == "put":
                world.store.hook = None
                raise OutcomeUnknown("no answer")

    async with world.held() as lease:
        world.store.hook = Lossy(lambda call: None)
        await world.naps.pass_time(TTL_SECONDS / 3)  # written, but the answer is lost
        await world.naps.settled()
        await world.naps.pass_time(TTL_SECONDS / 3)
        await world.naps.settled()
        assert not lease.lost.is_set()
        assert lease.claim.renewed == world.clock.now()


@pytest.mark.parametrize("capabilities", [EVERYTHING, WEAK])
async def test_of_many_racers_one_wins(world: World, capabilities: Capabilities) -> None:
    """All read "free" before anyone writes. Weak: they settle before they read back."""
    racers = 8
    winners: list[int] = []
    losers: list[int] = []
    all_have_read = asyncio.Event()

    class Gate(Faults):
        async def before(self, call: Call) -> None:
            self.calls += [call] * (call.operation == "put")
            if len(self.calls) == racers:
                all_have_read.set()
            if call.operation == "put":
                await all_have_read.wait()

    world.store.hook = Gate(lambda call: None)
    done = asyncio.Event()

    async def race(number: int) -> None:
        try:
            async with world.held(FakeMachine(f"host-{number}"), capabilities) as lease:
                assert lease.strong is (capabilities is EVERYTHING)
                winners.append(number)
                await done.wait()
        except Refused:
            losers.append(number)
        if len(losers) == racers - 1:
            done.set()

    async def settle() -> None:
        while not done.is_set():
            await world.naps.pass_time(0.0)

    settling = asyncio.create_task(settle())
    await asyncio.gather(*(race(number) for number in range(racers)))
    settling.cancel()
    assert (len(winners), len(losers)) == (1, racers - 1)


async def test_the_works_own_error_comes_through_and_the_lease_is_given_back(
    world: World,
) -> None:
    with pytest.raises(StoreError, match="of the work"):
        async with world.held():
            raise ServerFault("of the work")
    assert (await world.body())["released"] is True


async def test_a_cancelled_work_gives_the_lease_back(world: World) -> None:
    started = asyncio.Event()

    async def work() -> None:
        async with world.held():
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await world.body())["released"] is True


async def test_a_lease_that_cannot_be_understood_is_not_overwritten(world: World) -> None:
    await steal(world)
    with pytest.raises(Corrupt, match="cannot be understood"):
        async with world.held():
            pytest.fail("taken")


def test_this_process_is_alive_and_another_start_time_is_gone() -> None:
    machine = LinuxMachine()
    me = machine.this_process()
    assert me.pid == os.getpid()
    assert not machine.is_gone(me)
    assert machine.is_gone(me._replace(started="1"))
    assert not machine.is_gone(me._replace(machine="another/pid:[1]", started="1"))


def test_without_proc_nobody_is_called_gone(tmp_path: Path) -> None:
    machine = LinuxMachine(tmp_path)
    me = machine.this_process()
    assert me.machine == ""
    assert not machine.is_gone(me._replace(pid=2**22 + 1))


def test_a_program_with_brackets_in_its_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(str(n) for n in range(3, 30))
    (tmp_path / "7" / "stat").write_text(f"7 (a) b) {fields}\n")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    machine = LinuxMachine(tmp_path)
    assert not machine.is_gone(Process("h", "boot/pid:[1]", 7, "22"))
    assert machine.is_gone(Process("h", "boot/pid:[1]", 7, "23"))
