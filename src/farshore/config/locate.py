"""Which line of a TOML file says what: `tomllib` gives values, not lines.

The file has been parsed already, so every statement is sound. `tomllib` itself tells
where a statement ends: lines are added until the statement parses.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

Path = tuple[str | int, ...]

STATEMENT_LINES_MAX = 2_000
"""A single value over more lines than this is not looked through: its first line is enough."""

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = rf"\s*(?P<key>{_PART}(?:\s*\.\s*{_PART})*)\s*"
_HEADER = re.compile(rf"\s*(?P<open>\[\[?){_KEY}\]")
_ASSIGNMENT = re.compile(rf"{_KEY}=")


class Lines:
    """Line numbers (from 1) of every table header and key of one TOML text."""

    def __init__(self, text: str) -> None:
        self._first: dict[Path, int] = {}
        for line, path in _statements(text):
            for length in range(1, len(path) + 1):
                self._first.setdefault(path[:length], line)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest table around it; 0 when there is none."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._first:
                return self._first[path[:length]]
        return 0


def _statements(text: str) -> Iterator[tuple[int, Path]]:
    lines = text.splitlines()
    counts: dict[Path, int] = {}
    table: Path = ()
    at = 0
    while at < len(lines):
        if header := _HEADER.match(lines[at]):
            table = _table(_parts(header["key"]), len(header["open"]) == 2, counts)
            yield at + 1, table
            at += 1
        elif found := _ASSIGNMENT.match(lines[at]):
            yield at + 1, table + _parts(found["key"])
            at += _length(lines[at : at + STATEMENT_LINES_MAX])
        else:
            at += 1


def _table(parts: Path, is_array: bool, counts: dict[Path, int]) -> Path:
    """The full path of a header: a name that is an array of tables gets its last index."""
    path: Path = ()
    for part in parts[:-1]:
        path = _indexed((*path, part), counts)
    path = (*path, parts[-1])
    if is_array:
        counts[path] = counts.get(path, -1) + 1
    return _indexed(path, counts)


def _indexed(path: Path, counts: dict[Path, int]) -> Path:
    return (*path, counts[path]) if path in counts else path


def _parts(key: str) -> Path:
    """ "a."b.c"" to ("a", "b.c"), as TOML reads it."""
    value: object = tomllib.loads(f"{key}=0")
    parts: list[str] = []
    while isinstance(value, dict):
        ((name, value),) = value.items()
        parts.append(name)
    return tuple(parts)


def _length(lines: list[str]) -> int:
    """How many lines the statement at the start of `lines` takes."""
    for count in range(1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        return count
    return 1
