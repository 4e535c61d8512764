"""From `[[feeds]]` to feeds: what is made, and what is found wrong before any connection."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import ConfigError, Denied
from farshore.feed.hint import Feed
from farshore.feed.open import open_feeds
from tests.unit.sites import TOML, config_of

GRPC = TOML.replace("[sites.east]\n", '[sites.east]\nfiler_grpc = "127.0.0.1:18888"\n')
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/changes"
SQS = f"""[[feeds]]
kind = "sqs"
queue_url = "{QUEUE}"
region = "eu-west-1"
credentials = {{ env = "QUEUE" }}
"""
NATS = """[[feeds]]
kind = "nats"
servers = ["nats://127.0.0.1:4222"]
stream = "changes"
consumer = "farshore"
token = { env = "NATS" }
"""
WEBHOOK = '[[feeds]]\nkind = "webhook"\ntoken = { env = "HOOK" }\n'
FILER = '[[feeds]]\nkind = "filer"\n'

VARIABLES = {"QUEUE_ACCESS_KEY_ID": "k", "QUEUE_SECRET_ACCESS_KEY": "s", "NATS": "t"}


async def set_cursor(name: str, value: str) -> None:
    raise AssertionError("nothing is read, so nothing is kept")


def opened(text: str, environ: Mapping[str, str] = VARIABLES, folder: str = "/") -> list[Feed]:
    config = config_of(text, Path(folder) / "farshore.toml")
    return open_feeds(config, get_cursor=lambda name: "", set_cursor=set_cursor, environ=environ)


def test_without_feeds_there_are_none() -> None:
    assert opened(TOML) == []


def test_every_kind_but_the_webhook_is_opened() -> None:
    feeds = opened(GRPC + SQS + NATS + WEBHOOK)
    assert [feed.name for feed in feeds] == ["filer east", "sqs changes", "nats changes"]
    assert {feed.settles for feed in feeds} == {"applied"}


def test_the_filer_is_opened_once_though_it_is_named() -> None:
    assert [feed.name for feed in opened(GRPC + FILER)] == ["filer east"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TOML + FILER, "sites.east.filer_grpc is not set"),
        (TOML + SQS, "QUEUE_ACCESS_KEY_ID and QUEUE_SECRET_ACCESS_KEY are not set"),
        (TOML + NATS, "NATS is not set"),
    ],
)
def test_what_is_missing_is_told_at_once(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        opened(text, environ={})


@pytest.mark.parametrize(
    ("text", "package", "extra"),
    [
        (GRPC, "grpc", "seaweedfs"),
        (TOML + SQS, "aiobotocore", "sqs"),
        (TOML + NATS, "nats", "nats"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, text: str, package: str, extra: str
) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        "farshore.feed.open.find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(ConfigError, match=package) as caught:
        opened(text)
    assert f"farshore[{extra}]" in caught.value.hint


async def test_keys_that_cannot_be_fetched_are_that_feeds_trouble(tmp_path: Path) -> None:
    command = f'{{ command = "{sys.executable} -c 0/0" }}'
    text = TOML + SQS.replace('{ env = "QUEUE" }', command)
    (feed,) = opened(text, folder=str(tmp_path))
    with pytest.raises(Denied, match="ended with exit code 1"):
        await anext(feed.deliveries())
    await feed.aclose()
