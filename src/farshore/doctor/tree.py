"""A code tree, read file by file within bounds, for endpoints that are written into it."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farshore.config import Config
from farshore.core.hardcoded import Hit, Known, hits, known_of
from farshore.errors import UsageError

FILE_BYTES_MAX = 2 << 20
FILES_MAX = 100_000
HITS_MAX = 2_000

SKIPPED = frozenset(
    {".git", ".hg", ".svn", ".tox", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache"}
)
"""Folders of tools, and of other people's code. Name one as PATH and it is read."""

BINARY_LOOK_BYTES = 8192
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(slots=True)
class Scanned:
    """`found`: hits by path as it was named. `unread`: paths that could not be read, and why;
    `cut`: a bound was reached, and there is more."""

    found: dict[str, list[Hit]] = field(default_factory=dict)
    files: int = 0
    large: list[str] = field(default_factory=list)
    binaries: int = 0
    unread: list[str] = field(default_factory=list)
    cut: bool = False

    @property
    def count(self) -> int:
        return sum(len(found) for found in self.found.values())


def known_to(config: Config) -> Known:
    """The hosts of the sites, as the sites and the switch's drivers have them."""
    urls = [(name, site.endpoint) for name, site in config.sites.items()]
    for source in config.switch.drivers:
        record = getattr(source, "record", source)
        values = getattr(record, "values", {})
        urls += [(site, value) for site, value in values.items() if value not in config.sites]
    return known_of(urls, [config.switch.endpoint])


def scan(paths: Sequence[Path], known: Known, *, leave_out: Path | None = None) -> Scanned:
    """Read every file below `paths`. `leave_out`: the one file where endpoints belong.

    `UsageError` for a path that is not there.
    """
    scanned = Scanned()
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no {path}.", hint="Name files or folders that exist.")
        for file in _files(path, scanned):
            if leave_out is not None and file.resolve() == leave_out.resolve():
                continue
            if scanned.files >= FILES_MAX or scanned.count >= HITS_MAX:
                scanned.cut = True
                return scanned
            _read(file, known, scanned)
    return scanned


def _files(path: Path, scanned: Scanned) -> Iterator[Path]:
    """In a fixed order. Links are not followed: what they lead to is read where it stands."""
    if not path.is_dir():
        yield path
        return

    def failed(error: OSError) -> None:
        scanned.unread.append(f"{error.filename}: {error.strerror}")

    for folder, inner, names in os.walk(path, onerror=failed):
        inner[:] = sorted(name for name in inner if name not in SKIPPED)
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file


def _read(file: Path, known: Known, scanned: Scanned) -> None:
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        scanned.unread.append(f"{file}: {error.strerror}")
        return
    if len(data) > FILE_BYTES_MAX:
        scanned.large.append(str(file))
        return
    text = _text(data)
    if text is None:
        scanned.binaries += 1
        return
    scanned.files += 1
    if found := list(hits(text, known)):
        scanned.found[str(file)] = found


def _text(data: bytes) -> str | None:
    """None for what is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    return None if b"\0" in data[:BINARY_LOOK_BYTES] else data.decode("utf-8", errors="replace")
