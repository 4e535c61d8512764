"""Apply's plan: from what both sites have to what they need. Pure; nothing is done here.

`needs` says which buckets must be there, `plan` compares them with two `SiteState`s and
yields changes in a fixed order: buckets made, versioning on, capabilities recorded.
Performing them all and planning again gives an empty plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from farshore.config import Config

ENABLED = "Enabled"


@dataclass(frozen=True, slots=True)
class Need:
    """A bucket that must exist with versioning on."""

    site: str
    bucket: str
    may_create: bool


@dataclass(frozen=True, slots=True)
class SiteState:
    """What one site has. `versioning`: bucket to "", "Enabled", "Suspended"; None: no bucket.

    `recorded`: its capabilities are on record for the configured endpoint.
    """

    site: str
    versioning: Mapping[str, str | None]
    recorded: bool


@dataclass(frozen=True, slots=True)
class CreateBucket:
    site: str
    bucket: str

    def row(self) -> tuple[str, str, str, str]:
        """(site, what, before, after)."""
        return self.site, f"bucket {self.bucket}", "none", "made"


@dataclass(frozen=True, slots=True)
class EnableVersioning:
    site: str
    bucket: str
    before: str

    def row(self) -> tuple[str, str, str, str]:
        """(site, what, before, after)."""
        return self.site, f"versioning of {self.bucket}", self.before.lower() or "off", "on"


@dataclass(frozen=True, slots=True)
class RecordCapabilities:
    site: str

    def row(self) -> tuple[str, str, str, str]:
        """(site, what, before, after)."""
        return self.site, "capabilities of the server", "unknown", "probed"


Change = CreateBucket | EnableVersioning | RecordCapabilities


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` in the order to make them; `problems` forbid all of them."""

    changes: tuple[Change, ...]
    problems: tuple[str, ...]


def needs(config: Config, buckets: Iterable[tuple[str, str]]) -> list[Need]:
    """Every bucket that the pair needs. `buckets`: what `Config.resolve_buckets` gave."""
    source, target = config.source, config.target
    wanted: list[Need] = []
    for here, there in buckets:
        wanted.append(Need(source.name, here, may_create=False))
        wanted.append(Need(target.name, there, may_create=True))
    wanted += [Need(s.name, s.control_bucket, may_create=True) for s in (source, target)]
    return wanted


def plan(wanted: Sequence[Need], states: Sequence[SiteState]) -> Plan:
    """What is to be done; the same needs and states always give the same plan."""
    by_site = {state.site: state for state in states}
    problems: list[str] = []
    creates: list[Change] = []
    enables: list[Change] = []
    for need in sorted(wanted, key=lambda need: (need.site, need.bucket)):
        versioning = by_site[need.site].versioning[need.bucket]
        if versioning is None and not need.may_create:
            problems.append(_missing(need))
            continue
        if versioning is None:
            creates.append(CreateBucket(need.site, need.bucket))
        if versioning != ENABLED:
            enables.append(EnableVersioning(need.site, need.bucket, versioning or ""))
    records: list[Change] = [
        RecordCapabilities(state.site)
        for state in sorted(states, key=lambda state: state.site)
        if not state.recorded
    ]
    return Plan((*creates, *enables, *records), tuple(problems))


def _missing(need: Need) -> str:
    return (
        f'the source bucket "{need.bucket}" does not exist at {need.site}: '
        "correct pair.buckets, or make the bucket there"
    )
