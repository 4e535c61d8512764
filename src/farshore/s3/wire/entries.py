"""The fast reader of a page's <Version> and <DeleteMarker> entries.

Servers differ in the order of fields and in which they send, but each writes its own
entries from one template. So the template is learnt from a few entries of the page and
becomes one regular expression, which must then consume *every* entry, each adjacent to
the one before (save white space). What lies outside the entries is read by the XML parser,
with a placeholder where they were. Anything else (another order, an attribute, a comment, a
character reference that is not among the usual ones, a text that XML forbids) makes
`scan` answer None, and the caller reads the page with the XML parser alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from farshore.errors import Corrupt
from farshore.s3 import xml

KINDS = ("Version", "DeleteMarker")
FIELDS = ("Key", "VersionId", "IsLatest", "ETag", "Size", "LastModified", "StorageClass")
MARKER_FIELDS = ("Key", "VersionId", "IsLatest", "LastModified")
REQUIRED = frozenset({"Key", "VersionId", "IsLatest", "LastModified", "Size"})

Row = tuple[str, ...]
"""(kind, key, version id, "true" or "false", etag, size, modified, storage class), as text."""

LEARNINGS_MAX = 8
"""How often a page is read to widen its template before it counts as irregular."""

NAMES_MAX = 32
"""A template of more fields than this is irregular."""

TEMPLATES_CACHED_MAX = 64

_PLACEHOLDER = "Entries"
_BLANK = r"[ \t\r\n]*+"
_TEXT = r"[^<>&\x00-\x08\x0b-\x1f]*+"
_ESCAPES = {
    "amp": "&",
    "lt": "<",
    "gt": ">",
    "quot": '"',
    "apos": "'",
    "#9": "\t",
    "#10": "\n",
    "#13": "\r",
    "#34": '"',
    "#38": "&",
    "#39": "'",
    "#60": "<",
    "#62": ">",
    "#x9": "\t",
    "#xA": "\n",
    "#xD": "\r",
    "#x22": '"',
    "#x26": "&",
    "#x27": "'",
    "#x3C": "<",
    "#x3E": ">",
}
"""The character references that servers write. Others are legal, and read the slow way."""

_REFERENCE = f"&({'|'.join(map(re.escape, _ESCAPES))});"
_ESCAPED = f"{_TEXT}(?:{_REFERENCE.replace('(', '(?:', 1)}{_TEXT})*+"
_QUOTE = '(?:&quot;|&#34;|")?+'
_VALUES = {
    "Key": f"((?!<){_ESCAPED})",
    "VersionId": f"((?!<){_TEXT})",
    "IsLatest": "(true|false)",
    "ETag": rf'{_QUOTE}([^<>&"\x00-\x1f]*+){_QUOTE}',
    "Size": "([0-9]{1,19})",
    "LastModified": f"({_TEXT})",
    "StorageClass": f"({_TEXT})",
}
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding=[\"']([A-Za-z0-9._-]+)[\"']").search
_ASCII_LIKE = frozenset({b"utf-8", b"us-ascii"})

Template = tuple[tuple[str, tuple[str, ...]], ...]
"""Fields in their order, each with the names of its children (none for a leaf)."""

Shapes = dict[str, tuple[Template, ...]]
"""For each kind, the different sequences of fields that its entries were seen to have."""

_ENTRY = re.compile(
    rf"{_BLANK}(<(?:Version|DeleteMarker)>.*?</(?:Version|DeleteMarker)>)", re.DOTALL
).match


class Scanned(NamedTuple):
    """`frame` is the root without its entries; keys in `rows` still have XML references."""

    frame: xml.Element
    rows: list[Row]


class _Reader(NamedTuple):
    """A compiled template. A match's groups: [0] all of it, then what the pickers pick."""

    find_all: Callable[[str], list[Row]]
    is_version: Callable[[Row], str]
    pick_version: Callable[[Row], Row]
    pick_marker: Callable[[Row], Row]


def scan(body: bytes) -> Scanned | None:
    """The page's frame and rows, or None when the page is not regular through and through."""
    span = _span(body)
    if span is None:
        return None
    start, end = span
    try:
        text = body[start:end].decode()
        frame = xml.read(b"%b<%b/>%b" % (body[:start], _PLACEHOLDER.encode(), body[end:]))
    except (UnicodeDecodeError, Corrupt):
        return None
    names = [child.name for child in frame.children]
    if names.count(_PLACEHOLDER) != 1 or not frozenset(KINDS).isdisjoint(names):
        return None
    if not text.isascii() and ("\ufffe" in text or "\uffff" in text):
        return None
    rows = _rows(text)
    return None if rows is None else Scanned(frame, rows)


def unescape(text: str) -> str:
    """Resolve the references that a scanned key may hold."""
    return _resolve(_replacement, text) if "&" in text else text


_resolve = re.compile(_REFERENCE).sub


def _replacement(match: re.Match[str]) -> str:
    return _ESCAPES[match[1]]


def _span(body: bytes) -> tuple[int, int] | None:
    """From the first entry's first byte to the last one's end."""
    starts = [at for kind in KINDS if (at := body.find(b"<%b>" % kind.encode())) >= 0]
    ends = [
        at + len(kind) + 3 for kind in KINDS if (at := body.rfind(b"</%b>" % kind.encode())) >= 0
    ]
    if not starts or not ends or len(body) > xml.BODY_BYTES_MAX:
        return None
    start, end = min(starts), max(ends)
    declared = _DECLARED(body, 0, start)
    if end <= start or (declared and declared[1].lower() not in _ASCII_LIKE):
        return None
    return start, end


