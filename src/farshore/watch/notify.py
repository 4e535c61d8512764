"""Telling people, in two voices, once, and again when it is over.

The loud voice (a pager) hears what makes the pair NOT SAFE. The gentle one (a channel,
tickets) hears everything. A trouble is told when it has lasted for a while, once, whatever
its numbers do meanwhile; and when it has been gone for a while, that it is over.

    quiet ──lasts HOLD_S──> told ──gone for OVER_S──> told that it is over ──> quiet
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from farshore.config import Config, Notify, Voice
from farshore.core.verdict import Level, Reason, Verdict, duration_text
from farshore.errors import ConfigError

HOLD_S: Mapping[Level, float] = {"NOT SAFE": 15.0, "AT RISK": 120.0}
"""A trouble shorter than this is told to nobody."""

OVER_S = 60.0
"""A trouble that comes back within this has not been gone."""

SEND_SECONDS_MAX = 30.0
RETRY_S = 60.0
"""A message that could not be delivered is tried again after this, until it is."""

SILENT = logging.CRITICAL + 1
"""Apprise's own log repeats URLs, which hold secrets; what failed is said here without them."""

HEARS: Mapping[Voice, frozenset[Level]] = {
    "loud": frozenset({"NOT SAFE"}),
    "gentle": frozenset({"NOT SAFE", "AT RISK"}),
}


@dataclass(slots=True)
class Trouble:
    """One reason, from when it was first seen. `gone_at`: None while it is there."""

    text: str
    since: float
    told: bool = False
    gone_at: float | None = None


class Message(NamedTuple):
    """`began` and `over`: names of the troubles that it speaks of. `bad`: something began."""

    title: str
    body: str
    began: tuple[str, ...]
    over: tuple[str, ...]

    @property
    def bad(self) -> bool:
        return bool(self.began)


@dataclass(slots=True)
class Bell:
    """What one voice has heard and told. Pure: time is an argument."""

    pair: str
    voice: Voice
    troubles: dict[str, Trouble] = field(default_factory=dict)

    def hear(self, verdict: Verdict, now: float) -> Message | None:
        """What is to be told now, if anything. The same again until `told` is called."""
        reasons = {r.name: r for r in verdict.reasons if r.level in HEARS[self.voice]}
        for name, reason in reasons.items():
            trouble = self.troubles.setdefault(name, Trouble(reason.text, now))
            trouble.text, trouble.gone_at = reason.text, None
        for name in [*self.troubles.keys() - reasons.keys()]:
            self._miss(name, now)
        began = tuple(n for n, r in reasons.items() if self._is_news(r, now))
        over = tuple(n for n, t in self.troubles.items() if _is_over(t, now))
        if not began and not over:
            return None
        return Message(
            f"farshore {self.pair}: {verdict.word}", self._body(began, over), began, over
        )

    def told(self, message: Message) -> None:
        """The message was delivered."""
        for name in message.began:
            self.troubles[name].told = True
        for name in message.over:
            del self.troubles[name]

    def _miss(self, name: str, now: float) -> None:
        trouble = self.troubles[name]
        if not trouble.told:
            del self.troubles[name]
        elif trouble.gone_at is None:
            trouble.gone_at = now

    def _is_news(self, reason: Reason, now: float) -> bool:
        trouble = self.troubles[reason.name]
        return not trouble.told and now - trouble.since >= HOLD_S[reason.level]

    def _body(self, began: Sequence[str], over: Sequence[str]) -> str:
        lines = [self.troubles[name].text for name in began]
        for name in over:
            trouble = self.troubles[name]
            lasted = duration_text((trouble.gone_at or trouble.since) - trouble.since)
            lines.append(f"Over after {lasted}: {trouble.text}")
        return "\n".join(lines)


def _is_over(trouble: Trouble, now: float) -> bool:
    return trouble.gone_at is not None and now - trouble.gone_at >= OVER_S


Send = Callable[[Message], Awaitable[bool]]
"""Delivers a message; whether it arrived."""


@dataclass(slots=True)
class Channel:
    """One [[notify]]: its bell, and the way to it. `label` holds no secret."""

    label: str
    bell: Bell
    send: Send
    retry_at: float = 0.0


class Notifier:
    """Everybody who is told."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels

    async def tell(self, verdict: Verdict, now: float) -> tuple[str, ...]:
        """Tell whoever is to be told. Answers a sentence for each message that did not arrive.

        To be called every few seconds with the present verdict.
        """
        answers = await asyncio.gather(*(_tell(c, verdict, now) for c in self._channels))
        return tuple(answer for answer in answers if answer)


async def _tell(channel: Channel, verdict: Verdict, now: float) -> str:
    message = channel.bell.hear(verdict, now)
    if message is None or now < channel.retry_at:
        return ""
    try:
        async with asyncio.timeout(SEND_SECONDS_MAX):
            arrived = await channel.send(message)
    except TimeoutError:
        arrived = False
    if arrived:
        channel.bell.told(message)
        return ""
    channel.retry_at = now + RETRY_S
    return f"A {channel.bell.voice} message could not be delivered to {channel.label}."


def open_notifier(config: Config, environment: Mapping[str, str] | None = None) -> Notifier:
    """All [[notify]] of a configuration. `ConfigError` for a URL that is missing or wrong."""
    known = os.environ if environment is None else environment
    pair = config.pair.name
    return Notifier(
        [
            Channel(f"${n.env}", Bell(pair, n.voice), _apprise(n, known.get(n.env, "")))
            for n in config.notify
        ]
    )


def unfit(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each [[notify]] that `open_notifier` would refuse here."""
    for entry in config.notify:
        try:
            _apprise(entry, environment.get(entry.env, ""))
        except ConfigError as error:
            yield f"{error.message} Without it `farshore run` does not start."


def _asset(apprise: Any) -> Any:
    """Redirects are not followed, unless the URL says redirect=yes: what a message tells, and the
    secrets in headers of one's own, would go wherever the receiver says."""
    asset = apprise.AppriseAsset()
    asset.http_redirects = False
    return asset


def _apprise(entry: Notify, url: str) -> Send:
    try:
        import apprise
    except ImportError:
        raise ConfigError(
            "[[notify]] needs Apprise, which is not installed.",
            hint="pip install 'farshore[notify]'",
        ) from None
    logging.getLogger("apprise").setLevel(SILENT)
    target = apprise.Apprise(asset=_asset(apprise))
    if not url or not target.add(url):
        why = "is not set" if not url else "holds no URL that Apprise understands"
        raise ConfigError(
            f"The environment variable {entry.env} of [[notify]] {why}.",
            hint="Set it to an Apprise URL, such as mailto://, slack:// or json://HOST:PORT/PATH.",
        )

    if any(not server.verify_certificate for server in target):
        raise ConfigError(
            f"The URL in the variable {entry.env} of [[notify]] says verify=no: whoever "
            "stands in between would read what it holds.",
            hint="Take it out. For an authority of your own: REQUESTS_CA_BUNDLE.",
        )

    async def send(message: Message) -> bool:
        kind = apprise.NotifyType.FAILURE if message.bad else apprise.NotifyType.SUCCESS
        sent = await target.async_notify(body=message.body, title=message.title, notify_type=kind)
        return bool(sent)

    return send
