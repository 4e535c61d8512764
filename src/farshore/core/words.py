"""Numbers and times in sentences: "1 key", "1,203 versions", "3 min 20 s". Pure text."""

from __future__ import annotations

from datetime import UTC, datetime


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what it counts. `many` where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def at_text(seconds: float) -> str:
    """A moment for people: "2026-05-01 14:02:11.4 UTC"."""
    moment = datetime.fromtimestamp(int(seconds * 10) / 10, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 100_000} UTC"


def duration_text(seconds: float) -> str:
    """Seconds for people: "0.4 s", "42 s", "3 min 20 s", "2 h 5 min", "8 d 3 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, below, smaller in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {smaller}"
    return f"{whole} s"


_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
