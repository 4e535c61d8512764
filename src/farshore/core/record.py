"""The control record: who is primary, under which epoch, and what holds at the moment.

The same document stands in both control buckets. Every accepted change has the next
`revision`; a change of roles, or one that was decided without the site that should have
been asked first, has a higher `epoch`, too. Of two records that differ, `standing` says
which one counts.

Epochs are ballot numbers: odd ones are given out by the first site of the pair (by name),
even ones by the second. So two people who each see another site never give out the same
epoch, and within one epoch revisions follow each other without a fork.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast, get_args

from farshore.core.chain import BEGINNING, Head
from farshore.core.document import Fields, digest_of, moment_text
from farshore.core.roles import NEW_PRIMARY, PHASES, Event, Phase, step
from farshore.errors import Refused, StateError

SCHEMA = 1
"""The form of records that this farshore writes, and the highest that it reads. Another
field is another schema: the digest is over all of them."""

LINEAGE_MAX = 64
"""Epochs that a record remembers. What it has forgotten counts as no ancestor."""

FenceState = Literal["pending", "unproved", "standing"]


@dataclass(frozen=True, slots=True)
class Fence:
    """A site whose storage must refuse clients' writes.

    `mode` is the way, such as "policy". `state`: pending until it was put up; unproved while
    nobody could try it; standing once it was shown to bite. `at`: Unix seconds.
    """

    site: str
    mode: str
    state: FenceState
    by: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Freeze:
    """Clients' writes are asked to wait, at most until `until` (Unix seconds)."""

    since: float
    until: float
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class SwitchState:
    """Where clients go. `wanted` is another site than `active` while a flip is under way.

    `drivers`: (driver, the site that it was last seen to show; "" is not known).
    """

    active: str
    wanted: str
    by: str = ""
    why: str = ""
    at: float = 0.0
    drivers: tuple[tuple[str, str], ...] = ()

    @property
    def under_way(self) -> bool:
        """A flip was begun and neither finished nor taken back."""
        return self.wanted != self.active

    @property
    def behind(self) -> tuple[str, ...]:
        """The drivers that do not show the wanted site, as far as is known."""
        return tuple(name for name, site in self.drivers if site != self.wanted)


class Era(NamedTuple):
    """An epoch, and the first revision in it."""

    epoch: int
    first: int


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """What holds for a pair of sites, and who said so, why and when.

    `pair` is the pair's given name, or its two sites in alphabetical order: the same in
    both directions.
    `audit_head`: the audit entry that announced this change. `lineage`: the epochs that
    this record comes from, its own last.
    """

    pair: str
    epoch: int
    revision: int
    phase: Phase
    primary: str
    switch: SwitchState
    fences: tuple[Fence, ...] = ()
    freeze: Freeze | None = None
    audit_head: Head = BEGINNING
    lineage: tuple[Era, ...] = ()
    by: str = ""
    why: str = ""
    at: float = 0.0

    @property
    def place(self) -> tuple[int, int]:
        """(epoch, revision): where it stands in the order of records."""
        return self.epoch, self.revision

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return digest_of(_content(self))

    def fence_of(self, site: str) -> Fence | None:
        """The fence of this site, pending or standing."""
        return next((fence for fence in self.fences if fence.site == site), None)

    def with_fence(self, fence: Fence) -> ControlRecord:
        """With this fence in the place of the site's former one."""
        return replace(self, fences=(*self.without_fence(fence.site).fences, fence))

    def without_fence(self, site: str) -> ControlRecord:
        """Without that site's fence."""
        return replace(self, fences=tuple(f for f in self.fences if f.site != site))

    def stepped(self, event: Event, *, primary: str = "") -> ControlRecord:
        """After the event; with another primary where the event may name one.

        `Refused` for an event that cannot happen now.
        """
        to, raises = step(self.phase, event)
        if primary and primary != self.primary and event not in NEW_PRIMARY:
            raise Refused(f"{event} does not change the primary.")
        epoch = self.epoch + 1 if raises else self.epoch
        return replace(self, phase=to, epoch=epoch, primary=primary or self.primary)

    def comes_from(self, other: ControlRecord) -> bool:
        """Whether the other record is this one, or was changed into it, step by step."""
        eras = self.lineage or (Era(self.epoch, 0),)
        ends = [era.first for era in eras[1:]] + [self.revision + 1]
        return any(
            era.epoch == other.epoch and era.first <= other.revision < end
            for era, end in zip(eras, ends, strict=True)
        )

    def decides_as(self, other: ControlRecord) -> bool:
        """Whether both say the same of all that somebody decides. Whether a fence that is wanted
        stands already is no decision: the daemon notes it, whenever its site answers."""
        return _decided(self) == _decided(other)

    def to_json(self) -> dict[str, Any]:
        """The document, with its schema and its digest."""
        content = _content(self)
        return {**content, "digest": digest_of(content)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any], what: str = "The control record") -> ControlRecord:
        """What `to_json` wrote. `Corrupt` for anything else, `StateError` for a newer schema."""
        fields = Fields(dict(body), what)
        require_schema(fields, what)
        fields.require_digest()
        return cls(
            pair=fields.text("pair"),
            epoch=fields.number("epoch", least=1),
            revision=fields.number("revision"),
            phase=_phase(fields),
            primary=fields.text("primary"),
            switch=_switch(fields.within("switch")),
            fences=tuple(_fence(item) for item in fields.items("fences")),
            freeze=_freeze(fields.within("freeze")) if fields.has("freeze") else None,
            audit_head=Head.from_fields(fields.within("audit_head")),
            lineage=tuple(
                Era(item.number("epoch", least=1), item.number("first"))
                for item in fields.items("lineage")
            ),
            by=fields.text("by"),
            why=fields.text("why"),
            at=fields.moment("at"),
        )


