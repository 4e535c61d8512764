"""`[[feeds]]`: every kind, what it needs, and that a secret is not repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.config import FilerSource, NatsSource, SqsSource, WebhookSource
from farshore.config.load import parse
from farshore.credentials import CredentialSource
from farshore.errors import ConfigError
from tests.unit.sites import TOML

HERE = Path("/nowhere/farshore.toml")

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/changes"

WEBHOOK = """[[feeds]]
kind = "webhook"
token = { env = "HOOK" }
"""
SQS = f"""[[feeds]]
kind = "sqs"
queue_url = "{QUEUE}"
region = "eu-west-1"
credentials = {{ env = "QUEUE" }}
"""
NATS = """[[feeds]]
kind = "nats"
servers = ["nats://10.0.0.1:4222", "tls://nats.example.net"]
stream = "changes"
consumer = "farshore"
"""


def problems(feeds: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(TOML + feeds, HERE)
    return caught.value.problems


def test_without_feeds_there_are_none() -> None:
    assert parse(TOML, HERE).feeds == ()


def test_each_kind_is_read() -> None:
    more = 'ca_file = "ca.pem"\nuser = "farshore"\npassword = { env = "NATS" }\n'
    text = TOML + WEBHOOK + SQS + NATS + more + '[[feeds]]\nkind = "filer"\n'
    servers = ("nats://10.0.0.1:4222", "tls://nats.example.net")
    certificates = Path("/nowhere/ca.pem")
    assert parse(text, HERE).feeds == (
        WebhookSource("HOOK"),
        SqsSource(QUEUE, "eu-west-1", CredentialSource("env", "QUEUE"), None),
        NatsSource(servers, "changes", "farshore", "farshore", "NATS", certificates),
        FilerSource(),
    )


def test_how_long_a_request_for_messages_waits() -> None:
    (found,) = parse(f"{TOML}{SQS}wait = 2\n", HERE).feeds
    assert isinstance(found, SqsSource)
    assert found.wait_s == 2
    assert "wait" in problems(f"{SQS}wait = 21\n")[0]
    assert "does not take wait" in problems(f"{NATS}wait = 2\n")[0]


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ('[[feeds]]\nkind = "post"\n', '"webhook", "sqs", "nats" or "filer"'),
        ('[[feeds]]\nkind = "webhook"\n', "needs token"),
        ('[[feeds]]\nkind = "sqs"\n', "needs credentials and queue_url and region"),
        (NATS + f'queue_url = "{QUEUE}"\n', "does not take queue_url"),
        (SQS.replace("https", "ftp"), "write the queue's URL"),
        (NATS.replace("nats://10.0.0.1:4222", "10.0.0.1:4222"), 'such as "nats://127.0.0.1:4222"'),
        (NATS.replace('"changes"', '"a.b"'), "without spaces, dots"),
        (NATS + 'user = "farshore"\n', "takes a token, or user and password"),
        (SQS + SQS, "is there above already"),
    ],
)
def test_a_wrong_feed_is_told(feeds: str, words: str) -> None:
    (problem,) = problems(feeds)
    assert words in problem
    assert problem.startswith("line ")
    assert "feeds[" in problem


@pytest.mark.parametrize(
    "feeds",
    [
        WEBHOOK.replace('{ env = "HOOK" }', '"hunter2"'),
        SQS.replace("sqs.eu", "user:hunter2@sqs.eu"),
        SQS.replace('{ env = "QUEUE" }', '{ secret_access_key = "hunter2" }'),
        NATS.replace("10.0.0.1", "user:hunter2@10.0.0.1"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(feeds: str) -> None:
    found = problems(feeds)
    assert found
    assert "hunter2" not in "".join(found)
