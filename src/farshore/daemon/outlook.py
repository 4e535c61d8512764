"""What can be told of a configuration before anything runs: variables that are not set here,
files of TLS that cannot be used, and an objective that its feeds and scans cannot meet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from farshore.config import Config, FeedSource, NatsSource, SqsSource, WebhookSource
from farshore.control import seal
from farshore.core.verdict.exposure import NEAR_SHARE
from farshore.core.words import duration_text
from farshore.engine.heartbeat import EVERY_S, IN_FLIGHT_S
from farshore.errors import ConfigError
from farshore.feed import nats, sqs
from farshore.feed.filer import FilerFeed
from farshore.feed.webhook import WebhookFeed
from farshore.watch.notify import unfit

REST_S = EVERY_S + IN_FLIGHT_S
"""Exposure at rest behind a feed that is never late."""

ROUND_S = 10.0
"""An objective that is proposed is a multiple of this."""


def outlook(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each doubt. Nothing is contacted."""
    yield from unfit(config, environment)
    yield from _tokens(config, environment)
    yield from _filers(config)
    yield from _objective(config)


def _tokens(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    for feed in config.feeds:
        if isinstance(feed, WebhookSource) and _lacks(feed.token_env, environment):
            yield (
                f"The environment variable {feed.token_env} of the webhook is not set here: "
                "without it `farshore run` refuses every event."
            )
        elif isinstance(feed, NatsSource) and _lacks(feed.secret_env, environment):
            yield (
                f"The environment variable {feed.secret_env} of the feed of {feed.stream} is "
                "not set here: without it `farshore run` does not start."
            )


def _filers(config: Config) -> Iterator[str]:
    """Of both sides: after a failover the other is the source."""
    for site in (config.source, config.target):
        if site.filer_tls is None:
            continue
        try:
            seal.read(site.filer_tls, site.name)
        except ConfigError as error:
            yield f"{error.message} `farshore run` does not start while {site.name} is the source."


def _lacks(name: str, environment: Mapping[str, str]) -> bool:
    """Whether a variable is wanted and not set. A name of "": none is wanted."""
    return bool(name) and not environment.get(name)


def _objective(config: Config) -> Iterator[str]:
    late_s = _least_late_s(config)
    scans_s = config.daemon.scan_every_s
    best_s = min(scans_s, math.inf if late_s is None else late_s) + REST_S
    rpo_s = config.objectives.rpo_s
    if best_s <= rpo_s * NEAR_SHARE:
        return
    scans = f"scans are {duration_text(scans_s)} apart"
    if late_s is None:
        why = f"there is no feed, and {scans}"
    else:
        why = f"hints of these feeds may be {duration_text(late_s)} late, and {scans}"
    wanted_s = math.ceil(best_s / NEAR_SHARE / ROUND_S) * ROUND_S
    yield (
        f"objectives.rpo is {rpo_s:g} s, and up to {duration_text(best_s)} may be exposed with "
        f"nothing wrong: {why}. `farshore status` says AT RISK above {rpo_s * NEAR_SHARE:g} s and "
        f"NOT SAFE above {rpo_s:g} s. Set rpo to {wanted_s:g} s or more, scan more often, or use a "
        "feed that keeps the order (a SeaweedFS filer)."
    )


def _least_late_s(config: Config) -> float | None:
    """The best feed counts: each of them alone vouches for what it tells. None: there is none."""
    late = [_late_s(feed) for feed in config.feeds]
    if config.source.filer_grpc:
        late.append(FilerFeed.late_s)
    return min(late, default=None)


def _late_s(feed: FeedSource) -> float:
    """As the feed itself will say of such a configuration."""
    match feed:
        case SqsSource():
            return sqs.late_s(feed.wait_s)
        case NatsSource():
            return nats.late_s()
        case WebhookSource():
            return WebhookFeed.late_s
    return FilerFeed.late_s
