"""Everything that can be wrong on a target, done on purpose, in two stores in memory.

The source holds, oldest to newest: k: one, two, three; m: one, a marker, two. All of it
has been copied when a tamperer is called.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from farshore.core.difference import Kind
from farshore.core.model import NO_ATTRIBUTES, Attributes, Lock
from farshore.core.stamp import STAMP_NAME
from farshore.testing.store.memory import Held
from tests.unit.pairs import BUCKET, Pair

RETAINED = Lock("GOVERNANCE", "2100-01-01T00:00:00Z", False)
DRESSED = Attributes(
    headers=(("content-type", "text/x-test"),),
    metadata=(("note", "two  spaces"),),
    tags=(("kind", "a+b c"),),
)


class Damage(NamedTuple):
    """`wrong`: what verify must call it, sorted by kind. `shallow`: listings show it."""

    do: Callable[[Pair], Awaitable[None]]
    wrong: tuple[tuple[str, Kind], ...]
    shallow: bool = True


async def copied() -> Pair:
    """Both sides equal."""
    pair = await Pair().ready()
    for body in (b"one", b"two", b"three"):
        await pair.east.put(BUCKET, "k", body, DRESSED)
    await pair.east.put(BUCKET, "m", b"one", DRESSED)
    await pair.east.delete(BUCKET, "m")
    await pair.east.put(BUCKET, "m", b"two", DRESSED)
    await pair.run()
    assert pair.equal()
    return pair


def replica(pair: Pair, body: bytes, key: str = "k") -> Held:
    """The target's replica with these bytes."""
    (found,) = (h for h in pair.west.dump(BUCKET) if (h.version.key, h.body) == (key, body))
    return found


async def purge(pair: Pair, body: bytes, key: str = "k") -> Held:
    held = replica(pair, body, key)
    await pair.west.delete(BUCKET, key, held.version.version_id)
    return held


async def write(pair: Pair, body: bytes, attributes: Attributes) -> None:
    await pair.west.put(BUCKET, "k", body, attributes)


async def newest_lost(pair: Pair) -> None:
    await purge(pair, b"three")


async def middle_lost(pair: Pair) -> None:
    await purge(pair, b"two")


async def native_on_top(pair: Pair) -> None:
    await write(pair, b"written in the west", NO_ATTRIBUTES)


async def marker_on_top(pair: Pair) -> None:
    await pair.west.delete(BUCKET, "k")


async def copied_twice(pair: Pair) -> None:
    await write(pair, b"two", replica(pair, b"two").attributes)


async def lifted(pair: Pair) -> None:
    """The first replica stands on top of all others."""
    await write(pair, b"one", (await purge(pair, b"one")).attributes)


async def other_size(pair: Pair) -> None:
    await write(pair, b"three, and more", (await purge(pair, b"three")).attributes)


async def other_metadata(pair: Pair) -> None:
    """The stamp stays, a value changes."""
    held = await purge(pair, b"three")
    stamp = tuple(entry for entry in held.attributes.metadata if entry[0] == STAMP_NAME)
    changed = (("note", "one space"), *stamp)
    await write(pair, b"three", replace(held.attributes, metadata=changed))


async def other_headers(pair: Pair) -> None:
    held = await purge(pair, b"three")
    await write(pair, b"three", replace(held.attributes, headers=(("content-type", "x/y"),)))


async def other_encryption(pair: Pair) -> None:
    held = await purge(pair, b"three")
    await write(pair, b"three", replace(held.attributes, encryption="AES256"))


async def other_tags(pair: Pair) -> None:
    held = replica(pair, b"two")
    await pair.west.put_tags(BUCKET, "k", held.version.version_id, (("kind", "other"),))


async def other_lock(pair: Pair) -> None:
    """The source's version was locked after it was copied."""
    (held,) = (h for h in pair.east.dump(BUCKET) if h.body == b"three")
    await pair.east.put_retention(
        BUCKET, "k", held.version.version_id, RETAINED.mode, RETAINED.retain_until
    )


async def other_content(pair: Pair) -> None:
    """The same length and the same stamp over other bytes."""
    await write(pair, b"THREE", (await purge(pair, b"three")).attributes)


async def marker_lost(pair: Pair) -> None:
    (held,) = (h for h in pair.west.dump(BUCKET) if h.version.key == "m" and h.version.is_marker)
    await pair.west.delete(BUCKET, "m", held.version.version_id)


DAMAGES: dict[str, Damage] = {
    "missing": Damage(newest_lost, (("k", "missing"),)),
    "gap": Damage(middle_lost, (("k", "gap"),)),
    "gap of a marker": Damage(marker_lost, (("m", "gap"),)),
    "foreign": Damage(native_on_top, (("k", "foreign"),)),
    "foreign marker": Damage(marker_on_top, (("k", "foreign-marker"),)),
    "doubled": Damage(copied_twice, (("k", "doubled"),)),
    "disordered": Damage(lifted, (("k", "disordered"), ("k", "gap"))),
    "differs": Damage(other_size, (("k", "bytes"), ("k", "differs"))),
    "metadata": Damage(other_metadata, (("k", "metadata"),), shallow=False),
    "headers": Damage(other_headers, (("k", "headers"),), shallow=False),
    "encryption": Damage(other_encryption, (("k", "encryption"),), shallow=False),
    "tags": Damage(other_tags, (("k", "tags"),), shallow=False),
    "lock": Damage(other_lock, (("k", "lock"),), shallow=False),
    "bytes": Damage(other_content, (("k", "bytes"),), shallow=False),
}
