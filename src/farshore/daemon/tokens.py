"""The tokens of those who may ask the API or send events: read at every request.

A file can hold two while one replaces the other, and is read anew each time, so that a token
is replaced, or taken back, without a restart. The variables of a running program cannot be
changed by others: what stands in one holds until the end.
"""

from __future__ import annotations

import codecs
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from farshore.errors import StateError
from farshore.journal.statefile import OWNER_ALONE

OWN_FILE = "api-token"

FILE_BYTES_MAX = 4096
"""A file of tokens that is longer is something else, and nobody's."""

Tokens = Callable[[], Sequence[str]]
"""Those that are valid now."""


def of_variable(name: str) -> Tokens:
    """The words of an environment variable."""
    return lambda: _words(os.environ.get(name, "").encode("utf-8", "surrogateescape"))


def of_file(path: Path) -> Tokens:
    """The words of a file as it is now, comments left out. One that cannot be read lets nobody
    in."""

    def read() -> Sequence[str]:
        try:
            with path.open("rb") as file:
                text = file.read(FILE_BYTES_MAX + 1)
        except OSError:
            return ()
        if len(text) > FILE_BYTES_MAX:
            return ()
        lines = text.removeprefix(codecs.BOM_UTF8).splitlines()
        return [word for line in lines for word in _words(line, comments=True)]

    return read


def _words(line: bytes, *, comments: bool = False) -> list[str]:
    """Split at ASCII blanks alone: to a piece of a token, such as stands before a byte that
    is a blank elsewhere, nobody may listen. A word that begins with "#" begins a comment, which
    would otherwise be a line of short tokens."""
    words = [word.decode("utf-8", "surrogateescape") for word in line.split()]
    return list(takewhile(lambda word: not (comments and word.startswith("#")), words))


def of_api(variable: str, file: Path | None, state_dir: Path) -> Tokens:
    """As configured; else our own file in the state folder, made when it is not there.

    `StateError` where there is no token to begin with.
    """
    if variable:
        tokens, where = of_variable(variable), f"The environment variable {variable}"
    else:
        own = file or _own(state_dir / OWN_FILE)
        tokens, where = of_file(own), f"The file {own}"
    if not tokens():
        raise StateError(
            f"{where} holds no API token.",
            hint="Write one there, such as `openssl rand -hex 32` prints, or leave [daemon] token "
            "out: then one is made.",
        )
    return tokens


def _own(path: Path) -> Path:
    """For its owner's eyes alone, and whole or not there: another daemon may begin beside us."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=OWNER_ALONE, parents=True, exist_ok=True)
            _make(path)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Free some space, mend the rights of that folder, or name a file of your own: "
            "[daemon] token.",
        ) from error
    return path


def _make(path: Path) -> None:
    """The first who links it is the one whose token it is."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            _link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _link(beside: Path, path: Path) -> None:
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: whoever is last
        os.replace(beside, path)
