"""Advisories as the OSV schema has them, and whether one is about a version.

The schema and how ranges are judged: https://ossf.github.io/osv-schema/ ("affected" and
"Evaluation"). Two layouts are read, both by their files alone: YAML below vulns/PACKAGE/, as
PyPA's advisory database has them, and the JSON that OSV exports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

ENTRY_BYTES_MAX = 8 << 20
"""The longest lists of versions have some hundred KiB."""

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
ECOSYSTEM = "PyPI"
_BEGINNING = "0"
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Damaged(Exception):
    """What is there cannot be believed, so nothing may pass by it. `args[0]` says why."""


class Affected(NamedTuple):
    """One package of an advisory. `ranges`: the events of each ECOSYSTEM range."""

    name: NormalizedName
    versions: frozenset[str]
    ranges: tuple[tuple[tuple[str, str], ...], ...]


class Advisory(NamedTuple):
    """`at`: when it was last changed."""

    name: str
    aliases: tuple[str, ...]
    summary: str
    at: datetime
    withdrawn: bool
    affected: tuple[Affected, ...]


def read_folder(folder: Path) -> list[Advisory]:
    """Every entry of a database. `Damaged` when there is none, or one cannot be read."""
    if not folder.is_dir():
        raise Damaged(f"{folder} is no folder")
    entries = folder / "vulns"
    top = entries if entries.is_dir() else folder
    files = sorted(path for path in top.rglob("*") if path.suffix in SUFFIXES)
    found = [read_file(path) for path in files if not _is_hidden(path.relative_to(top))]
    if not found:
        raise Damaged(f"{folder} holds no advisory: no .yaml and no .json file")
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_file(path: Path) -> Advisory:
    """`Damaged` for whatever is no advisory."""
    try:
        with path.open("rb") as file:
            data = file.read(ENTRY_BYTES_MAX + 1)
        if len(data) > ENTRY_BYTES_MAX:
            raise Damaged(f"{path} is longer than {ENTRY_BYTES_MAX} bytes")
        entry = json.loads(data) if path.suffix == ".json" else yaml.load(data, _Loader)
        return _advisory(entry)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{path} is no advisory ({type(error).__name__}: {error})") from None
    except yaml.YAMLError as error:
        raise Damaged(f"{path} is no YAML ({type(error).__name__})") from None


def _advisory(entry: Mapping[str, Any]) -> Advisory:
    affected = tuple(_affected(one) for one in entry["affected"])
    if not affected and not entry.get("withdrawn"):
        raise ValueError("it is about no package")
    return Advisory(
        str(entry["id"]),
        tuple(map(str, entry.get("aliases") or ())),
        " ".join(str(entry.get("summary") or entry.get("details") or "").split()),
        _moment(entry["modified"]),
        bool(entry.get("withdrawn")),
        tuple(one for one in affected if one is not None),
    )


def _affected(one: Mapping[str, Any]) -> Affected | None:
    """None for another ecosystem."""
    if one["package"]["ecosystem"].partition(":")[0] != ECOSYSTEM:
        return None
    ranges = [r for r in one.get("ranges") or () if r["type"] != "GIT"]
    return Affected(
        canonicalize_name(one["package"]["name"]),
        frozenset(map(str, one.get("versions") or ())),
        tuple(_events(r["events"]) for r in ranges),
    )


def _events(events: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    found = tuple((str(kind), str(version)) for event in events for kind, version in event.items())
    if not any(kind == "introduced" for kind, _ in found):
        raise ValueError("a range without a beginning")
    return found


def _moment(said: object) -> datetime:
    """YAML gives a time as such, JSON as text."""
    moment = said if isinstance(said, datetime) else datetime.fromisoformat(str(said))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def concerns(advisory: Advisory, name: NormalizedName, version: str) -> bool:
    """Whether this version is affected, or that cannot be told."""
    if advisory.withdrawn:
        return False
    return any(_is_hit(one, version) for one in advisory.affected if one.name == name)


def _is_hit(one: Affected, version: str) -> bool:
    """One that names neither versions nor ranges of them may mean any."""
    if not one.versions and not one.ranges:
        return True
    if any(_is_same(version, other) for other in one.versions):
        return True
    try:
        return any(_is_within(Version(version), events) for events in one.ranges)
    except InvalidVersion:
        return True


def _is_same(version: str, other: str) -> bool:
    try:
        return Version(version) == Version(other)
    except InvalidVersion:
        return version == other


def _is_within(version: Version, events: Sequence[tuple[str, str]]) -> bool:
    """OSV's evaluation: events in order of their versions, the last one that applies decides."""
    inside = False
    for at, kind in sorted((_order(text), kind) for kind, text in events if kind != "limit"):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    limits = [text for kind, text in events if kind == "limit" and text != "*"]
    return inside and (not limits or any(version < Version(text) for text in limits))


def _order(text: str) -> Version:
    """ "0" is before every version, pre-releases of 0 as well."""
    return Version("0.dev0") if text == _BEGINNING else Version(text)


def fixes(advisory: Advisory, name: NormalizedName) -> Iterator[str]:
    """The versions in which it is mended."""
    for one in advisory.affected:
        if one.name == name:
            yield from (text for events in one.ranges for kind, text in events if kind == "fixed")
