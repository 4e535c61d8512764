"""The map file that HAProxy reads when it starts: written in one step, or not at all.

A reload reads the file again and forgets what the runtime API said, so the file is always
written first. Lines that are not ours stay as they are, and so do owner and mode.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from farshore.switch.driver import SwitchError, SwitchUnknown

ACTIVE = "active"
"""The key whose value is the site that clients go to."""

FROZEN_UNTIL = "frozen-until"
"""Writes are refused until then: Unix milliseconds, by the proxy's clock. 0: not frozen."""

RETRY_AFTER_MS = "retry-after-ms"
"""What a refused write is told to wait."""

MAP_MODE = 0o644
MAP_BYTES_MAX = 1024 * 1024
"""A map is read, and written again, as a whole."""


class MapFile:
    """One map file on this machine. Every method blocks on the disk."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def read(self) -> dict[str, tuple[str, ...]]:
        """Key to its values, as HAProxy reads them; empty when the file is gone."""
        found: dict[str, tuple[str, ...]] = {}
        for line in self._lines():
            key, value = _entry(line)
            if key:
                found[key] = (*found.get(key, ()), value)
        return found

    def exists(self) -> bool:
        return self.path.exists()

    def draft(self, entries: Mapping[str, str]) -> Draft | None:
        """A new file beside the old one, with these entries; None when it would be the same.

        `SwitchError` when it cannot be written; then nothing is left behind.
        """
        old = self._lines()
        new = _changed(old, entries)
        if old == new and self.exists():
            return None
        return Draft(self.path, "".join(f"{line}\n" for line in new))

    def _lines(self) -> list[str]:
        try:
            with self.path.open("rb") as opened:
                data = opened.read(MAP_BYTES_MAX + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self.path, "read", error) from error
        if len(data) > MAP_BYTES_MAX:  # what was not read would not be written again
            raise SwitchError(
                f"map file {self.path} is larger than {MAP_BYTES_MAX} bytes",
                hint="Give this switch a map file of its own: two lines are all that it needs.",
            )
        return data.decode(errors="surrogateescape").removesuffix("\n").split("\n") if data else []


class Draft:
    """A new map file, on the disk already under another name."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        try:
            self._write(text.encode(errors="surrogateescape"))
        except OSError as error:
            self.drop()
            raise _unusable(path, "written", error) from error

    def _write(self, body: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(self._draft, flags, MAP_MODE), "wb") as out:
            _dress(out.fileno(), self._path)
            out.write(body)
            out.flush()
            os.fsync(out.fileno())

    def put(self) -> None:
        """It is the map file from now on, also after a power cut. `SwitchError`: it is not;
        `SwitchUnknown`: it is, and might not be after a power cut."""
        try:
            self._draft.replace(self._path)
        except OSError as error:
            self.drop()
            raise _unusable(self._path, "written", error) from error
        try:
            _sync_folder(self._path.parent)
        except OSError as error:
            raise SwitchUnknown(
                f"map file {self._path} is not safe on the disk: {error}"
            ) from error

    def drop(self) -> None:
        """Take it away again. Dropped or put before is no error."""
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


def _dress(handle: int, like: Path) -> None:
    """Mode and owner of the old file, as far as there is one and the system allows it."""
    try:
        old = like.stat()
    except FileNotFoundError:
        os.fchmod(handle, MAP_MODE)
        return
    os.fchmod(handle, old.st_mode & 0o777)
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):  # only root gives files away; HAProxy needs to read it
            os.fchown(handle, old.st_uid, old.st_gid)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _entry(line: str) -> tuple[str, str]:
    """(key, value) of a line; ("", "") of a comment or an empty one."""
    words = line.split(None, 1)
    if not words or words[0].startswith("#"):
        return "", ""
    return words[0], words[1].strip() if len(words) > 1 else ""


def _changed(lines: list[str], entries: Mapping[str, str]) -> list[str]:
    """The lines with each key once and with its new value, at its old place or at the end."""
    left = dict(entries)
    new = []
    for line in lines:
        key, _ = _entry(line)
        if key not in entries:
            new.append(line)
        elif key in left:
            new.append(f"{key} {left.pop(key)}")
    return new + [f"{key} {value}" for key, value in left.items()]


def _unusable(path: Path, what: str, error: OSError) -> SwitchError:
    return SwitchError(
        f"map file {path} cannot be {what}: {error.strerror}",
        hint="Let the user who runs farshore write to its folder, or mark the proxy with "
        "`remote = true` if the file is on another machine.",
    )
