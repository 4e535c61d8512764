"""Checks of what was done when: clocks, the last verify, the last drill; objects outside rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from farshore.control.checkups import Drills, read_drills
from farshore.control.status import read_proof
from farshore.core.checkup import Finding, Sighting, summed
from farshore.core.rules import OWN_PREFIX, Rule, candidates
from farshore.core.verdict import CLOCKS_APART_MAX_S, at_text, duration_text
from farshore.core.words import counted
from farshore.doctor.sides import Sides
from farshore.s3.store import Store

PAGES_MAX = 20
"""Pages of each bucket's listing that are looked through for objects outside every rule."""


async def sites(sides: Sides) -> list[Finding]:
    """Both answer, and take the replicator's keys."""
    found = []
    for site in sides.sites:
        if site in sides.open:
            found.append(Finding("sites", "ok", "answers, and takes our keys", "", site))
        else:
            error = sides.silent[site]
            found.append(Finding("sites", "not ok", error.message, error.hint, site))
    return found


async def clocks(sides: Sides) -> list[Finding]:
    """Each site's clock against this machine's, and so against each other."""
    offsets = await asyncio.gather(
        *(access.replicator.server_time_offset() for access in sides.open.values())
    )
    if not offsets:
        return [sides.no_answer("clocks", sides.sites[0])]
    seen = ", ".join(
        f"{site} {offset:+.0f} s" for site, offset in zip(sides.open, offsets, strict=True)
    )
    told = f"against this machine's: {seen}"
    far = max(abs(offset) for offset in (*offsets, max(offsets) - min(offsets)))
    if far > CLOCKS_APART_MAX_S:
        return [Finding("clocks", "not ok", told, "Set them by NTP: `timedatectl set-ntp true`.")]
    if sides.silent:
        silent = " and ".join(sides.silent)
        return [Finding("clocks", "could not tell", f"{told}; {silent} does not answer")]
    return [Finding("clocks", "ok", told)]


async def verify(sides: Sides) -> list[Finding]:
    """The last verify of everything: how old, and what it found. Kept at the target."""
    target = sides.config.target
    if target.name not in sides.open:
        return [sides.no_answer("verify", target.name)]
    store = sides.open[target.name].replicator
    proof = await read_proof(store, target.control_bucket, sides.config.pair.name)
    again = "Run `farshore verify`."
    if proof is None or proof.scope not in ("", sides.config.pair.scope):
        return [Finding("verify", "not ok", "these buckets and rules were never verified", again)]
    age = max(sides.clock.now() - proof.began_at, 0.0)
    told = f"{duration_text(age)} ago, {at_text(proof.began_at)}"
    if proof.differences:
        found = f"{told}: {counted(proof.differences, 'difference')}"
        remedy = "Run `farshore repair`, then `farshore verify`."
        return [Finding("verify", "not ok", found, remedy)]
    limit = sides.config.objectives.verify_max_age_s
    if age > limit:
        return [Finding("verify", "not ok", f"{told}, more than {duration_text(limit)}", again)]
    if not proof.versions:
        return [Finding("verify", "could not tell", f"{told}: there was nothing to compare", again)]
    return [Finding("verify", "ok", f"{told}: {counted(proof.versions, 'version')}, none differs")]


async def drill(sides: Sides) -> list[Finding]:
    """The last drill that passed. Drills are kept on both sides: either is enough."""
    records: list[Drills] = []
    for access in sides.open.values():
        bucket = access.site.control_bucket
        records.append(await read_drills(access.replicator, bucket, sides.config.pair))
    if not records:
        return [sides.no_answer("drill", sides.sites[0])]
    passed = max((r.passed_at for r in records if r.passed_at is not None), default=None)
    limit = sides.config.objectives.drill_max_age_s
    remedy = "Run `farshore drill --level isolated` on a quiet afternoon: docs/doctor.md."
    if passed is None and sides.silent:
        return [sides.no_answer("drill", next(iter(sides.silent)))]
    if passed is None:
        told = "none has passed yet" if any(r.any for r in records) else "never"
        return [Finding("drill", "not ok", told, remedy)]
    age = max(sides.clock.now() - passed, 0.0)
    told = f"the last one that passed ended {duration_text(age)} ago"
    if age > limit:
        return [Finding("drill", "not ok", f"{told}, more than {duration_text(limit)}", remedy)]
    return [Finding("drill", "ok", told)]


async def rules(sides: Sides) -> list[Finding]:
    """Objects of the source that no rule names: they are replicated by nobody."""
    pair = sides.config.pair
    if not pair.rules:
        return [Finding("rules", "ok", "there are none: everything is replicated")]
    if pair.source not in sides.open:
        return [sides.no_answer("rules", pair.source)]
    store = sides.open[pair.source].replicator

    async def look(bucket: str) -> Sequence[Sighting]:
        return [await _outside(store, bucket, pair.rules)]

    return [
        summed(
            "rules",
            await sides.each_bucket(sides.named(pair.source), look),
            well="every object is named by a rule, to be replicated or to be left out",
            remedy="Add a rule for them to [[pair.rules]], or one with exclude = true if they need "
            "no copy.",
            site=pair.source,
        )
    ]


async def _outside(store: Store, bucket: str, rules: Sequence[Rule]) -> Sighting:
    """Objects outside every rule; those whose tags decide are no more than counted."""
    outside = by_tags = looked = 0
    last = ""
    async for key in _keys(store, bucket):
        if key is None:
            last = f" (of its first {looked:,} objects)"
            break
        looked += 1
        named = candidates(rules, key)
        outside += not named
        by_tags += bool(named) and all(rule.tags for rule in named)
    if outside:
        many = counted(outside, "object")
        verb = "is" if outside == 1 else "are"
        return Sighting("not ok", f"{bucket}: {many} {verb} outside every rule{last}")
    if by_tags:
        many = counted(by_tags, "object")
        return Sighting("could not tell", f"{bucket}: tags decide about {many}{last}")
    if last:
        return Sighting("could not tell", f"{bucket}: nothing outside every rule was found{last}")
    return Sighting("ok")


async def _keys(store: Store, bucket: str) -> AsyncIterator[str | None]:
    """The keys of visible objects; None at the end where the pages did not suffice."""
    key_marker = version_marker = ""
    for _ in range(PAGES_MAX):
        page = await store.list_versions(
            bucket, key_marker=key_marker, version_marker=version_marker
        )
        for entry in page.entries:
            if entry.is_latest and not entry.is_marker and not entry.key.startswith(OWN_PREFIX):
                yield entry.key
        if not page.truncated:
            return
        key_marker, version_marker = page.next_key, page.next_version
    yield None


async def capacity(sides: Sides) -> list[Finding]:
    """S3 has no question for it. It is said, so that somebody looks; it changes no outcome."""
    target = sides.config.pair.target
    return [
        Finding(
            "capacity",
            "could not tell",
            "S3 has no question for free space and quotas",
            f"Look at {target}'s own console: it must hold all versions, and what is written "
            "after a failover.",
            target,
            counts=False,
        )
    ]
