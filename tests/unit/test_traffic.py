"""Requests as proxies count them: sums, what was counted since, and never 0 of 0 as a share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from farshore.switch.traffic import Traffic, noted, read_back, since, traffic
from farshore.testing.switch import MemoryDriver


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Traffic("west", 0, 0), "west: no request"),
        (Traffic("west", 1204, 0), "west: none of 1,204 requests failed"),
        (Traffic("west", 1204, 3), "west: 3 of 1,204 requests failed (0.25 %)"),
        (Traffic("west", 1_000_000, 1), "west: 1 of 1,000,000 requests failed (0.01 %)"),
    ],
)
def test_a_share_is_told_of_something_alone(found: Traffic, text: str) -> None:
    assert found.text == text


def test_what_was_counted_since_is_the_difference_and_all_of_it_after_a_reload() -> None:
    then, now = Traffic("west", 10, 1), Traffic("west", 25, 4)
    assert since(then, now) == Traffic("west", 15, 3)
    assert since(None, now) == now
    assert since(now, then) == then, "the proxy began anew"


def test_what_a_run_notes_down_is_read_back_and_nothing_else() -> None:
    found = {"east": Traffic("east", 7, 2), "west": Traffic("west", 0, 0)}
    assert read_back(json.loads(json.dumps({"traffic": noted(found)}))) == found
    others: list[dict[str, Any]] = [{}, {"traffic": 3}, {"traffic": {"east": 3}}]
    for other in (*others, {"traffic": {"east": {}}}):
        assert read_back(other) == {}


async def test_a_switch_that_counts_nothing_knows_nothing() -> None:
    assert await traffic([MemoryDriver("dns", {"east": "e"}, {"authority": "e"})]) == {}
