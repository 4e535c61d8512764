"""Versions with the bytes of one that was purged: no listing shows which of them was copied."""

from __future__ import annotations

from farshore.core import stamp
from farshore.core.model import Attributes
from tests.unit.pairs import BUCKET, Pair


def _numbered(number: int) -> Attributes:
    return Attributes(metadata=(("n", str(number)),))


async def _twins() -> Pair:
    """A purged version that was copied, and one with the same bytes that was not."""
    pair = await Pair().ready()
    first = await pair.east.put(BUCKET, "k", b"same", _numbered(1))
    await pair.run()
    await pair.east.delete(BUCKET, "k", first.version_id)
    await pair.east.put(BUCKET, "k", b"same", _numbered(2))
    return pair


def _numbers(pair: Pair) -> list[str]:
    """Of the target's versions, newest first; "-" for a marker."""
    found = [dict(stamp.without(held.attributes).metadata) for held in pair.west.dump(BUCKET)]
    return [one.get("n", "-") for one in found]


async def test_nothing_is_appended_above_a_twin_that_is_missing() -> None:
    """It would be missing beneath for ever: chaos, seed 20261123."""
    pair = await _twins()
    await pair.east.put(BUCKET, "k", b"other", _numbered(3))
    await pair.run()
    assert _numbers(pair) == ["3", "2", "1"]
    last = await pair.east.put(BUCKET, "k", b"last", _numbered(4))
    await pair.run()
    await pair.east.delete(BUCKET, "k", last.version_id)  # stamps are read again
    assert (await pair.prove()).differences == []


async def test_no_marker_is_appended_above_a_twin_that_is_missing() -> None:
    pair = await _twins()
    await pair.east.delete(BUCKET, "k")
    await pair.run()
    assert _numbers(pair) == ["-", "2", "1"]
    assert (await pair.prove()).differences == []
