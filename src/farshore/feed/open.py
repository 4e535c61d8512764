"""The feeds of a configuration, ready to be read. Nothing is connected yet.

What can be found wrong without the network is a `ConfigError` here. What goes wrong later,
keys that cannot be fetched again included, is a `StoreError` of that feed alone: the
others and the scan go on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec

from farshore.config import Config, FilerSource, NatsSource, SqsSource
from farshore.control import seal
from farshore.credentials import Credentials, resolve
from farshore.errors import ConfigError, Denied
from farshore.feed.filer import FilerFeed, GetCursor, SetCursor
from farshore.feed.hint import Feed
from farshore.feed.nats import NatsFeed
from farshore.feed.sqs import SqsFeed


def open_feeds(
    config: Config,
    *,
    get_cursor: GetCursor,
    set_cursor: SetCursor,
    environ: Mapping[str, str] | None = None,
) -> list[Feed]:
    """Every feed of `config`, but for webhooks: they are served where the API is.

    The source's filer is there without being asked for, where `filer_grpc` is set.
    `ConfigError` when a package, a variable, an address or a file of TLS is missing.
    """
    variables = os.environ if environ is None else environ
    feeds: list[Feed] = []
    wants_filer = any(isinstance(entry, FilerSource) for entry in config.feeds)
    if wants_filer or config.source.filer_grpc:
        feeds.append(_filer(config, get_cursor, set_cursor))
    for entry in config.feeds:
        if isinstance(entry, SqsSource):
            feeds.append(_sqs(entry, config, variables))
        elif isinstance(entry, NatsSource):
            feeds.append(_nats(entry, variables))
    return feeds


def _filer(config: Config, get_cursor: GetCursor, set_cursor: SetCursor) -> FilerFeed:
    site = config.source
    if not site.filer_grpc:
        raise ConfigError(
            f'The feed of kind "filer" has no address: sites.{site.name}.filer_grpc is not set.',
            hint=f'Write filer_grpc = "HOST:PORT" in [sites.{site.name}], or leave the feed out.',
        )
    _need("grpc", "filer", "seaweedfs")
    if site.filer_tls is not None:
        seal.read(site.filer_tls, site.name)  # a file that is missing now will be missing later
    named = [entry.source for entry in config.pair.buckets]
    return FilerFeed(
        site.name,
        site.filer_grpc,
        () if config.pair.has_patterns else named,
        get_cursor=get_cursor,
        set_cursor=set_cursor,
        tls=site.filer_tls,
    )


def _sqs(source: SqsSource, config: Config, environ: Mapping[str, str]) -> SqsFeed:
    _need("aiobotocore", "sqs", "sqs")
    who = f"the feed of {source.queue_url}"

    def fetched() -> Credentials:
        return resolve(source.credentials, who=who, folder=config.folder, environ=environ)

    if source.credentials.kind == "env":
        fetched()  # a variable that is missing now will be missing later
    return SqsFeed(
        source.queue_url,
        region=source.region,
        keys=_refetched(fetched),
        ca_file=source.ca_file,
        wait_s=source.wait_s,
    )


def _refetched(fetch: Callable[[], Credentials]) -> Callable[[], Awaitable[Credentials]]:
    """Off the event loop; a failure is this feed's trouble, and passes when the keys come back."""

    async def keys() -> Credentials:
        try:
            return await asyncio.to_thread(fetch)
        except ConfigError as error:
            raise Denied(error.message, hint=error.hint) from None

    return keys


def _nats(source: NatsSource, environ: Mapping[str, str]) -> NatsFeed:
    _need("nats", "nats", "nats")
    name = source.secret_env
    if name and not environ.get(name):
        raise ConfigError(
            f"The secret of the feed of {source.stream} is not in the environment: "
            f"{name} is not set.",
            hint=f"Export {name}, then run the command again.",
        )
    return NatsFeed(source, secret=lambda: environ[name] if name else "")


def _need(package: str, kind: str, extra: str) -> None:
    """Looked for without importing it, which takes long."""
    if find_spec(package) is None:
        raise ConfigError(
            f'A feed of kind "{kind}" needs the package {package}, which is not installed.',
            hint=f"Install it: pip install 'farshore[{extra}]'",
        )
