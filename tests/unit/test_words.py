"""Numbers in sentences."""

from __future__ import annotations

import pytest

from farshore.core.words import counted


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0 keys"), (1, "1 key"), (2, "2 keys"), (1203, "1,203 keys")],
)
def test_one_of_a_thing_is_no_plural(number: int, told: str) -> None:
    assert counted(number, "key") == told


def test_a_plural_may_be_another_word() -> None:
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(2, "entry", "entries") == "2 entries"