def _rows(text: str) -> list[Row] | None:
    """Learn, read, and learn again where the reading stopped; None when it leads nowhere."""
    shapes = _learnt(dict.fromkeys(KINDS, ()), text, _samples(text))
    for _ in range(LEARNINGS_MAX):
        if shapes is None:
            return None
        version_template, marker_template = (_template(shapes[kind]) for kind in KINDS)
        if version_template is None or marker_template is None:
            return None
        reader = _reader(version_template, marker_template)
        found = reader.find_all(text)
        if sum(map(len, map(itemgetter(0), found))) == len(text):
            _, is_version, version, marker = reader
            return [version(row) if is_version(row) else marker(row) for row in found]
        more = _learnt(shapes, text, [_gap(text, found)])
        shapes = more if more != shapes else None
    return None


def _samples(text: str) -> list[int]:
    """Where to learn: the first, a middle and the last entry of each kind."""
    places = set()
    for kind in KINDS:
        opening = f"<{kind}>"
        middle = text.find(opening, len(text) // 2)
        places |= {text.find(opening), middle, text.rfind(opening)}
    return sorted(place for place in places if place >= 0)


def _gap(text: str, found: list[Row]) -> int:
    """Where the first stretch begins that no match consumed."""
    place = 0
    for row in found:
        if not text.startswith(row[0], place):
            break
        place += len(row[0])
    return place


def _learnt(shapes: Shapes, text: str, places: list[int]) -> Shapes | None:
    """The shapes seen so far, and those of the entries at these places."""
    learnt = dict(shapes)
    for place in places:
        entry = _entry_at(text, place)
        if entry is None:
            return None
        shape = _shape(entry)
        if shape not in learnt[entry.name]:
            learnt[entry.name] += (shape,)
    return learnt


def _entry_at(text: str, place: int) -> xml.Element | None:
    match = _ENTRY(text, place)
    try:
        return xml.read(match[1].encode()) if match else None
    except Corrupt:
        return None


def _shape(entry: xml.Element) -> Template:
    return tuple(
        (child.name, tuple([grandchild.name for grandchild in child.children]))
        for child in entry.children
    )


@lru_cache(maxsize=TEMPLATES_CACHED_MAX)
def _template(shapes: tuple[Template, ...]) -> Template | None:
    """One order that suits all of these shapes; None when they contradict each other."""
    order = _order([[name for name, _ in shape] for shape in shapes])
    if order is None:
        return None
    fields: list[tuple[str, tuple[str, ...]]] = []
    for name in order:
        inner = _order([children for shape in shapes for n, children in shape if n == name])
        if inner is None:
            return None
        fields.append((name, inner))
    return tuple(fields)


def _order(sequences: Sequence[Sequence[str]]) -> tuple[str, ...] | None:
    """An order of all names that keeps the order of each sequence. Where none says which of
    two comes first it is a guess; an entry that has both is a gap then, and settles it."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for names in sequences:
        for name in names:
            sorter.add(name)
        for before, after in pairwise(names):
            if before != after:
                sorter.add(after, before)
    try:
        order = tuple(sorter.static_order())
    except CycleError:
        return None
    return order if len(order) <= NAMES_MAX else None


@lru_cache(maxsize=TEMPLATES_CACHED_MAX)
def _reader(version: Template, marker: Template) -> _Reader:
    """One expression for both kinds; a last, empty group stands for fields that are not there."""
    places: dict[tuple[str, str], int] = {}
    texts = [
        _entry_pattern("Version", version, FIELDS, places),
        _entry_pattern("DeleteMarker", marker, MARKER_FIELDS, places),
    ]
    pattern = re.compile(f"({_BLANK}(?:{'|'.join(texts)}))()")
    last = pattern.groups - 1
    pick_version, pick_marker = (
        itemgetter(*[places.get((kind, field), last) for field in ("", *FIELDS)]) for kind in KINDS
    )
    is_version = itemgetter(places["Version", ""])
    return _Reader(pattern.findall, is_version, pick_version, pick_marker)


def _entry_pattern(
    kind: str, template: Template, wanted: Sequence[str], places: dict[tuple[str, str], int]
) -> str:
    """The expression of one kind; numbers its groups in `places`, the kind itself as ""."""
    places[kind, ""] = len(places) + 1
    parts = [f"<({kind})>"]
    for name, children in template:
        if name in wanted:
            places[kind, name] = len(places) + 1
            parts.append(_wanted_pattern(name))
        else:
            parts.append(_ignored_pattern(name, children))
    return _BLANK.join([*parts, f"</{kind}>"])


def _wanted_pattern(name: str) -> str:
    full = f"<{name}>{_VALUES[name]}</{name}>"
    return full if name in REQUIRED else f"(?:{full}|<{name}/>)?+"


def _ignored_pattern(name: str, children: tuple[str, ...]) -> str:
    tag = re.escape(name)
    inner = [_ignored_pattern(child, ()) for child in children]
    content = _BLANK.join(["", *inner, ""]) if inner else _ESCAPED
    return f"(?:<{tag}>{content}</{tag}>|<{tag}/>)*+"
