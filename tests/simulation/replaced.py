"""Parts of the product that a run replaces while it lasts, so that a seed repeats it."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from farshore.s3 import wrap

Place = tuple[Any, str, Any]
"""(module or class, name, what stands there instead)."""


class _Dice:
    """`random`, as far as `s3.wrap` uses it: jitter that a seed repeats."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def Random(self) -> random.Random:
        return random.Random(self._rng.random())


def by_seed(rng: random.Random) -> list[Place]:
    """What would be chance of its own: the jitter of stores that try again, and tokens."""

    def token_hex(size: int = 8) -> str:
        return rng.randbytes(size).hex()

    return [(wrap, "random", _Dice(rng)), (secrets, "token_hex", token_hex)]


@contextmanager
def replaced(places: Sequence[Place]) -> Iterator[None]:
    """Within, it is so; afterwards, all is as it was."""
    before = [getattr(place, name) for place, name, _ in places]
    for place, name, instead in places:
        setattr(place, name, instead)
    try:
        yield
    finally:
        for (place, name, _), was in zip(places, before, strict=True):
            setattr(place, name, was)
