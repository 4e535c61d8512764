"""What both control buckets show at one moment, and what follows from it. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, NamedTuple

from farshore.control.audit import Stored
from farshore.core.chain import Entry, Head
from farshore.core.document import moment_text
from farshore.core.record import (
    ControlRecord,
    Freeze,
    SwitchState,
    arbiter_place,
    initial,
    standing,
)
from farshore.errors import Corrupt, StateError

State = Literal["record", "absent", "damaged", "newer", "unreachable"]

BROUGHT_UP = "`farshore run`, or the next change of roles, writes what stands to both sides"


class Conflict(NamedTuple):
    """Something that is not as it should be, one sentence, and what to do about it."""

    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What one site shows. `trouble`: why there is no record to be had.

    `etag`: of the document that stands there, a damaged one, too; "" for none. `tail`:
    audit entries behind the one that announced the record. `strong`: see `Ledger`.
    """

    site: str
    state: State
    record: ControlRecord | None = None
    etag: str = ""
    trouble: str = ""
    tail: tuple[Stored, ...] = ()
    strong: bool = True

    @property
    def answers(self) -> bool:
        """Whether it can be read and written."""
        return self.state in ("record", "absent", "damaged")

    def accepted(self) -> Iterator[ControlRecord]:
        """Records that stood here once, by the results in the audit log's tail."""
        for entry in self.tail:
            if isinstance(entry, Entry) and entry.draft.outcome == "ok" and entry.draft.after:
                try:
                    yield ControlRecord.from_json(entry.draft.after)
                except (Corrupt, StateError):
                    continue  # the result of something else than a change of the record

    @property
    def rolled_back(self) -> ControlRecord | None:
        """The record that stood here, though an older one, or none, stands here now."""
        if not self.answers or self.state == "damaged":
            return None
        best = max(self.accepted(), key=lambda record: record.place, default=None)
        here = self.record.place if self.record else (0, 0)
        return best if best is not None and best.place > here else None


@dataclass(frozen=True, slots=True)
class View:
    """Both sites, in alphabetical order. `primary`: the configured source."""

    pair: str
    primary: str
    shown: tuple[Shown, Shown]

    @property
    def record(self) -> ControlRecord:
        """The record that stands; what holds by the configuration where there is none."""
        return self._standing or initial(self.pair, self.primary)

    @property
    def written(self) -> bool:
        """Whether anything was ever recorded, as far as can be seen."""
        return self._standing is not None

    @property
    def _standing(self) -> ControlRecord | None:
        records = [record for shown in self.shown if (record := shown.record)]
        records += [record for shown in self.shown for record in shown.accepted()]
        return reduce(standing, records) if records else None

    @property
    def answering(self) -> tuple[Shown, ...]:
        """The sites that can be read and written."""
        return tuple(shown for shown in self.shown if shown.answers)

    @property
    def strong(self) -> bool:
        """Whether the answering sites keep two writers apart by themselves."""
        return all(shown.strong for shown in self.answering)

    @property
    def agree(self) -> bool:
        """Both sites answer and show what stands (or neither has anything)."""
        digest = self.record.digest if self.written else None
        return all(
            shown.answers
            and shown.state != "damaged"
            and (shown.record.digest if shown.record else None) == digest
            for shown in self.shown
        )

    @property
    def in_step(self) -> bool:
        """They agree, and the newest audit entries are on both sides."""
        one, other = self.shown
        return self.agree and _places(one.tail) == _places(other.tail)

    @property
    def arbiter(self) -> str:
        """The site that decides changes in this epoch."""
        return self.shown[arbiter_place(self.record.epoch)].site

    def of(self, site: str) -> Shown:
        """What that site shows."""
        return next(shown for shown in self.shown if shown.site == site)

    def other(self, site: str) -> Shown:
        """What the other site shows."""
        return next(shown for shown in self.shown if shown.site != site)

    @property
    def conflicts(self) -> tuple[str, ...]:
        """What is not as it should be, a sentence each; a site that is merely behind is none."""
        return tuple(conflict.text for conflict in self.conflicting)

    @property
    def conflicting(self) -> tuple[Conflict, ...]:
        """The same, each with its remedy."""
        return tuple(found for shown in self.shown for found in self._conflicts(shown))

    def _conflicts(self, shown: Shown) -> Iterator[Conflict]:
        if shown.state == "newer":
            yield Conflict(shown.trouble, "use the newer farshore here, too")
        elif shown.state == "damaged":
            anew = "look at the object's older versions there, and purge the damaged one"
            yield Conflict(shown.trouble, BROUGHT_UP if self.written else anew)
        elif shown.rolled_back is not None:
            now = place_text(shown.record) if shown.record else "no record"
            stood = place_text(shown.rolled_back)
            text = f"{shown.site} was rolled back: {stood} stood there, and now {now}."
            yield Conflict(text, f"find out who restored that bucket; {BROUGHT_UP}")
        elif shown.record is not None and not self.record.comes_from(shown.record):
            yield Conflict(
                f"{shown.site} shows {place_text(shown.record)} by {said(shown.record)}; it was "
                f"decided without what stands now, {place_text(self.record)} by "
                f"{said(self.record)}, and has lost.",
                f"see what it did with `farshore audit list`; {BROUGHT_UP}",
            )

    def to_json(self) -> dict[str, Any]:
        """What stands and how the sites agree, for machines; times are ISO 8601 UTC."""
        record = self.record
        return {
            "phase": record.phase,
            "epoch": record.epoch,
            "revision": record.revision,
            "primary": record.primary,
            "recorded": self.written,
            "by": record.by,
            "why": record.why,
            "at": moment_text(record.at) if self.written else None,
            "agree": self.agree,
            "strong": self.strong,
            "switch": _switch_json(record.switch) if self.written else None,
            "freeze": _freeze_json(record.freeze) if record.freeze else None,
            "conflicts": list(self.conflicts),
            "sites": {
                shown.site: {"shows": shown.state, "trouble": shown.trouble} for shown in self.shown
            },
        }

    @property
    def line(self) -> str:
        """All of it in one line, for people."""
        record = self.record
        phase = record.phase.replace("_", " ")
        line = f"{phase}, {place_text(record)}, primary {record.primary}. {self.sentence}"
        if self.written and not self.strong:
            line += (
                " A server obeys no conditional writes: two people who change roles at the same "
                "moment are kept apart by a lock only."
            )
        return line

    @property
    def sentence(self) -> str:
        """How the two sites agree, for people."""
        agreement = self._agreement
        return " ".join((agreement, *(text for text in self.conflicts if text not in agreement)))

    @property
    def _agreement(self) -> str:
        if self.agree:
            return "Both sides agree." if self.written else "Nothing was recorded yet."
        silent = [shown for shown in self.shown if not shown.answers]
        if len(silent) == len(self.shown):
            return f"Neither control bucket can be used: {silent[0].trouble}"
        if silent:
            return f"{silent[0].site} cannot be asked: {silent[0].trouble}"
        behind = " and ".join(s.site for s in self.shown if s.record != self.record)
        return f"{behind} is behind, and is brought up by the next change or `farshore run`."


