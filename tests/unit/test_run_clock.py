"""A run whose clock jumps: a freeze ends early or seems to last for ever, and nothing hangs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from farshore.core.record import Freeze
from farshore.core.runbook import Approval, Plan, Run, StepPlan
from farshore.runbook.caught_up import CatchUp
from farshore.runbook.ground import Ground
from farshore.runbook.guarded import FREEZE_LEFT_S_MIN, FenceOld
from farshore.runbook.quiet import Drain, FreezeWrites, Thaw, freeze_left_s
from farshore.runbook.runner import Runner
from farshore.runbook.step import Found, Step, StepFailed
from farshore.testing.clock import ManualClock
from farshore.testing.switch import MemoryProxies
from tests.unit.sites import config_of
from tests.unit.two_sides import World

HOUR_S = 3600.0


class Jumping(ManualClock):
    """A clock that can be set: what has passed since it began stays what it is."""

    def jump(self, seconds: float) -> None:
        """Somebody sets it forward or back."""
        self._now += seconds
        self._began += seconds


class Memory:
    """Keeps the run's document."""

    async def save(self, run: Run) -> None:
        self.run = run


@dataclass
class Sent:
    """The last step: clients are sent over."""

    done: bool = False
    id: str = "flip"
    what: str = "Send clients over."
    lapses: bool = False

    async def look(self) -> Found:
        return Found(self.done)

    async def act(self) -> None:
        self.done = True

    async def undo(self) -> None:
        """It is the point of no return."""


@dataclass
class Scene:
    """A switchover of four steps between two control buckets in memory."""

    world: World
    ground: Ground
    proxies: MemoryProxies
    jumps: dict[str, float] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def clock(self) -> Jumping:
        assert isinstance(self.world.clock, Jumping)
        return self.world.clock

    def hear(self, text: str) -> None:
        """The clock jumps once, behind the step that is named."""
        self.told.append(text)
        self.clock.jump(self.jumps.pop(text.partition(",")[0], 0.0))

    async def run(self) -> Run:
        ground = self.ground
        steps: list[Step] = [FreezeWrites(ground), Drain(ground), Sent(), Thaw(ground)]
        plan = Plan(
            "switchover",
            "east.west",
            "east",
            "west",
            1,
            "abc",
            tuple(StepPlan(step.id, step.what) for step in steps),
        )
        run = Run("r1", plan, "one@desk", 1.0, 1.0)
        run = run.approved(Approval("two@desk", 2.0, plan.digest, True)).begun(3.0, plan)
        runner = Runner(steps, Memory(), ground.plane, self.clock, "one@desk", "flip", self.hear)
        ended = await runner.go(run)
        assert not self.jumps, "every jump was made"
        return ended


@pytest.fixture
async def scene() -> Scene:
    world = await World(clock=Jumping()).ready()
    proxies = MemoryProxies("proxies", {"east": "a", "west": "b"}, {"one": "a"}, world.clock)
    plane = world.person("one@desk").plane
    ground = Ground(
        config_of(), plane, [proxies], world.clock, "one@desk", "a test", "r1", world.clock.sleep
    )
    return Scene(world, ground, proxies)


def tries(run: Run) -> dict[str, int]:
    return {record.id: record.tries for record in run.steps}


@pytest.mark.parametrize("step", ["freeze", "drain"])
async def test_set_forward_the_freeze_is_over_and_is_made_again(scene: Scene, step: str) -> None:
    scene.jumps[f"{step}: ok"] = HOUR_S
    run = await scene.run()
    assert run.state == "done"
    assert tries(run)["freeze"] == 2
    assert not (await scene.proxies.frozen())[0].frozen
    assert (await scene.ground.record()).freeze is None


@pytest.mark.parametrize("step", ["freeze", "drain"])
async def test_set_back_the_run_goes_on_and_thaws(scene: Scene, step: str) -> None:
    scene.jumps[f"{step}: ok"] = -HOUR_S
    run = await scene.run()
    assert run.state == "done"
    assert set(tries(run).values()) == {1}
    assert not (await scene.proxies.frozen())[0].frozen


async def test_set_back_a_drain_waits_no_longer_than_a_freeze(scene: Scene) -> None:
    scene.jumps["freeze: ok"] = -HOUR_S
    scene.proxies.flights = [1] * 100_000
    run = await scene.run()
    assert run.state == "aborted"
    assert "still in flight" in run.aborted
    assert scene.clock.monotonic() < 2 * scene.ground.config.switch.freeze_max_s
    assert not (await scene.proxies.frozen())[0].frozen


async def test_set_back_while_it_waits_a_drain_ends_all_the_same(scene: Scene) -> None:
    waits = scene.clock.sleep

    async def sleep(seconds: float) -> None:
        await waits(seconds)
        if scene.jumps.pop("drain", None):
            scene.clock.jump(-HOUR_S)

    scene.jumps["drain"] = 1.0
    scene.ground = replace(scene.ground, sleep=sleep)
    scene.proxies.flights = [1] * 100_000
    assert (await scene.run()).state == "aborted"
    assert scene.clock.monotonic() < 2 * scene.ground.config.switch.freeze_max_s


async def test_a_freeze_that_is_used_up_is_said_so(scene: Scene) -> None:
    now = scene.clock.now()
    freeze = Freeze(now - 8.0, now + 1.0, "one@desk", "a test")
    await scene.ground.change(lambda r: replace(r.stepped("freeze"), freeze=freeze), "freeze")
    with pytest.raises(StepFailed, match="no time was left to prove that west has everything"):
        await CatchUp(scene.ground).act()
    scene.clock.jump(-HOUR_S)
    assert freeze_left_s(scene.ground, freeze) == scene.ground.config.switch.freeze_max_s


async def test_what_would_end_between_fence_and_flip_is_not_fenced(scene: Scene) -> None:
    """A refusal of the fence is final for an SDK; a freeze's 503 is tried again."""
    now = scene.clock.now()
    freeze = Freeze(now - 7.0, now + FREEZE_LEFT_S_MIN - 0.5, "one@desk", "a test")
    await scene.ground.change(lambda r: replace(r.stepped("freeze"), freeze=freeze), "freeze")
    await scene.ground.stepped("drain")
    before = await scene.ground.record()
    with pytest.raises(StepFailed, match=r"Of the freeze 1\.0 s are left"):
        await FenceOld(scene.ground).act()
    assert await scene.ground.record() == before
