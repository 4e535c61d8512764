"""The audit chain: what was meant and what came of it, each entry tied to the one before.

Entries are only ever appended. Each holds the digest of its predecessor, so none can be
changed, taken out or moved without the next one showing it; the control record holds the
digest of the entry that announced it. Where two people decided while each saw another
site, the chain has a branch: both ends stay, and both lead back to the same beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from farshore.core.document import Fields, digest_of, moment_text
from farshore.errors import StateError

SCHEMA = 1
"""The form of entries that this farshore writes, and the highest that it reads."""

Kind = Literal["intent", "result"]
Outcome = Literal["", "ok", "failed", "refused", "unknown", "skipped"]
"""What came of an intent; "" for the intent itself."""

_KINDS = ("intent", "result")
_OUTCOMES = ("", "ok", "failed", "refused", "unknown", "skipped")


class Head(NamedTuple):
    """An entry's number and digest. Sequence 0 is the beginning: no entry yet."""

    sequence: int
    digest: str

    @classmethod
    def from_fields(cls, fields: Fields) -> Head:
        """From a document; raises as `Fields` do."""
        return cls(fields.number("sequence"), fields.text("digest"))


BEGINNING = Head(0, "")

Place = tuple[int, str]
"""(number, the site that gave it out): where an entry is kept."""

NOWHERE: Place = (0, "")


@dataclass(frozen=True, slots=True)
class Draft:
    """What an entry says, before it has its place in the chain.

    `at`: Unix seconds. `actor`: who. `action`: a stable word, such as "fence" or "flip".
    `what`: one sentence for people. `token`: the same for an intent and its result.
    `before`, `after`: JSON objects, such as the control record; None where it has none.
    """

    at: float
    actor: str
    action: str
    kind: Kind
    what: str
    token: str
    outcome: Outcome = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A draft in its place. `side`: the site that gave out its number."""

    sequence: int
    side: str
    draft: Draft
    previous: str
    digest: str

    @property
    def head(self) -> Head:
        """What the next one is tied to."""
        return Head(self.sequence, self.digest)

    @property
    def place(self) -> Place:
        """Two sites may have given out the same number."""
        return self.sequence, self.side

    def to_json(self) -> dict[str, Any]:
        """The document, with its schema and its digest."""
        return {
            **_content(self.sequence, self.side, self.draft, self.previous),
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any], what: str = "An audit entry") -> Entry:
        """What `to_json` wrote; the digest is not checked here: `verify` does.

        `Corrupt` for anything else, `StateError` for a newer schema.
        """
        fields = Fields(dict(body), what)
        schema = fields.number("schema", least=1)
        if schema > SCHEMA:
            raise StateError(
                f"{what} was written by a newer farshore (schema {schema}; this one reads "
                f"{SCHEMA}).",
                hint="Use the newer farshore here too: pip install --upgrade farshore",
            )
        return cls(
            fields.number("sequence", least=1),
            fields.text("side"),
            _draft(fields),
            fields.text("previous"),
            fields.text("digest"),
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry that is there and is none. `moved`: it stands under another one's name."""

    sequence: int
    side: str
    why: str
    moved: bool = False

    @property
    def place(self) -> Place:
        return self.sequence, self.side


class Finding(NamedTuple):
    """The first place where a chain is not what was written."""

    kind: Literal["changed", "missing", "reordered"]
    sequence: int
    side: str
    why: str


def follow(head: Head, side: str, draft: Draft) -> Entry:
    """The draft as the entry after `head`."""
    content = _content(head.sequence + 1, side, draft, head.digest)
    return Entry(head.sequence + 1, side, draft, head.digest, digest_of(content))


def verify(
    entries: Sequence[Entry | Unreadable], head: Head = BEGINNING, *others: Head
) -> Finding | None:
    """The first entry that was changed, is missing or was moved; None: all are as written.

    `entries` in the order of their names (number, then side). `head`, `others`: entries
    that must be there, from the control record and from records that lost against it.
    """
    later = {entry.digest for entry in entries if isinstance(entry, Entry)}
    before: dict[str, Place] = {"": NOWHERE}
    last = NOWHERE
    for entry in entries:
        finding = _entry_fault(entry, before, last, later)
        if finding is not None:
            return finding
        assert isinstance(entry, Entry)
        before[entry.digest] = last = entry.place
    anchors = [anchor for anchor in (head, *others) if anchor.sequence]
    return next((fault for anchor in anchors if (fault := _lost(anchor, entries))), None)


def _entry_fault(
    entry: Entry | Unreadable, before: Mapping[str, Place], last: Place, later: set[str]
) -> Finding | None:
    """What is wrong with one entry, given those in front of it."""
    if isinstance(entry, Unreadable):
        return Finding("reordered" if entry.moved else "changed", *entry.place, entry.why)
    own = digest_of(_content(entry.sequence, entry.side, entry.draft, entry.previous))
    if own != entry.digest:
        return Finding("changed", *entry.place, "its content is not what its digest says")
    if entry.place <= last:
        return Finding("reordered", *entry.place, f"it stands behind number {last[0]}")
    if before.get(entry.previous, NOWHERE)[0] == entry.sequence - 1 and entry.previous in before:
        return None
    if entry.previous in before or entry.previous in later:
        return Finding("reordered", *entry.place, "the entry that it follows stands elsewhere")
    return _broken_link(entry, before)


def _broken_link(entry: Entry, before: Mapping[str, Place]) -> Finding:
    """The entry in front is another one, or none."""
    number, why = entry.sequence - 1, f"number {entry.sequence} follows another content of it"
    if not number:
        return Finding("changed", *entry.place, "it is the first, and follows another one")
    if (number, entry.side) in before.values():
        return Finding("changed", number, entry.side, why)
    return Finding("missing", number, entry.side, f"number {entry.sequence} follows it")


def _lost(anchor: Head, entries: Iterable[Entry | Unreadable]) -> Finding | None:
    at_place = [entry for entry in entries if entry.sequence == anchor.sequence]
    if any(isinstance(entry, Entry) and entry.digest == anchor.digest for entry in at_place):
        return None
    if at_place:
        why = "the control record knows it with another content"
        return Finding("changed", *at_place[0].place, why)
    return Finding("missing", anchor.sequence, "", "the control record was announced by it")


def _draft(fields: Fields) -> Draft:
    kind, outcome = fields.text("kind"), fields.text("outcome")
    if kind not in _KINDS or outcome not in _OUTCOMES:
        raise fields.wrong(f"there is no {kind!r} with outcome {outcome!r}")
    return Draft(
        at=fields.moment("at"),
        actor=fields.text("actor"),
        action=fields.text("action"),
        kind=cast(Kind, kind),
        what=fields.text("what"),
        token=fields.text("token"),
        outcome=cast(Outcome, outcome),
        before=fields.object_or_none("before"),
        after=fields.object_or_none("after"),
    )


def _content(sequence: int, side: str, draft: Draft, previous: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "sequence": sequence,
        "side": side,
        "at": moment_text(draft.at),
        "actor": draft.actor,
        "action": draft.action,
        "kind": draft.kind,
        "outcome": draft.outcome,
        "what": draft.what,
        "token": draft.token,
        "before": None if draft.before is None else dict(draft.before),
        "after": None if draft.after is None else dict(draft.after),
        "previous": previous,
    }
