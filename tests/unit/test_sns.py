"""What SNS sends beside events: told to a person, never opened, no secret shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from farshore.errors import Corrupt
from farshore.feed.events import Event, read_event

TOPIC = "arn:aws:sns:eu-west-1:123456789012:changes"
URL = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=hunter2"


def read(**changed: Any) -> Event:
    message = {
        "Type": "SubscriptionConfirmation",
        "Token": "hunter2",
        "TopicArn": TOPIC,
        "SubscribeURL": URL,
    }
    return read_event(json.dumps({**message, **changed}))


def test_a_subscription_wants_to_be_confirmed() -> None:
    hints, notice = read()
    assert hints == []
    assert notice is not None
    assert (notice.kind, notice.url) == ("confirm", URL)
    assert TOPIC in notice.text
    assert "sns.eu-west-1.amazonaws.com" in notice.text
    assert "hunter2" not in notice.text + repr(notice)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?Token=hunter2",
        "http://sns.eu-west-1.amazonaws.com/?Token=hunter2",
        "https://sns.eu-west-1.amazonaws.com.evil.example/",
        "https://sns.eu-west-1.amazonaws.com@evil.example/",
        "https://user@sns.eu-west-1.amazonaws.com/",
        "https://sns.eu-west-1.amazonaws.com:8443/",
        "https://[::1",
        "https://sns.eu-west-1.amazonaws.com/\n",
        "",
        None,
        7,
    ],
)
def test_an_address_that_is_not_of_sns_is_not_to_be_opened(url: object) -> None:
    notice = read(SubscribeURL=url).notice
    assert notice is not None
    assert (notice.kind, notice.url) == ("confirm", "")
    assert "do not open it" in notice.text
    assert "hunter2" not in notice.text


def test_a_subscription_has_ended() -> None:
    notice = read(Type="UnsubscribeConfirmation").notice
    assert notice is not None
    assert (notice.kind, notice.url) == ("ended", "")
    assert "no longer sends here" in notice.text


@pytest.mark.parametrize("topic", [None, 5, "x\x1b[31m", "arn:aws:sns:eu-west-1:1:x"])
def test_a_topic_s_name_is_shown_only_when_it_is_one(topic: object) -> None:
    notice = read(TopicArn=topic).notice
    assert notice is not None
    assert "(a topic with no name)" in notice.text


def test_another_type_is_no_notice() -> None:
    with pytest.raises(Corrupt):
        read(Type="Other")
