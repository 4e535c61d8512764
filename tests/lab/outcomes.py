"""How a command ends that went wrong, or right: what the tests of bad input and bad luck ask."""

from __future__ import annotations

import re
from typing import Any

from farshore.lab.settings import PERFECT
from tests.lab.farshore_cli import Ended, Farshore


def some(count: int = 20) -> dict[str, list[bytes | None]]:
    """Histories of up to three versions, some with a marker on top."""
    made: dict[str, list[bytes | None]] = {}
    for i in range(count):
        key = f"some/{i % 4}/file-{i:04}.txt"
        made[key] = [f"{key} version {n}\n".encode() * (1 + i % 9) for n in range(1 + i % 3)]
        if i % 5 == 4:
            made[key].append(None)
    return made


def refused(ended: Ended, code: int, message: str, hint: str) -> dict[str, Any]:
    """Assert how a `--json` command ended: one document, nothing else on standard output."""
    assert ended.code == code, ended
    error = ended.error
    assert error["exit_code"] == code
    assert re.search(message, error["message"]), error
    assert re.search(hint, error["hint"]), error
    assert "Traceback" not in ended.stderr
    return error


def require_replicated(farshore: Farshore) -> None:
    """The last word of every test with data: nothing lost, nothing doubled."""
    farshore.lab.link("west", PERFECT)
    again = farshore.json("backfill")
    assert again["not_copied"] == {}
    assert farshore.histories("west") == farshore.histories("east")
    assert farshore.json("verify", "--deep")["agree"] is True
