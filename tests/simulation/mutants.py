"""Farshore with a defect on purpose, in the simulation alone: the checker must see each one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from farshore.core.align import Alignment
from farshore.core.model import History, Version
from farshore.core.plan import plan_key
from farshore.core.record import Fence
from farshore.daemon import fences, reports
from farshore.daemon.heard import Heard
from farshore.daemon.reports import Reporter
from farshore.daemon.scanning import Scanning
from farshore.engine import copy, dispatch, lane, look, placed
from farshore.engine.guard import DeleteGuard
from farshore.fence import waiting as fence_waiting
from farshore.fence.bite import Bite
from farshore.fence.site import SiteFence
from farshore.journal.backlog import Work
from farshore.s3.listing.plain import PlainLister
from farshore.s3.store import ALWAYS, Condition, Store
from tests.simulation import process
from tests.simulation.replaced import Place, replaced


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Farshore with the defect of that name, until the block ends."""
    with replaced({**MUTANTS, **ROLES_MUTANTS}[name]()):
        yield


def _no_stamps() -> list[Place]:
    """Stamps are not read: what a replica is of can only be guessed."""

    async def read_stamp(_side: object, _entry: object) -> None:
        return None

    return [(look, "read_stamp", read_stamp)]


def _acknowledged_before_applied() -> list[Place]:
    """A key is done before its lane has run; what goes wrong then is nobody's."""
    real = dispatch.Dispatcher._settle

    async def settle(self: dispatch.Dispatcher, work: Work, look: Any) -> bool:
        again = await self._backlog.done(work)
        await real(self, work, look)
        return again

    return [(dispatch.Dispatcher, "_settle", settle)]


def _no_conditions() -> list[Place]:
    """The optimistic path writes without conditions."""

    def condition_above(_target: object, _above: object) -> Condition:
        return ALWAYS

    return [(copy, "condition_above", condition_above), (lane, "condition_above", condition_above)]


def _heartbeat_without_pending() -> list[Place]:
    """The watermark follows the heartbeats, whatever waits in the backlog."""

    def feeds_told(self: Reporter) -> None:
        until = self.heard.complete_until
        known = self.mark.known_until
        if until is not None and (known is None or until > known):
            self.mark = self.mark.backlog_oldest(None).told_until(until)

    return [(Reporter, "_feeds_told", feeds_told)]


def _ordered_by_time() -> list[Place]:
    """Missing versions are written in the order of their ids, as if that were their order."""
    real = plan_key

    def by_id(key: str, alignment: Alignment, target: History) -> Any:
        plan = real(key, alignment, target)
        ordered = tuple(sorted(plan.steps, key=lambda step: step.version.version_id))
        return replace(plan, steps=ordered)

    return [(lane, "plan_key", by_id)]


def _old_keys_are_new() -> list[Place]:
    """A key that is not remembered is taken for new, however old its versions are."""

    def is_young(_self: placed.Placed, source: History) -> bool:
        return bool(source)

    return [(placed.Placed, "_is_young", is_young)]


def _marks_are_lost() -> list[Place]:
    """A delete marker that covers nothing on the target is left out."""

    async def mark(self: lane.Lane, marker: Version, above: Version | None) -> Version:
        return marker

    return [(lane.Lane, "_mark", mark)]


def _guard_asleep() -> list[Place]:
    """The delete guard lets everything through."""

    def admit(_self: object, _delete: object, _target_keys: int) -> bool:
        return True

    return [(DeleteGuard, "admit", admit)]


def _late_writes_stay() -> list[Place]:
    """What arrives late is left where it stands."""

    async def late_writes(*_: object) -> list[Version]:
        return []

    return [(lane, "late_writes", late_writes)]


def _listings_believed() -> list[Place]:
    """A site is walked page by page, whatever its probe has shown."""

    def lister_for(store: Store, _can: object, *, filer: object) -> PlainLister:
        return PlainLister(store)

    return [(process, "lister_for", lister_for)]


def _new_buckets_not_waited_for() -> list[Place]:
    """What is vouched for does not wait for buckets that are not replicated yet."""

    def buckets_listed(self: Heard, at: float, unserved: object) -> None:
        return None

    return [(Heard, "buckets_listed", buckets_listed)]


def _losses_not_missed() -> list[Place]:
    """What a scan misses is copied, and what was promised of it stands."""

    def left_over(waiting: float | None, _shown: object, _promised: object, mark: Any) -> Any:
        return waiting if waiting is None or mark is None else max(waiting, mark)

    return [(reports, "left_over", left_over)]


def _lost_buckets_not_missed() -> list[Place]:
    """A bucket that is gone from the target takes back nothing that was promised."""

    async def miss_targets(_self: object) -> None:
        return None

    return [(Scanning, "_miss_targets", miss_targets)]


def _fence_dropped() -> list[Place]:
    """The fence is recorded as standing, and nothing is put up."""

    async def put(self: SiteFence, *, keep: bool = False) -> list[Bite]:
        return [Bite(bucket, "bites") for bucket in self.buckets]

    return [(SiteFence, "put", put)]


def _pending_fence_forgotten() -> list[Place]:
    """A fence that waits for a dead site is never put up."""

    def waiting(_view: object) -> tuple[Fence, ...]:
        return ()

    return [(fences, "waiting", waiting), (fence_waiting, "waiting", waiting)]


def _same_bytes_are_trusted() -> list[Place]:
    """A condition that the write has left true counts as one that stopped a second arrival."""

    def holds_after(_condition: Condition, _copied: object) -> bool:
        return False

    return [(lane, "holds_after", holds_after)]


def _promised_for_ever() -> list[Place]:
    """What was promised of a target outlives its disks."""

    def forget(_self: object) -> None:
        return

    return [(Reporter, "forget_target", forget)]


MUTANTS: Mapping[str, Callable[[], list[Place]]] = {
    "stamps are not looked at": _no_stamps,
    "acknowledged before it was applied": _acknowledged_before_applied,
    "written without conditions": _no_conditions,
    "the watermark forgets the backlog": _heartbeat_without_pending,
    "ordered by version id": _ordered_by_time,
    "every key that is not remembered is new": _old_keys_are_new,
    "markers are left out": _marks_are_lost,
    "the delete guard sleeps": _guard_asleep,
    "late writes stay": _late_writes_stay,
    "the same bytes are trusted": _same_bytes_are_trusted,
    "every listing is believed": _listings_believed,
    "new buckets are not waited for": _new_buckets_not_waited_for,
    "what a scan misses is not missed": _losses_not_missed,
    "a bucket that is gone is not missed": _lost_buckets_not_missed,
}
"""In what the copying does."""

ROLES_MUTANTS: Mapping[str, Callable[[], list[Place]]] = {
    "a fence is dropped": _fence_dropped,
    "a pending fence is forgotten": _pending_fence_forgotten,
    "promises outlive the target's disks": _promised_for_ever,
}
"""In what changes roles."""
