"""The endpoint file, read again when it has changed: one stat for each question.

The `file` driver of the switch replaces the file in one step when it is flipped.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from farshore.core.whereabouts import FILE_BYTES_MAX, Whereabouts, read
from farshore.errors import ConfigError

ENDPOINT_FILE = "FARSHORE_ENDPOINT_FILE"
"""The environment variable that names the file, where the caller does not."""

_Mark = tuple[int, int, int]
"""Modification time in ns, inode, size: a file that was replaced differs in one of them."""


class EndpointFile:
    """One endpoint file. Safe to share between threads.

    A file that goes away, or cannot be understood, after it was read once keeps its last
    answer: an application must not fall over because of a deploy. `trouble` says why then.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.trouble = ""
        self._lock = threading.Lock()
        self._mark: _Mark | None = None
        self._last: Whereabouts | None = None

    def now(self) -> Whereabouts:
        """What the file says. `ConfigError` when it has never said anything."""
        try:
            mark = self._stat()
            if mark != self._mark:
                self._read(mark)
        except (OSError, ValueError) as error:
            self.trouble = (
                error.strerror or str(error) if isinstance(error, OSError) else str(error)
            )
        if self._last is None:
            raise ConfigError(
                f"The endpoint file {self.path} cannot be used: {self.trouble}.",
                hint='A driver of kind "file" in [switch] writes it: see `farshore switch show`.',
            )
        return self._last

    def _stat(self) -> _Mark:
        found = os.stat(self.path)
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self, mark: _Mark) -> None:
        with self._lock:
            with self.path.open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
            self._mark = mark  # a file that is wrong is not read again until it changes
            self._last, self.trouble = read(data), ""


def endpoint(path: str | os.PathLike[str] | None = None) -> Whereabouts:
    """Where clients should go now: site, endpoint, epoch.

    `path`: the endpoint file; without it the one that FARSHORE_ENDPOINT_FILE names.
    `ConfigError` when there is none, or it cannot be understood. To ask often, keep an
    `EndpointFile`.
    """
    return EndpointFile(named(path)).now()


def named(path: str | os.PathLike[str] | None) -> Path:
    """The path, or the one of the environment. `ConfigError` where there is neither."""
    chosen = path or os.environ.get(ENDPOINT_FILE)
    if not chosen:
        raise ConfigError(
            "No endpoint file is named.",
            hint=f'Pass its path, or set {ENDPOINT_FILE}; a driver of kind "file" writes it.',
        )
    return Path(chosen)
