"""Something that is done in a run, and when."""

from __future__ import annotations

from typing import NamedTuple

BUCKET = "files"
"""The bucket that every run has."""


class Step(NamedTuple):
    """Something that is done at `at` seconds. `kind`: of its story; `key`: of a file, or the name
    of a site; `amount`: what the kind makes of it."""

    at: float
    kind: str
    key: str
    amount: int
    bucket: str = BUCKET
