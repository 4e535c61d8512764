"""Numbers in sentences: "1 key", "1,203 versions". Pure text."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what it counts. `many` where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
