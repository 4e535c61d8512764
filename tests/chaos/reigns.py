"""Who may be written to when, and what must be so of every write through the front door. Pure.

A *change* of roles is one that took effect: between its two times clients may be at either side,
before it at the old one alone, after it at the new one alone. A write's time is the server's own.
Every key is written once, so that a write is a key.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from tests.chaos.ledger import MARKER, Violation

Act = Literal[
    "switchover", "switchover, command killed", "switchover, farshore killed",
    "switchover, slow lines", "switchover, target killed", "switchover, source killed",
    "switchover, target cut off", "switchover, source cut off",
    "failover", "failover, behind", "failover, cut off", "failover, command killed",
]  # fmt: skip

ACTS: tuple[Act, ...] = (
    "switchover", "switchover, command killed", "switchover, command killed",
    "switchover, farshore killed", "switchover, slow lines", "switchover, target killed",
    "switchover, source killed", "switchover, target cut off", "switchover, source cut off",
    "failover", "failover, behind", "failover, cut off", "failover, command killed",
)  # fmt: skip

PLACES: Mapping[str, tuple[str, ...]] = {
    "switchover": (
        *(f"run.{when}:{n}" for when in ("intended", "acted", "recorded") for n in range(1, 11)),
        "switch.driver.planned", "switch.driver.applied", "haproxy.file.written",
        "haproxy.map.set", "fence.recorded", "fence.policy.put", "freeze.applied",
    ),
    "failover": (
        *(f"run.{when}:{n}" for when in ("intended", "acted", "recorded") for n in range(1, 9)),
        "switch.driver.planned", "switch.driver.applied", "haproxy.map.set", "fence.recorded",
    ),
}  # fmt: skip
"""Where a command that is killed may die."""

AFTER_S = (0.1, 3.0)
"""A process or a site is killed, or cut off, so long after the command began."""

LASTS_S = (1.0, 15.0)
"""A site that is cut off from everybody is back after so long."""


class Deed(NamedTuple):
    """One change of roles to be tried. `place`: where the command dies, "" nowhere; `after`:
    seconds until something is killed or cut off, `lasts`: seconds until it is no longer cut off;
    `takes_back`: a rollback is tried after it."""

    act: Act
    place: str
    after: float
    lasts: float
    takes_back: bool


def deeds(seed: int) -> Iterator[Deed]:
    """Without end; each act once, in some order, before one comes again."""
    rng = random.Random(f"{seed} roles")
    while True:
        for act in rng.sample(ACTS, len(ACTS)):
            place = rng.choice(PLACES[act.split(",")[0]]) if "command killed" in act else ""
            after, lasts = (round(rng.uniform(*span), 3) for span in (AFTER_S, LASTS_S))
            yield Deed(act, place, after, lasts, rng.random() < 0.2)


class Change(NamedTuple):
    """A change of roles that took effect, Unix seconds. `by_failover`: it may leave some behind."""

    began: float
    ended: float
    to: str
    by_failover: bool


class Written(NamedTuple):
    """One write of a client. Unix seconds; `acked_at` is inf where nobody was told."""

    key: str
    etag: str
    acked_at: float


class Claim(NamedTuple):
    """Somebody said at `at`: all that was acknowledged by `source` before `watermark` is on the
    other side. Unix seconds."""

    watermark: float
    at: float
    source: str


def promised_at(native: str, acked_at: float, claims: Sequence[Claim]) -> float:
    """When it was first said that a write of that site is on the other side; inf: never."""
    said = (one.at for one in claims if one.source == native and one.watermark > acked_at)
    return min(said, default=math.inf)


class Story(NamedTuple):
    """What happened: changes of roles, the primary before the first of them, what was claimed,
    and the keys that a person was shown as left behind."""

    changes: Sequence[Change]
    first: str
    claims: Sequence[Claim]
    shown: frozenset[str]


class Stand(NamedTuple):
    """A version of a key at a site: `native` when a client wrote it there; `at`: written when."""

    site: str
    etag: str
    native: bool
    at: float


def primary_sites(story: Story, at: float) -> set[str]:
    """Where clients may write at that time."""
    now = {story.first}
    for change in story.changes:
        if at > change.ended:
            now = {change.to}
        elif at >= change.began:
            now = now | {change.to}
    return now


def judged(
    written: Sequence[Written], stands: Mapping[str, Sequence[Stand]], story: Story, at: float
) -> Iterator[Violation]:
    """Every write by every promise."""
    for one in written:
        found = _without_kept(one.key, stands.get(one.key, ()), story)
        for promise, what in (*_one_side(found, story), *_owed(one, found, story)):
            yield Violation(promise, one.key, what, at)


def _without_kept(key: str, found: Sequence[Stand], story: Story) -> Sequence[Stand]:
    """What was left behind and kept stands beneath a delete marker, which the other side has, too:
    clients see what the new primary showed."""
    return [stand for stand in found if stand.etag != MARKER or key not in story.shown]


def _one_side(found: Sequence[Stand], story: Story) -> Iterator[tuple[str, str]]:
    natives = [stand for stand in found if stand.native]
    if len(natives) > 1:
        yield "one writable side", f"it was taken more than once: {natives}"
    for native in natives:
        allowed = primary_sites(story, native.at)
        if native.site not in allowed:
            what = f"{native.site} took it at {native.at:.3f}, when only {allowed} might"
            yield "one writable side", what
    sites = [stand.site for stand in found]
    if len(sites) != len(set(sites)):
        yield "nothing doubled", f"{list(found)}"


def _owed(one: Written, found: Sequence[Stand], story: Story) -> Iterator[tuple[str, str]]:
    """What holds of a write whose client was told."""
    if one.acked_at == math.inf:
        return
    native = next((stand.site for stand in found if stand.native), "")
    if not native or any(stand.etag != one.etag for stand in found):
        yield "nothing acknowledged lost", f"{one} stands as {list(found)}"
        return
    promised = promised_at(native, one.acked_at, story.claims)
    came = max(stand.at for stand in found)
    if len(found) == 1:
        yield from _left_behind(one, native, promised, story)
    elif came > promised:
        late = f"promised at {promised:.3f}, and it came {came - promised:.3f} s later"
        yield "exposure never understated", late


def _left_behind(
    one: Written, native: str, promised: float, story: Story
) -> Iterator[tuple[str, str]]:
    """Only a failover from that site may do so, and a person is shown it."""
    left = next(
        (c for c in story.changes if c.by_failover and c.to != native and c.ended > one.acked_at),
        None,
    )
    if left is None or one.key not in story.shown:
        yield "nothing acknowledged lost", f"only {native} has it, and nobody was told"
    elif promised < left.began:
        what = f"promised at {promised:.3f}, and a failover left it behind"
        yield "exposure never understated", what