def initial(pair: str, primary: str) -> ControlRecord:
    """What holds where nothing was ever recorded: the configured source is primary."""
    return ControlRecord(
        pair, 1, 0, "protected", primary, SwitchState(primary, primary), lineage=(Era(1, 0),)
    )


def standing(one: ControlRecord, other: ControlRecord) -> ControlRecord:
    """Which of two sites' records counts: the higher epoch, then the higher revision.

    Equal places with different content cannot come from us; then the digest decides, so
    that everybody decides the same.
    """
    return max(one, other, key=lambda record: (*record.place, record.digest))


def succeeds(
    current: ControlRecord,
    wanted: ControlRecord,
    epoch: int,
    head: Head,
    by: str,
    why: str,
    at: float,
) -> ControlRecord:
    """`wanted` as the record that follows `current` in this epoch."""
    revision = current.revision + 1
    lineage = current.lineage
    if epoch != current.epoch:
        lineage = (*lineage, Era(epoch, revision))[-LINEAGE_MAX:]
    return replace(
        wanted,
        pair=current.pair,
        epoch=epoch,
        revision=revision,
        audit_head=head,
        lineage=lineage,
        by=by,
        why=why,
        at=at,
    )


def next_epoch(epoch: int, place: int) -> int:
    """The lowest epoch above this one that the site at `place` (0 or 1, by name) gives out."""
    following = epoch + 1
    return following if arbiter_place(following) == place else following + 1


def arbiter_place(epoch: int) -> int:
    """Which of the two sites, by name, decides the changes of this epoch: 0 or 1."""
    return (epoch - 1) % 2


def require_schema(fields: Fields, what: str) -> None:
    """`StateError` when a newer farshore wrote the document."""
    schema = fields.number("schema", least=1)
    if schema > SCHEMA:
        raise StateError(
            f"{what} was written by a newer farshore (schema {schema}; this one reads {SCHEMA}).",
            hint="Use the newer farshore here too: pip install --upgrade farshore",
        )


def _phase(fields: Fields) -> Phase:
    phase = fields.text("phase")
    if phase not in PHASES:
        raise fields.wrong(f"there is no phase {phase!r}")
    return phase


def _switch(fields: Fields) -> SwitchState:
    return SwitchState(
        active=fields.text("active"),
        wanted=fields.text("wanted"),
        by=fields.text("by"),
        why=fields.text("why"),
        at=fields.moment("at"),
        drivers=tuple((item.text("name"), item.text("site")) for item in fields.items("drivers")),
    )


def _fence(fields: Fields) -> Fence:
    state = fields.text("state")
    if state not in get_args(FenceState):
        raise fields.wrong(f"a fence is not {state!r}")
    return Fence(
        site=fields.text("site"),
        mode=fields.text("mode"),
        state=cast(FenceState, state),
        by=fields.text("by"),
        why=fields.text("why"),
        at=fields.moment("at"),
    )


def _freeze(fields: Fields) -> Freeze:
    return Freeze(
        since=fields.moment("since"),
        until=fields.moment("until"),
        by=fields.text("by"),
        why=fields.text("why"),
    )


def _decided(record: ControlRecord) -> ControlRecord:
    fences = sorted(record.fences, key=lambda fence: fence.site)
    return replace(
        record,
        revision=0,
        fences=tuple(replace(fence, state="pending") for fence in fences),
        audit_head=BEGINNING,
        lineage=(),
        by="",
        why="",
        at=0.0,
    )


def _content(record: ControlRecord) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "pair": record.pair,
        "epoch": record.epoch,
        "revision": record.revision,
        "phase": record.phase,
        "primary": record.primary,
        "switch": _switch_json(record.switch),
        "fences": [_fence_json(fence) for fence in record.fences],
        "freeze": _freeze_json(record.freeze) if record.freeze else None,
        "audit_head": record.audit_head._asdict(),
        "lineage": [era._asdict() for era in record.lineage],
        "by": record.by,
        "why": record.why,
        "at": moment_text(record.at),
    }


def _switch_json(switch: SwitchState) -> dict[str, Any]:
    return {
        "active": switch.active,
        "wanted": switch.wanted,
        "by": switch.by,
        "why": switch.why,
        "at": moment_text(switch.at),
        "drivers": [{"name": name, "site": site} for name, site in switch.drivers],
    }


def _fence_json(fence: Fence) -> dict[str, Any]:
    return {
        "site": fence.site,
        "mode": fence.mode,
        "state": fence.state,
        "by": fence.by,
        "why": fence.why,
        "at": moment_text(fence.at),
    }


def _freeze_json(freeze: Freeze) -> dict[str, Any]:
    return {
        "since": moment_text(freeze.since),
        "until": moment_text(freeze.until),
        "by": freeze.by,
        "why": freeze.why,
    }
