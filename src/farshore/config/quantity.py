"""Amounts as people write them: "200 MiB", "7d". Pure text to numbers."""

from __future__ import annotations

import re

_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def size_bytes(text: str) -> int:
    """ "200 MiB" to bytes. Units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB. `ValueError` else."""
    number, unit = _split(text)
    if number is None or unit.lower() not in _BYTES:
        raise ValueError('write a whole number of bytes, or text such as "200 MiB" or "1.5 GB"')
    return round(number * _BYTES[unit.lower()])


def duration_seconds(text: str) -> float:
    """ "7d" or "90 m" to seconds. Units: s, m, h, d, w. `ValueError` for anything else."""
    number, unit = _split(text)
    if number is None or unit not in _SECONDS:
        raise ValueError('write a number and a unit, such as "30m", "12h" or "7d"')
    return number * _SECONDS[unit]


def size_text(count: int) -> str:
    """Bytes for people: 209715200 to "200 MiB"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count >= _BYTES[unit.lower()]:
            return f"{count / _BYTES[unit.lower()]:.4g} {unit}"
    return f"{count} B"


def _split(text: str) -> tuple[float | None, str]:
    match = _AMOUNT.fullmatch(text)
    return (float(match[1]), match[2]) if match else (None, "")
