"""A drill's scratch objects: where they stand, and how nothing of them is left.

    PREFIX farshore-drill/RUN/…        replicated like any object; PREFIX: of a rule, mostly none
    .farshore-canary/drill/RUN/…       written at one side alone: nobody replicates it

Only keys below the name of a drill are ever purged: a folder `farshore-drill/` of somebody
else stays. The source is purged first, or the target would get everything again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from farshore.control.bucket import Access
from farshore.core.model import Attributes, Version
from farshore.core.rules import OWN_PREFIX, Rule, choose
from farshore.errors import Denied, Refused, StoreError, Unsupported
from farshore.s3 import xml
from farshore.s3.store import Store

FOLDER = "farshore-drill/"
OWN_FOLDER = f"{OWN_PREFIX}drill/"

OF_A_DRILL = re.compile(r"\d{8}-\d{6}-drill-(isolated|live)/")
"""What stands after the folder in every key of ours."""

PAGES_MAX = 1000
ROUNDS_MAX = 20
"""Rounds of purging: a copy that was under way may come after the first."""

QUIET_LOOKS = 3
LOOK_PAUSE_S = 0.5
"""The clean-up is believed when so many looks in a row find nothing."""

AT_ONCE = 16


class Place(NamedTuple):
    """Where a drill's replicated objects stand, and what they carry so that a rule takes them."""

    prefix: str
    attributes: Attributes
    markers: bool


class Side(NamedTuple):
    """One side of one pair of buckets."""

    access: Access
    bucket: str


def place_for(rules: Sequence[Rule], drill_id: str) -> Place:
    """A prefix that is replicated. `Refused` when every rule excludes."""
    for base, tags in (("", ()), *((rule.prefix, rule.tags) for rule in rules)):
        prefix = f"{base}{FOLDER}{drill_id}/"
        rule = choose(rules, prefix, tags)
        if rule is not None and not rule.exclude:
            return Place(prefix, Attributes(tags=tags), rule.delete_markers == "replicate")
    raise Refused(
        "No rule replicates anything: there is nothing to drill with.",
        hint="See [[pair.rules]] in the configuration.",
    )


def own_prefix(drill_id: str) -> str:
    """Where a drill writes at one side alone."""
    return f"{OWN_FOLDER}{drill_id}/"


def folders(rules: Sequence[Rule]) -> list[str]:
    """Every folder that a drill may have written into."""
    return sorted({FOLDER, OWN_FOLDER, *(f"{rule.prefix}{FOLDER}" for rule in rules)})


async def require_purgeable(side: Side) -> None:
    """`Refused` where the bucket locks every new version: scratch objects could not be purged."""
    try:
        document = await side.access.replicator.get_bucket_config(side.bucket, "object-lock")
    except (Unsupported, Denied):
        return  # the clean-up is verified, and will say so
    if document and any(True for _ in xml.read(document.encode()).each("Rule")):
        raise Refused(
            f"{side.bucket} at {side.access.site.name} locks every new version: the scratch "
            "objects of a drill could not be purged.",
            hint="Drill with another pair, or with --level plan.",
        )


async def purge(sides: Sequence[Side], rules: Sequence[Rule], pause: Pause = asyncio.sleep) -> int:
    """Purge whatever drills left on both sides; answers how many versions and markers it were.

    `sides`: the sources first. `Refused` when something is still there after all rounds;
    raises what stores raise.
    """
    purged, quiet = 0, 0
    for _ in range(ROUNDS_MAX):
        count = 0
        for side in sides:
            count += await _purge_side(side, folders(rules))
        purged, quiet = purged + count, 0 if count else quiet + 1
        if quiet == QUIET_LOOKS:
            return purged
        await pause(LOOK_PAUSE_S)
    raise Refused(
        f"Scratch objects come back as fast as they are purged ({purged:,} so far).",
        hint="See who writes below farshore-drill/, then `farshore drill --clean`.",
    )


Pause = Callable[[float], Awaitable[None]]


async def _purge_side(side: Side, names: Sequence[str]) -> int:
    count = 0
    for folder in names:
        entries = await left(side.access.replicator, side.bucket, folder)
        for at in range(0, len(entries), AT_ONCE):
            batch = entries[at : at + AT_ONCE]
            await asyncio.gather(*(_purge_one(side, entry) for entry in batch))
        count += len(entries)
    return count


async def _purge_one(side: Side, entry: Version) -> None:
    """The replicator may purge; where it may not, the operator does."""
    try:
        await side.access.replicator.delete(side.bucket, entry.key, entry.version_id)
    except Denied:
        await side.access.operator.delete(side.bucket, entry.key, entry.version_id)


async def left(store: Store, bucket: str, folder: str) -> list[Version]:
    """Versions and markers of drills below a folder. Raises what the store raises."""
    found: list[Version] = []
    key, version = "", ""
    for _ in range(PAGES_MAX):
        page = await store.list_versions(
            bucket, prefix=folder, key_marker=key, version_marker=version
        )
        ours = (e for e in page.entries if OF_A_DRILL.match(e.key.removeprefix(folder)))
        found += ours
        if not page.truncated:
            return found
        key, version = page.next_key, page.next_version
    raise StoreError(f"The listing of {bucket}/{folder} at {store.site} has no end.")
