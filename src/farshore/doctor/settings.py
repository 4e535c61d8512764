"""Checks of what buckets are told: lifecycle, Object Lock, and what differs between the sides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from farshore.control.bucket import Access
from farshore.core.checkup import Finding, Sighting, summed
from farshore.core.lifecycle import outruns_at_source, outruns_at_target
from farshore.core.parity import Facts, differing, policy_facts, sentence
from farshore.core.policy import BadPolicy
from farshore.core.words import counted
from farshore.doctor.sides import Sides
from farshore.doctor.told import facts_of, lifecycle_rules
from farshore.errors import Unsupported
from farshore.s3.store import BucketConfig, Store

PARITY: tuple[BucketConfig, ...] = ("cors", "lifecycle", "encryption", "tagging", "notification")
"""What should be the same on both sides, beside the policy."""


class Told(NamedTuple):
    """One document of one bucket. `known`: False where the server does not know the kind."""

    text: str
    known: bool = True


async def told(store: Store, bucket: str, kind: BucketConfig) -> Told:
    """What a bucket was told. Raises what stores raise, but for `Unsupported`."""
    try:
        return Told(await store.get_bucket_config(bucket, kind))
    except Unsupported:
        return Told("", known=False)


async def told_policy(store: Store, bucket: str) -> Told:
    """The same of its policy."""
    try:
        return Told(await store.get_bucket_policy(bucket))
    except Unsupported:
        return Told("", known=False)


async def lifecycle(sides: Sides) -> list[Finding]:
    """No lifecycle rule takes away what is not copied and proved, nor what was copied."""
    objectives = sides.config.objectives
    patience_s = max(objectives.verify_max_age_s, objectives.rpo_s)

    async def at(access: Access) -> Finding:
        site = access.site.name
        receives = site == sides.config.pair.target

        async def look(bucket: str) -> Sequence[Sighting]:
            document = (await told(access.operator, bucket, "lifecycle")).text
            rules = list(lifecycle_rules(document))
            found = outruns_at_target(rules) if receives else outruns_at_source(rules, patience_s)
            return [Sighting("not ok", f"{bucket}: {why}") for why in found] or [Sighting("ok")]

        names = sides.named(site)
        return summed(
            "lifecycle",
            await sides.each_bucket(names, look),
            well=f"nothing is taken away too early in {counted(len(names), 'bucket')}",
            remedy=_AT_TARGET if receives else _AT_SOURCE,
            site=site,
        )

    return await sides.each_site("lifecycle", at)


_AT_SOURCE = (
    "Let the source keep older versions longer than objectives.verify_max_age, or verify more "
    "often."
)
_AT_TARGET = (
    "Take such rules away while this site receives: replicas age from their copy, and what the "
    "source deletes is deleted here by replication. Put them back after a failover."
)


async def object_lock(sides: Sides) -> list[Finding]:
    """Both sides lock new versions in the same way."""

    async def look(pair: tuple[str, str]) -> Sequence[Sighting]:
        (ours, theirs), facts = await _both(sides, pair, "object-lock")
        if ours.known != theirs.known and (ours.text or theirs.text):
            silent = sides.sites[0] if not ours.known else sides.sites[1]
            return [Sighting("not ok", f"{pair[0]} is locked, and {silent} has no Object Lock")]
        difference = differing(*facts)
        if difference:
            return [Sighting("not ok", f"{pair[0]}: {sentence(difference, *sides.sites)}")]
        return [Sighting("ok")]

    if missing := _unless_both(sides, "object-lock"):
        return [missing]
    return [
        summed(
            "object-lock",
            await sides.each_bucket(sides.buckets, look),
            well="the same on both sides",
            remedy="Give both buckets the same default retention. Object Lock itself is mostly "
            "turned on only when a bucket is made: make it anew at the side that lacks it.",
        )
    ]


async def parity(sides: Sides) -> list[Finding]:
    """Beside its objects, a bucket is told the same on both sides: one finding for each kind."""
    if missing := _unless_both(sides, "parity"):
        return [missing]
    kinds = [_same_kind(sides, kind) for kind in PARITY]
    return list(await asyncio.gather(*kinds, _same_policy(sides)))


async def _same_kind(sides: Sides, kind: BucketConfig) -> Finding:
    async def look(pair: tuple[str, str]) -> Sequence[Sighting]:
        (ours, theirs), facts = await _both(sides, pair, kind)
        return [_compared(sides, pair[0], (ours, theirs), facts)]

    return _parity(sides, kind, await sides.each_bucket(sides.buckets, look))


async def _same_policy(sides: Sides) -> Finding:
    async def look(pair: tuple[str, str]) -> Sequence[Sighting]:
        ours, theirs = await asyncio.gather(
            *(
                told_policy(sides.open[site].operator, bucket)
                for site, bucket in zip(sides.sites, pair, strict=True)
            )
        )
        try:
            facts = policy_facts(ours.text, pair[0]), policy_facts(theirs.text, pair[1])
        except BadPolicy as error:
            return [Sighting("could not tell", f"{pair[0]}: a policy cannot be read: {error}")]
        return [_compared(sides, pair[0], (ours, theirs), facts)]

    return _parity(sides, "policy", await sides.each_bucket(sides.buckets, look))


def _compared(
    sides: Sides, bucket: str, read: tuple[Told, Told], facts: tuple[Facts, Facts]
) -> Sighting:
    """Where one server does not know the kind, and the other has none of it, nothing differs."""
    ours, theirs = read
    if ours.known != theirs.known and (facts[0] or facts[1]):
        silent = sides.sites[0] if not ours.known else sides.sites[1]
        return Sighting("could not tell", f"{bucket}: {silent} does not know it")
    difference = differing(*facts)
    if not difference:
        return Sighting("ok")
    return Sighting("not ok", f"{bucket}: {sentence(difference, *sides.sites)}")


def _parity(sides: Sides, kind: str, sightings: Sequence[Sighting]) -> Finding:
    source, target = sides.sites
    return summed(
        f"parity-{kind}",
        sightings,
        well="the same on both sides",
        remedy=f"Carry it from {source} to {target}: `farshore apply --parity` shows it and asks; "
        "or mend it by hand.",
    )


def _unless_both(sides: Sides, name: str) -> Finding | None:
    """What is said where one side is silent: two are needed to compare."""
    for site in sides.sites:
        if site not in sides.open:
            return sides.no_answer(name, site)
    return None


async def _both(
    sides: Sides, pair: tuple[str, str], kind: BucketConfig
) -> tuple[tuple[Told, Told], tuple[Facts, Facts]]:
    ours, theirs = await asyncio.gather(
        *(
            told(sides.open[site].operator, bucket, kind)
            for site, bucket in zip(sides.sites, pair, strict=True)
        )
    )
    return (ours, theirs), (facts_of(kind, ours.text), facts_of(kind, theirs.text))
