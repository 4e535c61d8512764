"""Hostile inputs: good ones with one thing changed, and rubbish. And how many of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from farshore.errors import FarshoreError

EXAMPLES = int(os.environ.get("FARSHORE_FUZZ", "0"))

fuzzed = settings(
    max_examples=EXAMPLES or 150,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

NESTED = b"[" * 200_000
"""Deeper than any reader may follow."""

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@st.composite
def changed_json(draw: st.DrawFn, good: Any) -> Any:
    """A JSON value with one place of it replaced, or taken away."""
    if isinstance(good, dict) and good and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(good)))
        rest = {k: v for k, v in good.items() if k != name}
        return (
            rest if not draw(st.integers(0, 5)) else {**rest, name: draw(changed_json(good[name]))}
        )
    if isinstance(good, list) and good and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(good) - 1))
        return [*good[:at], draw(changed_json(good[at])), *good[at + 1 :]]
    return draw(values)


@st.composite
def changed_bytes(draw: st.DrawFn, good: bytes, words: tuple[bytes, ...] = ()) -> bytes:
    """Bytes with a stretch of them cut out, doubled, or replaced by others or by a word."""
    begin = draw(st.integers(0, len(good)))
    end = draw(st.integers(begin, min(len(good), begin + draw(st.integers(0, 64)))))
    piece = st.binary(max_size=12) | st.just(good[begin:end] * 2)
    if words:
        piece |= st.sampled_from(words)
    return good[:begin] + draw(piece) + good[end:]


@contextmanager
def allowed(*kinds: type[Exception]) -> Iterator[None]:
    """These errors may come out of the body, with words in them; no others."""
    told = "nothing went wrong"
    try:
        yield
    except kinds as error:
        told = str(error)
    assert told


def answers_or_refuses(read: Callable[[], object]) -> None:
    """Any value will do, and any error that is meant for people; nothing else may come out."""
    with allowed(FarshoreError):
        read()
