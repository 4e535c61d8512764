"""The daemon put together from its configuration."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import get_args

from starlette.routing import BaseRoute

from farshore.clock import SystemClock
from farshore.config import Config
from farshore.config.values import WebhookSource
from farshore.core.model import Version
from farshore.daemon.alarm import ring_for_ever
from farshore.daemon.allocator import give_back_large_blocks
from farshore.daemon.api import Answers, application, served_when_free
from farshore.daemon.endpoint import EndpointDesk
from farshore.daemon.fences import FenceKeeper
from farshore.daemon.intake import FeedState
from farshore.daemon.limits import LiveLimits
from farshore.daemon.proofs import LastProof
from farshore.daemon.publisher import Publisher
from farshore.daemon.reports import Reporter
from farshore.daemon.service import Service
from farshore.daemon.tokens import of_api, of_file, of_variable
from farshore.engine.run import JOURNAL_FILE
from farshore.feed.hint import Hint
from farshore.feed.open import open_feeds
from farshore.feed.webhook import Outcome, WebhookFeed, webhook_routes
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.journal.ledger import Ledgers
from farshore.watch.metrics import Metrics, Reading
from farshore.watch.notify import open_notifier

WEBHOOK = "webhook"


@asynccontextmanager
async def daemon(config: Config, say: Callable[[str], None]) -> AsyncIterator[Service]:
    """A daemon that serves its API, ready to `run`. Raises `ConfigError`, `StateError`."""
    give_back_large_blocks(os.environ)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        backlog = SqliteBacklog(config.state_dir / JOURNAL_FILE)
        stack.push_async_callback(backlog.aclose)
        feeds = open_feeds(config, get_cursor=backlog.cursor, set_cursor=backlog.set_cursor)
        for feed in feeds:
            stack.push_async_callback(feed.aclose)
        ledgers = Ledgers.at(config.state_dir / JOURNAL_FILE)
        stack.callback(ledgers.close)
        reporter = Reporter(config, backlog, clock, ledgers)
        metrics = Metrics(config.pair.name, config.pair.target, config.pair.source, lambda: read())
        reporter.tell_latency(metrics.replicated)
        reporter.tell_failures(metrics.failed)
        alarm = partial(ring_for_ever, config, clock, open_notifier(config), say)
        proof = LastProof(config)
        limits = LiveLimits(config, say, clock)
        keeper = FenceKeeper(config, clock, say)
        where = EndpointDesk(config, clock, lambda: reporter.mark.watermark)
        always = (proof.read_for_ever, limits.follow, keeper.keep_for_ever, where.follow)
        beside = (alarm, *always) if config.notify else always
        service = Service(
            config,
            backlog,
            feeds,
            clock,
            say,
            Publisher(config, reporter),
            _counting(metrics),
            beside,
            limits.throttle,
            keeper.before_work,
            limits.reread,
        )
        reporter.tell_limits(lambda: limits.held)

        def door(is_open: bool) -> None:
            """Nobody reaches the webhook while another process has the address."""
            if WEBHOOK in service.intake.states:
                service.intake.states[WEBHOOK].up = is_open

        def read() -> Reading:
            return Reading(reporter.now(), reporter.report(), proof.record)

        tokens = of_api(config.daemon.token_env, config.daemon.token_file, config.state_dir)
        more = [*_webhook(config, service), *where.routes()]
        app = application(_answers(service, metrics), tokens, more)
        host, port = config.daemon.host, config.daemon.port
        await stack.enter_async_context(served_when_free(app, host, port, say, door))
        yield service


def _counting(metrics: Metrics) -> Callable[[Version], None]:
    def tell(version: Version) -> None:
        if version.is_marker:
            metrics.marked()
        else:
            metrics.copied(version.size)

    return tell


def _answers(service: Service, metrics: Metrics) -> Answers:
    async def scan() -> None:
        service.scan_now.set()

    return Answers(
        status=lambda: service.reporter.report().to_json(),
        metrics=metrics.render,
        ready=service.reporter.ready,
        scan=scan,
    )


def _webhook(config: Config, service: Service) -> Sequence[BaseRoute]:
    """The webhook's route, if the configuration has that feed."""
    sources = [
        of_file(feed.token_file) if feed.token_file else of_variable(feed.token_env)
        for feed in config.feeds
        if isinstance(feed, WebhookSource)
    ]
    if not sources:
        return ()

    def tokens() -> list[str]:
        return [token for source in sources for token in source()]

    # Nobody is connected to between two calls: it is up as long as we listen.
    state = FeedState(WEBHOOK, up=True, late_s=WebhookFeed.late_s)
    state.requests.update(dict.fromkeys(get_args(Outcome), 0))
    service.intake.states[WEBHOOK] = state

    async def intake(hints: Sequence[Hint]) -> int:
        await service.intake.receive(hints, WEBHOOK)
        return sum(service.intake.wanted(hint.bucket) for hint in hints)

    def count(outcome: Outcome) -> None:
        state.requests[outcome] += 1

    return webhook_routes(
        tokens, intake, count=count, listener=lambda: service.intake.listener(WEBHOOK)
    )
