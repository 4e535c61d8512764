"""JSON documents as the core reads and writes them: typed fields, times, digests.

Times are Unix seconds in values and ISO 8601 UTC text with milliseconds in documents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from farshore.errors import Corrupt

MILLISECONDS = 1000


def moment_text(seconds: float) -> str:
    """ISO 8601 UTC with milliseconds, rounded: what was read is written again as it was."""
    whole = round(seconds * MILLISECONDS)
    moment = datetime.fromtimestamp(whole // MILLISECONDS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{whole % MILLISECONDS:03d}Z"


def digest_of(body: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a body without its own `digest`, whatever the order of its fields."""
    content = {name: value for name, value in body.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Fields:
    """The fields of one JSON object. Every answer is of the type asked for, or `Corrupt`.

    `what` names the document in messages.
    """

    def __init__(self, body: object, what: str) -> None:
        self._what = what
        if not isinstance(body, dict):
            raise self.wrong("it is no object")
        self._body: dict[str, Any] = body

    def wrong(self, why: str) -> Corrupt:
        """The error to raise for a content that cannot be."""
        return Corrupt(f"{self._what} cannot be understood: {why}.")

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if not isinstance(value, str):
            raise self.wrong(f"{name} is no text")
        return value

    def number(self, name: str, *, least: int = 0) -> int:
        value = self._body.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(f"{name} is no number from {least}")
        return value

    def decimal(self, name: str) -> float:
        value = self._body.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            raise self.wrong(f"{name} is no number")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        if not isinstance(value, bool):
            raise self.wrong(f"{name} is neither true nor false")
        return value

    def words(self, name: str) -> list[str]:
        """The texts in the list under this name."""
        value = self._body.get(name)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.wrong(f"{name} is no list of texts")
        return value

    def texts(self, name: str) -> dict[str, str]:
        """The texts by name under this name."""
        value = self._body.get(name)
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.wrong(f"{name} is no table of texts")
        return value

    def moment(self, name: str) -> float:
        """Unix seconds."""
        try:
            return datetime.fromisoformat(self.text(name)).timestamp()
        except (ValueError, OverflowError, OSError):
            raise self.wrong(f"{name} is no time") from None

    def within(self, name: str) -> Fields:
        """The object under this name."""
        return Fields(self._body.get(name), f"{self._what}, {name}")

    def has(self, name: str) -> bool:
        """Whether something other than null stands there."""
        return self._body.get(name) is not None

    def items(self, name: str) -> Iterator[Fields]:
        """The objects in the list under this name."""
        value = self._body.get(name)
        if not isinstance(value, list):
            raise self.wrong(f"{name} is no list")
        for number, item in enumerate(value, 1):
            yield Fields(item, f"{self._what}, {name} {number}")

    def object_or_none(self, name: str) -> dict[str, Any] | None:
        """The object under this name as it is; None for null."""
        value = self._body.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(f"{name} is no object")
        return value

    def require_digest(self) -> None:
        """`Corrupt` unless `digest` is that of the rest."""
        if self.text("digest") != digest_of(self._body):
            raise self.wrong("it was changed: its digest is that of something else")
