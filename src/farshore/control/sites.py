"""From the configuration to an open store: one site, one principal."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from farshore.config import Config, Principal, Site
from farshore.control.bucket import Access
from farshore.control.seal import renewed
from farshore.credentials import resolve
from farshore.errors import ConfigError
from farshore.keyring import Keyring
from farshore.s3.client import S3Client
from farshore.s3.filer import HttpFiler
from farshore.s3.http import PORTS, HttpPool, tls
from farshore.s3.store import Store
from farshore.s3.wrap import Retrying


def open_store(config: Config, site_name: str, principal: Principal) -> S3Client:
    """A client of one site, without retries. The caller closes it.

    Temporary keys are fetched again before they end, and when the site says that they have.

    `ConfigError` when the site or the principal is not configured, or when the
    principal's keys cannot be fetched.
    """
    site = config.site(site_name)
    source = site.credentials.get(principal)
    if source is None:
        raise ConfigError(
            f"The site {site_name} has no credentials for the {principal}.",
            hint=f'Write [sites.{site_name}.credentials] {principal} = {{ env = "…" }}',
        )
    who = f"{principal} at {site_name}"
    return S3Client(
        site_name,
        site.endpoint,
        Keyring(lambda: resolve(source, who=who, folder=config.folder)),
        region=site.region,
        ca_file=str(site.ca_file) if site.ca_file else None,
        connections_max=config.limits.concurrency_max,
        location=site.location,
    )


@asynccontextmanager
async def open_filer(config: Config, site_name: str) -> AsyncIterator[HttpFiler | None]:
    """The site's SeaweedFS filer, closed at the end; None where none is configured."""
    site = config.site(site_name)
    if not site.filer:
        yield None
        return
    parts = urlsplit(site.filer)
    port = parts.port or PORTS[parts.scheme]
    name = site.filer_tls.server_name if site.filer_tls else ""
    pool = HttpPool(parts.hostname or "", port, _filer_trust(site), server_name=name)
    try:
        yield HttpFiler(pool, site=site_name)
    finally:
        await pool.aclose()


def _filer_trust(site: Site) -> ssl.SSLContext | Callable[[], ssl.SSLContext] | None:
    if urlsplit(site.filer).scheme != "https":
        return None
    if site.filer_tls is not None:
        return renewed(site.filer_tls, site.name)
    return tls(str(site.ca_file) if site.ca_file else None)


@asynccontextmanager
async def open_access(config: Config, site_name: str) -> AsyncIterator[Access]:
    """A site with a retrying store for every configured principal, closed at the end."""
    site = config.site(site_name)
    async with AsyncExitStack() as stack:

        def opened(principal: Principal) -> Store:
            client = open_store(config, site_name, principal)
            stack.push_async_callback(client.aclose)
            return Retrying(client)

        filer = await stack.enter_async_context(open_filer(config, site_name))
        app = opened("app") if "app" in site.credentials else None
        yield Access(site, opened("operator"), opened("replicator"), app, filer)
