"""The daemon's alarm tells the verdict of the moment, and goes on when telling fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from farshore.config.load import parse
from farshore.daemon.alarm import ring_for_ever
from farshore.testing.clock import ManualClock
from farshore.watch.notify import Bell, Channel, Message, Notifier
from tests.unit.sites import TOML


class Ended(Exception):
    """The test has seen enough."""


async def test_two_sites_that_do_not_answer_are_told_once_and_failures_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EAST", "WEST"):
        monkeypatch.setenv(f"{name}_ACCESS_KEY_ID", "AKID")
        monkeypatch.setenv(f"{name}_SECRET_ACCESS_KEY", "secret")
    dead = TOML.replace("127.0.0.1:8333", "127.0.0.1:1").replace("127.0.0.1:8334", "127.0.0.1:2")
    config = parse(dead, tmp_path / "farshore.toml")
    clock, said, sent = ManualClock(), list[str](), list[Message]()
    looks = 0

    async def send(message: Message) -> bool:
        sent.append(message)
        return len(sent) > 1  # the first one does not arrive

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        clock.advance(seconds)
        if looks > 20:
            raise Ended
        await asyncio.sleep(0)

    notifier = Notifier([Channel("$PAGER", Bell("east-west", "loud"), send)])
    with pytest.raises(Ended):
        await ring_for_ever(config, clock, notifier, said.append, sleep)
    assert said == ["A loud message could not be delivered to $PAGER."]
    assert len(sent) == 2, "tried again once, and then told"
    assert all(message.bad for message in sent)
