"""What must be so when the disks of a region are lost, and after."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from heapq import heapify

from farshore.core.record import ControlRecord
from tests.simulation.roles_model import Loss, RolesModel
from tests.simulation.truth import Broken


def disks_lost(truth: RolesModel, site: str) -> None:
    """Right before. What that region had alone is gone, and nobody's fault."""
    other = truth.other(site)
    held = {key: other.history(key) for key in sorted(other.keys())}
    stood = {(key, one.version.version_id) for key, row in held.items() for one in row}
    readable = {key for key, row in held.items() if row and not row[0].version.is_marker}
    was = truth.record.primary
    truth.records.pop(site, None)
    truth.runs = {place: came for place, came in truth.runs.items() if place[0] != site}
    hollow = was == site == truth.record.primary
    for place, native in list(truth.natives.items()):
        native.homeless = native.site == site
        if native.homeless and (native.is_marker or not truth.is_on(other, native)):
            del truth.natives[place]
    lost = truth.regions[site]
    truth.untold[site].clear()
    truth.untold[other.site] = [
        row for row in truth.untold[other.site] if not truth.is_on(lost, row[2])
    ]
    heapify(truth.untold[other.site])
    truth.loss = Loss(site, frozenset(stood), frozenset(readable), hollow)


def nothing_vouched_that_was_lost(truth: RolesModel, site: str, watermark: str | None) -> None:
    """A daemon says at a site that had lost its disks up to when it has everything."""
    if truth.loss is None or truth.loss.site != site or watermark is None:
        return
    until = datetime.fromisoformat(watermark).timestamp()
    for native in truth.natives.values():
        truth.checks += 1
        since = max(native.acked_at, truth.stood_since(truth.other(site), native))
        if since < until and not truth.is_on(truth.regions[site], native):
            raise Broken(
                f"exposure understated: {site} has lost its disks, lacks {native.key} "
                f"{native.version_id}, acknowledged at {native.acked_at:.3f}, and is said to "
                f"have everything up to {until:.3f}"
            )


def nothing_decided_by_empty_disks(truth: RolesModel, site: str, came: ControlRecord) -> None:
    """What is decided where the disks were lost comes of what the other site has. That a fence
    stands is no decision, though whoever notes it, while the other site is silent, raises the
    epoch."""
    if truth.loss is None or site != truth.loss.site:
        return
    truth.checks += 1
    stands = truth.records.get(truth.other(site).site)
    if stands is None or came.comes_from(stands) or stands.comes_from(came):
        return
    if not replace(came, epoch=stands.epoch).decides_as(stands):
        raise Broken(
            f"decided by empty disks: {site} took {came.phase}, primary {came.primary}, epoch "
            f"{came.epoch}, which does not come of epoch {stands.epoch} at the other site"
        )


def nothing_emptied(truth: RolesModel, loss: Loss) -> None:
    """What stood at the other site when the disks were lost stands there, and is read there
    unless a client has deleted it since."""
    other = truth.other(loss.site)
    for key, version_id in sorted(loss.stood):
        truth.checks += 1
        is_late = (other.site, version_id) in truth.strays  # and may have been taken back
        if not is_late and all(
            held.version.version_id != version_id for held in other.history(key)
        ):
            raise Broken(f"emptied: {key} {version_id} is gone from {other.site}")
    for key in sorted(loss.readable - loss.deleted):
        if other.history(key)[0].version.is_marker:
            raise Broken(f"emptied: {key} is hidden at {other.site}, and nobody deleted it")


def fences_stand(truth: RolesModel) -> None:
    """A fence that is recorded to stand is written at its site, whatever befell it."""
    for fence in truth.record.fences:
        truth.checks += 1
        if fence.state != "pending" and not truth.regions[fence.site].refuses(f"{fence.site}-app"):
            raise Broken(f"no fence: {fence.site} is recorded as fenced, and is not")