def clients_text(record: ControlRecord) -> str:
    """Where clients were sent, by whom and why; "" where no switch was ever set."""
    switch = record.switch
    if not switch.at:
        return ""
    where = f"go to {switch.active}"
    if switch.wanted != switch.active:
        where += (
            f"; a flip to {switch.wanted} was begun and is not finished: `farshore switch show`"
        )
    why = f": {switch.why}" if switch.why else ""
    return f"{where}; set {moment_text(switch.at)}, by {switch.by or 'nobody'}{why}"


def freeze_text(record: ControlRecord, now: float) -> str:
    """The freeze that is recorded, as of `now` (Unix seconds); "" where there is none."""
    freeze = record.freeze
    if freeze is None:
        return ""
    why = f": {freeze.why}" if freeze.why else ""
    who = f"since {moment_text(freeze.since)}, by {freeze.by}{why}"
    if freeze.until <= now:
        return f"ended by itself {moment_text(freeze.until)}; {who}"
    return f"writes wait, until {moment_text(freeze.until)} at most; {who}"


def changed_text(before: ControlRecord, after: ControlRecord) -> str:
    """What a change did to clients, fences and the freeze: "clients go to west"; "" for none."""
    return ", ".join(_changes(before, after))


def _changes(before: ControlRecord, after: ControlRecord) -> Iterator[str]:
    if after.switch != before.switch:
        done = after.switch.active == after.switch.wanted
        yield f"clients {'go' if done else 'are to go'} to {after.switch.wanted}"
    for fence in after.fences:
        if fence != before.fence_of(fence.site):
            yield f"fence of {fence.site} {fence.state}"
    for fence in before.fences:
        if after.fence_of(fence.site) is None:
            yield f"no fence of {fence.site}"
    if after.freeze != before.freeze:
        yield f"frozen until {moment_text(after.freeze.until)}" if after.freeze else "thawed"


def _switch_json(switch: SwitchState) -> dict[str, Any]:
    at = moment_text(switch.at) if switch.at else None
    return {
        "active": switch.active,
        "wanted": switch.wanted,
        "by": switch.by,
        "why": switch.why,
        "at": at,
    }


def _freeze_json(freeze: Freeze) -> dict[str, Any]:
    return {
        "since": moment_text(freeze.since),
        "until": moment_text(freeze.until),
        "by": freeze.by,
        "why": freeze.why,
    }


def place_text(record: ControlRecord) -> str:
    """ "epoch 3, revision 7"."""
    return f"epoch {record.epoch}, revision {record.revision}"


def said(record: ControlRecord) -> str:
    """Who, when and why: "anna@host1 at 2026-…Z (disk change)"."""
    why = f" ({record.why})" if record.why else ""
    return f"{record.by or 'nobody'} at {moment_text(record.at)}{why}"


def end_of(head: Head, tail: Sequence[Stored], side: str) -> Head:
    """The last entry that follows `head`, entry by entry; at a fork the way of `side`."""
    following: dict[str, list[Entry]] = {}
    for entry in tail:
        if isinstance(entry, Entry):
            following.setdefault(entry.previous, []).append(entry)
    while nexts := following.pop(head.digest, []):
        head = next((entry for entry in nexts if entry.side == side), nexts[0]).head
    return head


def _places(tail: Sequence[Stored]) -> list[tuple[int, str]]:
    return [entry.place for entry in tail]
