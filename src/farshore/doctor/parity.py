"""Carry what buckets are told from the primary to the other side, after it was shown.

Nothing is taken away by itself: what only the other side has of a kind that the primary has not
is left, and told. What names keys or receivers of one region cannot be carried. Lifecycle rules
that expire something stay where they are: at the side that receives they would take replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from farshore.control.bucket import every
from farshore.core.parity import Difference, carried_policy, differing, policy_facts, sentence
from farshore.core.policy import BadPolicy
from farshore.doctor.settings import PARITY, Told, told, told_policy
from farshore.doctor.sides import Sides
from farshore.doctor.told import facts_of, names_a_region, without_expiring
from farshore.errors import FarshoreError, StoreError
from farshore.s3.store import BucketConfig, Store


class Carry(NamedTuple):
    """One difference of one bucket. `document`: what will be put at the other side; "" when it
    is left as it is, and `why` says why."""

    bucket: str
    other: str
    kind: BucketConfig | None
    difference: str
    document: str = ""
    why: str = ""

    @property
    def name(self) -> str:
        return self.kind or "policy"


async def differences(sides: Sides) -> list[Carry]:
    """Everything that differs, bucket by bucket. Raises what a silent site does."""
    for error in sides.silent.values():
        raise error
    found = await every([_of_bucket(sides, *pair) for pair in sides.buckets])
    return [carry for carries in found for carry in carries]


async def _of_bucket(sides: Sides, bucket: str, other: str) -> list[Carry]:
    here, there = (sides.open[site].operator for site in sides.sites)
    found: list[Carry] = []
    for kind in PARITY:
        ours, theirs = await told(here, bucket, kind), await told(there, other, kind)
        difference = differing(facts_of(kind, ours.text), facts_of(kind, theirs.text))
        if difference:
            shown = sentence(difference, *sides.sites)
            document, why = _carried(sides, kind, ours, theirs)
            found.append(Carry(bucket, other, kind, shown, document, why))
    return [*found, *await _of_policy(sides, bucket, other, here, there)]


def _carried(sides: Sides, kind: BucketConfig, ours: Told, theirs: Told) -> tuple[str, str]:
    """(document, why it is left)."""
    source, target = sides.sites
    if not theirs.known:
        return "", f"{target} does not know it"
    if why := names_a_region(kind, ours.text):
        return "", f"{why}: write it at {target} by hand"
    text = ours.text
    if kind == "lifecycle" and text:
        text = without_expiring(text)
    return text, "" if text else f"only {target} has it: see whether it should be at {source}, too"


async def _of_policy(
    sides: Sides, bucket: str, other: str, here: Store, there: Store
) -> list[Carry]:
    ours, theirs = await told_policy(here, bucket), await told_policy(there, other)
    try:
        difference = differing(policy_facts(ours.text, bucket), policy_facts(theirs.text, other))
        if not difference:
            return []
        document = carried_policy(ours.text, bucket, other, theirs.text)
    except BadPolicy as error:
        return [Carry(bucket, other, None, "", "", f"a policy cannot be read: {error}")]
    shown = sentence(difference, *sides.sites)
    why = _policy_left(sides, theirs, difference)
    return [Carry(bucket, other, None, shown, "" if why else document, why)]


def _policy_left(sides: Sides, theirs: Told, difference: Difference) -> str:
    source, target = sides.sites
    if not theirs.known:
        return f"{target} has no policies"
    if not difference.only_here:
        return f"only {target} has it: see whether it should be at {source}, too"
    return ""


async def carry_over(sides: Sides, carries: list[Carry]) -> Iterator[Carry]:
    """Put every document that can be put, and read it back; answers what still differs.

    Raises the first refusal, once all were tried.
    """
    wanted = [carry for carry in carries if carry.document]
    await every([_put(sides, carry) for carry in wanted])
    left = {(c.bucket, c.name): c for c in await differences(sides)}
    return (left[c.bucket, c.name] for c in wanted if (c.bucket, c.name) in left)


async def _put(sides: Sides, carry: Carry) -> None:
    target = sides.sites[1]
    store = sides.open[target].operator
    try:
        if carry.kind is None:
            await store.put_bucket_policy(carry.other, carry.document)
        else:
            await store.put_bucket_config(carry.other, carry.kind, carry.document)
    except StoreError as error:
        raise FarshoreError(
            f"The {carry.name} of {carry.other} at {target} was not taken: {error.message}",
            hint=error.hint or "Write it there by hand, in the form that this server takes.",
        ) from error
