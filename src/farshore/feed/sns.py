"""What Amazon SNS sends beside events: that a subscription wants to be confirmed, or has ended.

Nothing is fetched here: whoever may send to us could make us open any address. A person
confirms. Fields and hosts: the SNS developer guide, "Parsing Amazon SNS message formats".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from farshore.feed.hint import Notice

CONFIRM, ENDED = "SubscriptionConfirmation", "UnsubscribeConfirmation"

_TOPIC = re.compile(r"arn:aws[a-z-]{0,20}:sns:[a-z0-9-]{1,30}:\d{12}:[A-Za-z0-9_.-]{1,256}")
_HOST = re.compile(r"sns\.[a-z0-9-]{1,30}\.amazonaws\.com(\.cn)?")

URL_CHARACTERS_MAX = 4096


def notice_of(message: Mapping[str, Any]) -> Notice | None:
    """What a person must know; None for every other message."""
    kind = message.get("Type")
    if kind not in (CONFIRM, ENDED):
        return None
    topic = message.get("TopicArn")
    name = topic if isinstance(topic, str) and _TOPIC.fullmatch(topic) else "(a topic with no name)"
    host, url = _address(message.get("SubscribeURL"))
    if kind == ENDED:
        return Notice(
            "ended",
            f"SNS says that {name} no longer sends here: no more events come from it. If that was "
            "not meant, subscribe again.",
        )
    if not url:
        return Notice(
            "confirm",
            f"A message asks to confirm a subscription of {name} at {host}, which is no address of "
            "SNS: do not open it, and find out who sends such messages.",
        )
    return Notice(
        "confirm",
        f"SNS sends no events of {name} until its subscription is confirmed: open the SubscribeURL "
        f"of its message (at {host}) within three days, or subscribe anew.",
        url,
    )


def _address(found: object) -> tuple[str, str]:
    """(host to be shown, the address), "" for an address that is not SNS's own."""
    if not isinstance(found, str) or len(found) > URL_CHARACTERS_MAX or not found.isprintable():
        return "(no host)", ""
    try:
        parts = urlsplit(found)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(no host)", ""
    is_sns = parts.scheme == "https" and port in (None, 443) and _HOST.fullmatch(host)
    return (host or "(no host)")[:100], found if is_sns and "@" not in parts.netloc else ""
