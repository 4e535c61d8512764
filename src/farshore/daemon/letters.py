"""Addresses that a person must open, and that nobody else may see: kept in a file of our own."""

from __future__ import annotations

import os
from pathlib import Path

from farshore.errors import StateError
from farshore.journal.statefile import OWNER_ALONE

ADDRESS_FILE = "sns-subscribe-url"


def keep_address(folder: Path, address: str) -> Path:
    """Write it for the owner's eyes alone, in place of the one before. `StateError`."""
    path = folder / ADDRESS_FILE
    try:
        folder.mkdir(mode=OWNER_ALONE, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            os.fchmod(handle, 0o600)  # of one that was there before, too
            file.write(f"{address}\n")
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Free some space, or mend the rights of that folder.",
        ) from error
    return path
