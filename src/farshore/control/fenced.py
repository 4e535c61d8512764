"""The fences of a pair as anybody can see them: the record, what stands, what was tried.

`fence/SITE.json` in a site's own control bucket says whether a fence would bite there; it is
written by whoever tried it last (`farshore apply`, `farshore fence SITE --check`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from farshore.clock import Clock
from farshore.config import Config, Site
from farshore.control.both import BothSides
from farshore.control.documents import read_document, write_document
from farshore.control.ledger import Ledger, key_of
from farshore.control.record import ControlPlane
from farshore.control.view import View
from farshore.core.document import Fields, moment_text
from farshore.core.fenced import FenceFact, Unfenceable
from farshore.core.policy import FENCE_SID, BadPolicy, found
from farshore.core.record import Fence
from farshore.errors import Corrupt, StateError, StoreError
from farshore.s3.store import Store

BUCKETS_MAX = 64
"""Who waits for a status is in a hurry: more buckets of one site are not looked at."""


LOOK_SECONDS_MAX = 3.0
"""The same, for one document or one policy."""


class FenceTrial(NamedTuple):
    """What the last trial found. `why` is "" when a fence would bite."""

    would_bite: bool
    why: str
    at: float


def trial_name(site: Site) -> str:
    """The document's key in the site's control bucket."""
    return f"fence/{site.name}.json"


async def write_trial(store: Store, site: Site, trial: FenceTrial) -> None:
    """Replace what the last trial wrote."""
    body = {"would_bite": trial.would_bite, "why": trial.why, "at": moment_text(trial.at)}
    await write_document(store, site.control_bucket, trial_name(site), body)


async def read_trial(store: Store, site: Site) -> FenceTrial | None:
    """What the last trial found; None when there was none, or it cannot be read."""
    try:
        document = await read_document(store, site.control_bucket, trial_name(site))
        if document is None:
            return None
        fields = Fields(document.body, trial_name(site))
        would = document.body.get("would_bite") is True
        return FenceTrial(would, fields.text("why"), fields.moment("at"))
    except (Corrupt, StateError):
        return None


class SeenFences(NamedTuple):
    """Every fence that is recorded, and every site that cannot be fenced.

    `view`: the control record as both sites show it; None: nobody looked.
    """

    fences: tuple[FenceFact, ...] = ()
    cannot: tuple[Unfenceable, ...] = ()
    view: View | None = None


NOTHING_SEEN = SeenFences()


async def see_fences(config: Config, stores: Mapping[str, Store], clock: Clock) -> SeenFences:
    """Look at both sites. `stores`: site to its store, as the replicator. Raises nothing that
    a site does: what could not be seen is left out. With one side silent it takes as long as
    the reading of its record may."""
    sites = (config.pair.source, config.pair.target)
    ledgers = [
        Ledger(config.site(name), store, key_of(config.pair), clock=clock)
        for name, store in stores.items()
    ]
    both = BothSides(sites, ledgers, primary=config.pair.source, closed=_closed(sites, stores))
    view, cannot = await asyncio.gather(
        ControlPlane(both, clock).read(),
        asyncio.gather(*(_cannot(config.site(name), stores.get(name)) for name in sites)),
    )
    facts = [look_at(config, fence, stores.get(fence.site)) for fence in view.record.fences]
    refused = tuple(one for one in cannot if one is not None)
    return SeenFences(tuple(await asyncio.gather(*facts)), refused, view)


def _closed(sites: Sequence[str], stores: Mapping[str, Store]) -> dict[str, str]:
    return {name: "its keys cannot be had" for name in sites if name not in stores}


async def _cannot(site: Site, store: Store | None) -> Unfenceable | None:
    if site.fence.by == "none":
        return Unfenceable(site.name, 'by = "none" says so. See docs/fence.md for other ways.')
    if store is None:
        return None
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            trial = await read_trial(store, site)
    except (StoreError, TimeoutError):
        return None
    if trial is None or trial.would_bite or not trial.why:
        return None
    return Unfenceable(
        site.name, f"{trial.why} Try again with `farshore fence {site.name} --check`."
    )


async def look_at(config: Config, fence: Fence, store: Store | None) -> FenceFact:
    """One recorded fence as it stands. Raises nothing that the site does."""
    gone: list[str] = []
    looked = store is not None and fence.mode == "policy" and fence.state != "pending"
    if looked and store is not None:
        names = _buckets(config, fence.site)[:BUCKETS_MAX]
        held = await asyncio.gather(*(_holds(store, name) for name in names))
        gone = [name for name, holds in zip(names, held, strict=True) if holds is False]
    return FenceFact(fence.site, fence.state, fence.by, fence.why, fence.at, tuple(gone))


def _buckets(config: Config, site: str) -> list[str]:
    """Those that are named in the configuration; patterns would need a listing."""
    here = [entry for entry in config.pair.buckets if not entry.is_pattern]
    is_source = site == config.pair.source
    return sorted(entry.source if is_source else entry.target for entry in here)


async def _holds(store: Store, bucket: str) -> bool | None:
    """Whether a fence is written there; None where that cannot be seen."""
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            return found(await store.get_bucket_policy(bucket), FENCE_SID) is not None
    except (StoreError, BadPolicy, TimeoutError):
        return None
