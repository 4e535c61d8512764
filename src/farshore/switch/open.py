"""The drivers of a configuration, in the order of the file. Nothing is connected yet.

What can be found wrong without the network is a `ConfigError` here: a package or a variable
that is missing. Packages are imported only for the kinds that the file names.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from farshore.config import Config
from farshore.config.switches import (
    CommandSwitch,
    DnsSwitch,
    DriverSource,
    FileSwitch,
    HaproxySwitch,
    HttpSwitch,
    OctodnsSwitch,
    Route53Switch,
    SsmSwitch,
)
from farshore.credentials import Credentials, resolve
from farshore.errors import ConfigError
from farshore.switch.driver import SwitchDriver, SwitchError

if TYPE_CHECKING:
    from farshore.switch.aws import AwsApi

Environ = Mapping[str, str]


def open_drivers(config: Config, *, environ: Environ | None = None) -> tuple[SwitchDriver, ...]:
    """Every driver of `config`. `ConfigError` when a package, a variable or a port is missing."""
    variables = os.environ if environ is None else environ
    return tuple(_opened(source, config, variables) for source in config.switch.drivers)


def _opened(source: DriverSource, config: Config, environ: Environ) -> SwitchDriver:
    propagation_max_s = config.switch.propagation_max_s
    match source:
        case HaproxySwitch():
            from farshore.switch.haproxy import HaproxyDriver

            return HaproxyDriver(source, _sites(config))
        case DnsSwitch():
            return _dns(source, propagation_max_s, environ)
        case OctodnsSwitch():
            _need("octodns", source.name, "octodns", "octodns")
            _need("dns", source.name, "dnspython", "octodns")
            from farshore.switch.octo import OctodnsDriver

            return OctodnsDriver(source, propagation_max_s)
        case Route53Switch():
            _need("dns", source.name, "dnspython", "aws")
            api = _aws("route53", source, config, environ)
            from farshore.switch.route53 import Route53Driver

            return Route53Driver(source, api, propagation_max_s)
        case SsmSwitch():
            api = _aws("ssm", source, config, environ)
            from farshore.switch.ssm import SsmDriver

            return SsmDriver(source, api)
        case FileSwitch():
            from farshore.switch.file import FileDriver

            return FileDriver(source)
        case HttpSwitch():
            return _http(source, config)
        case CommandSwitch():
            from farshore.switch.command import CommandDriver

            return CommandDriver(source)


def _sites(config: Config) -> tuple[str, str]:
    return config.pair.source, config.pair.target


def _dns(source: DnsSwitch, propagation_max_s: float, environ: Environ) -> SwitchDriver:
    _need("dns", source.name, "dnspython", "dns")
    from farshore.switch.dns import DnsDriver, tsig_key

    variable = source.tsig_secret_env
    if not environ.get(variable):
        raise ConfigError(
            f"The key of the driver {source.name} is not in the environment: "
            f"{variable} is not set.",
            hint=f"Export {variable} with the secret of the key {source.tsig_name}, in base64.",
        )
    try:
        key = tsig_key(source, environ[variable])
    except ValueError as error:
        raise ConfigError(
            f"The key of the driver {source.name}, in {variable}, cannot be used: {error}.",
            hint="Copy the `secret` of the server's configuration as it stands there.",
        ) from None
    return DnsDriver(source, key, propagation_max_s)


def _aws(
    service: str, source: Route53Switch | SsmSwitch, config: Config, environ: Environ
) -> AwsApi:
    _need("aiobotocore", source.name, "aiobotocore", "aws")
    from farshore.switch.aws import AwsApi

    who = f"the driver {source.name}"
    fetch = partial(resolve, source.credentials, who=who, folder=config.folder, environ=environ)
    if source.credentials.kind == "env":
        fetch()  # a variable that is missing now will be missing later
    return AwsApi(
        service,
        region=source.region,
        endpoint=source.api,
        ca_file=source.ca_file,
        keys=_refetched(fetch),
    )


def _refetched(fetch: Callable[[], Credentials]) -> Callable[[], Awaitable[Credentials]]:
    """Off the event loop; a failure is this driver's, and passes when the keys come back."""

    async def keys() -> Credentials:
        try:
            return await asyncio.to_thread(fetch)
        except ConfigError as error:
            raise SwitchError(error.message, hint=error.hint) from None

    return keys


def _http(source: HttpSwitch, config: Config) -> SwitchDriver:
    from farshore.switch.http import HttpDriver

    daemon = config.daemon
    if not daemon.port:
        raise ConfigError(
            f"The driver {source.name} cannot find the daemon: it takes any free port.",
            hint='Write a port in [daemon] listen, such as "127.0.0.1:9470".',
        )

    return HttpDriver(source, daemon.host, daemon.port, _sites(config))


def _need(module: str, driver: str, package: str, extra: str) -> None:
    """Looked for without importing it, which takes long."""
    if find_spec(module) is None:
        raise ConfigError(
            f"The driver {driver} needs the package {package}, which is not installed.",
            hint=f"Install it: pip install 'farshore[{extra}]'",
        )
