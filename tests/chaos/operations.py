"""What the clients do, as data drawn from a seed: the same seed is the same operations.

A key belongs to one client, so that its order is known; but for those that are fought over.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["put", "again", "large", "multipart", "delete", "tag", "purge"]
Ground = Literal["own", "shared", "purged"]

MIX: dict[Ground, tuple[Kind, ...]] = {
    "own": (
        *("put",) * 26, "again", "again", "large", "large", "multipart",
        *("delete",) * 6, *("tag",) * 3,
    ),
    "shared": (*("put",) * 8, "delete", "again"),
    "purged": (*("put",) * 6, "delete", "again", *("purge",) * 3),
}  # fmt: skip
"""`own`: of one client. `shared`: several write at once. `purged`: versions are taken away."""

KEYS: dict[Ground, int] = {"own": 10, "shared": 4, "purged": 5}
CLIENTS: tuple[Ground, ...] = ("own", "own", "own", "shared", "shared", "purged")
"""Each a client, by its ground."""

NAMES = ("a", "b/c", "b-c", "ü ä", "d+e&f", "g%20h", "b/c/d", "i", "k", "l")
"""Ends of keys: neighbours that listings mix up, and some that want to be encoded."""

PAUSE_MEAN_S = 0.6
PAUSE_MAX_S = 3.0
VERSIONS_MAX = 150
"""A key is left for a new one after so many operations: its history fits into one page."""

SMALL_BYTES_MAX = 4096
LARGE_BYTES = (200_000, 1_500_000)
PART_BYTES = 5 << 20
"""S3's least part size but for the last part."""


class Operation(NamedTuple):
    """One thing that a client does after `pause` seconds. `size` in bytes; `amount`: what the
    kind makes of it."""

    pause: float
    kind: Kind
    key: str
    size: int
    amount: int


def operations(seed: int, number: int, versions_max: int = VERSIONS_MAX) -> Iterator[Operation]:
    """Without end: all that the client of this number does."""
    ground = CLIENTS[number]
    rng = random.Random(f"{seed} client {number}")
    folder = f"{ground}/{number}" if ground == "own" else ground
    done = Counter[str]()
    while True:
        name = NAMES[rng.randrange(KEYS[ground])]
        kind = rng.choice(MIX[ground])
        pause = min(rng.expovariate(1 / PAUSE_MEAN_S), PAUSE_MAX_S)
        size, amount = _size(rng, kind), rng.randrange(10**6)
        generation = done[name] // versions_max
        done[name] += 1
        yield Operation(pause, kind, f"{folder}/{generation}/{name}", size, amount)


def _size(rng: random.Random, kind: Kind) -> int:
    match kind:
        case "put" | "again":
            return rng.randrange(SMALL_BYTES_MAX)
        case "large":
            return rng.randint(*LARGE_BYTES)
        case "multipart":
            return PART_BYTES + rng.randrange(1, SMALL_BYTES_MAX)
        case _:
            return 0


def body(seed: int, number: int, size: int) -> bytes:
    """Bytes that no other operation of the run has: its number stands in front."""
    head = b"%d %d\n" % (seed, number)
    return head + random.Random(number).randbytes(max(0, size - len(head)))
