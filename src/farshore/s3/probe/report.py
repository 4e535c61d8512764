"""One probe: write, walk, ask, take everything away, and say what was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from farshore.clock import Clock
from farshore.errors import Refused
from farshore.s3.capabilities import Capabilities, Strategy
from farshore.s3.filer import Filer
from farshore.s3.listing.directories import FilerLister
from farshore.s3.listing.plain import PAGE_LIMIT, PlainLister
from farshore.s3.listing.split import SplitLister
from farshore.s3.probe.abilities import check_all, tells_current_marker
from farshore.s3.probe.neighbours import judge, require_order, settle_in
from farshore.s3.probe.scratch import Scratch
from farshore.s3.store import Store

PROBE_PREFIX = "farshore-probe/"
"""Where a probe writes. Emptied before and after."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the endpoint can do, and the sentences that show why this is said of it."""

    capabilities: Capabilities
    evidence: tuple[str, ...]


async def probe(
    store: Store,
    bucket: str,
    *,
    prefix: str = PROBE_PREFIX,
    filer: Filer | None,
    clock: Clock,
) -> ProbeReport:
    """Find out what a site's server can do. About 1,350 small objects and one of 5 MiB.

    `bucket` must have versioning enabled (`Refused` else), and the store the
    replicator's rights. Everything below `prefix` is purged, before, and afterwards
    also when the probe fails; so not two probes at a time on one prefix. Raises what the
    store raises when the server fails or cannot be reached: a probe that was not
    finished says nothing.
    """
    if await store.get_versioning(bucket) != "Enabled":
        raise Refused(
            f"the bucket {bucket} at {store.site} keeps no versions: what the server does with "
            "versions cannot be probed there",
            hint="enable versioning on it: `farshore apply` does",
        )
    scratch = Scratch(store, bucket, prefix)
    await require_order(scratch)
    await scratch.purge()
    try:
        return await _probe(scratch, filer, clock)
    finally:
        await scratch.purge()


async def _probe(scratch: Scratch, filer: Filer | None, clock: Clock) -> ProbeReport:
    await settle_in(scratch)
    page = await scratch.store.list_versions(scratch.bucket, prefix=scratch.prefix)
    listing, evidence = await _strategy(scratch, filer)
    able, refusals = await check_all(scratch)
    shown = Capabilities(
        server=page.server or "unknown",
        probed_at=datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="seconds"),
        listing=listing,
        encoding_type_url=page.url_encoded,
        sub_second_modified=any(_has_fraction(entry.modified) for entry in page.entries),
    )
    capabilities = Capabilities.from_json({**shown.to_json(), **able})
    return ProbeReport(capabilities, (*evidence, *refusals))


async def _strategy(scratch: Scratch, filer: Filer | None) -> tuple[Strategy | None, list[str]]:
    """The first complete way to list, the cheapest being tried first, and the evidence."""
    store = scratch.store
    plain = await judge(
        "plain walk", lambda limit: PlainLister(store, page_limit=limit), scratch, PAGE_LIMIT
    )
    if plain.complete:
        return "plain", [plain.evidence]
    if filer is not None:
        filed = await judge(
            "through the filer",
            lambda limit: FilerLister(store, filer, page_limit=limit),
            scratch,
            PAGE_LIMIT,
        )
        return ("filer" if filed.complete else None), [plain.evidence, filed.evidence]
    if not await tells_current_marker(scratch):
        return None, [plain.evidence, NO_SPLIT]
    split = await judge(
        "split by prefixes", lambda limit: SplitLister(store, page_limit=limit), scratch, PAGE_LIMIT
    )
    return ("split" if split.complete else None), [plain.evidence, split.evidence]


NO_SPLIT = (
    "split by prefixes: not possible, because HEAD of a deleted key does not say that there is a "
    "delete marker, so it cannot be shown that a key has no versions"
)


def _has_fraction(time_text: str) -> bool:
    """Whether a listing's time has more than whole seconds (AWS writes .000Z)."""
    fraction = time_text.partition(".")[2].rstrip("Z")
    return fraction.strip("0") != ""
