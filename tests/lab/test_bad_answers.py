"""Answers that are not what the server said: cut, altered, damaged once or for ever."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.damaging_proxy import Damage, Message, body_altered, body_cut, damaging
from tests.lab.farshore_cli import Farshore
from tests.lab.outcomes import refused, require_replicated, some


@contextmanager
def _behind_a_proxy(farshore: Farshore, damage: Damage) -> Iterator[None]:
    """East answers through a proxy that does `damage`."""
    east = farshore.lab.status().site("east")
    with damaging(east.direct_endpoint, damage) as endpoint:
        control = farshore.own_control("east", endpoint=endpoint)
        farshore.configure(sites={"east": {"endpoint": endpoint, "control_bucket": control}})
        yield
    farshore.configure()


class _Once:
    """Damages the first answers to requests whose first line matches; counts them."""

    def __init__(self, pattern: str, damage: Any, times: int = 1) -> None:
        self._pattern = re.compile(pattern)
        self._damage = damage
        self._times = times
        self.done = 0

    def __call__(self, request: bytes, answer: Message) -> bytes | None:
        if self.done >= self._times or not self._pattern.match(request.decode("latin-1")):
            return None
        self.done += 1
        damaged: bytes = self._damage(answer)
        return damaged


FOREVER = 10**6


@pytest.mark.parametrize("damage", [body_cut, body_altered])
def test_a_body_that_was_damaged_on_the_way_is_read_again(farshore: Farshore, damage: Any) -> None:
    farshore.put_all(some())
    once = _Once(rf"GET /{farshore.bucket}/some/1/", damage, times=3)
    with _behind_a_proxy(farshore, once):
        report = farshore.json("backfill")
    assert once.done == 3
    assert report["retries"] >= 1
    require_replicated(farshore)


def test_a_body_that_is_always_damaged_is_counted_and_never_kept(farshore: Farshore) -> None:
    farshore.put_all(some())
    victim = "some/1/file-0001.txt"
    always = _Once(rf"GET /{farshore.bucket}/{victim}\?", body_altered, times=FOREVER)
    with _behind_a_proxy(farshore, always):
        ended = farshore.run("backfill", "--json")
    assert ended.code == 1
    report = json.loads(ended.stdout)
    assert report["not_copied"] == {"FAILED": 2}
    assert {item["key"] for item in report["versions_not_copied"]} == {victim}
    assert {item["cause"] for item in report["versions_not_copied"]} == {"Corrupt"}
    east, west = farshore.histories("east"), farshore.histories("west")
    assert west == {key: entries for key, entries in east.items() if key != victim}
    require_replicated(farshore)


def _swapped(answer: Message) -> bytes:
    """Two keys of a listing change places."""
    first, second = b"file-0000", b"file-0004"
    assert first in answer.body
    assert second in answer.body
    body = answer.body.replace(first, b"\0").replace(second, first).replace(b"\0", second)
    return answer.with_body(body).raw()


def _page_cut(answer: Message) -> bytes:
    """Half a page, under a Content-Length that fits it: the server stopped in the middle."""
    return answer.with_body(answer.body[: len(answer.body) // 2]).raw()


@pytest.mark.parametrize("command", ["backfill", "verify"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_swapped, "out of order|was listed after"),
        (_page_cut, "XML"),
        (body_cut, "the answer ended after"),
    ],
)
def test_a_listing_that_is_damaged_ends_the_run(
    farshore: Farshore, command: str, damage: Any, message: str
) -> None:
    farshore.put_all(some())
    always = _Once(rf"GET /{farshore.bucket}\?.*versions", damage, times=FOREVER)
    with _behind_a_proxy(farshore, always):
        ended = farshore.run(command, "--json")
    assert always.done >= 1
    error = refused(ended, 1, message, ".")
    assert error["kind"] in ("BadListing", "Corrupt")
    require_replicated(farshore)
