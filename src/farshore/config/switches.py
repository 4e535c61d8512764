"""`[switch]` as frozen values: one class for each kind of driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from farshore.credentials import CredentialSource

RecordType = Literal["CNAME", "A", "AAAA"]
Values = Mapping[str, str]
"""Site's name to what stands for it. Every site of the pair is in it."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HAProxy: `socket` is a unix socket's path or host:port, `map_path` as HAProxy names it.

    `remote`: the map's file cannot be written from here. `door`: the URL for clients, "" when
    it is not said; `ca_file` is absolute.
    """

    socket: str
    map_path: str
    remote: bool = False
    door: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class HaproxySwitch:
    """The map of every proxy."""

    name: str
    proxies: tuple[Proxy, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One DNS record. `values`: host names without the last dot, or addresses.

    `resolvers`: host:port of those whose answers are checked after a change.
    """

    name: str
    type: RecordType
    ttl: int
    values: Values
    resolvers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DnsSwitch:
    """RFC 2136 updates. `server` is host:port; `tsig_secret_env` names a variable (base64)."""

    name: str
    server: str
    zone: str
    record: Record
    tsig_name: str
    tsig_algorithm: str
    tsig_secret_env: str


@dataclass(frozen=True, slots=True)
class OctodnsSwitch:
    """A provider of an octoDNS configuration. `config_file` is absolute."""

    name: str
    config_file: Path
    zone: str
    record: Record


@dataclass(frozen=True, slots=True)
class Route53Switch:
    """A record in a hosted zone. `api` is "" for AWS's own; `ca_file` is absolute."""

    name: str
    hosted_zone: str
    record: Record
    region: str
    credentials: CredentialSource
    api: str
    ca_file: Path | None


@dataclass(frozen=True, slots=True)
class SsmSwitch:
    """A parameter of AWS Systems Manager."""

    name: str
    parameter: str
    values: Values
    region: str
    credentials: CredentialSource
    api: str
    ca_file: Path | None


@dataclass(frozen=True, slots=True)
class FileSwitch:
    """A file that applications read. `path` is absolute."""

    name: str
    path: Path
    format: Literal["json", "env"]
    values: Values


@dataclass(frozen=True, slots=True)
class HttpSwitch:
    """`farshore run` answers GET /v1/endpoint from the control record."""

    name: str


@dataclass(frozen=True, slots=True)
class CommandSwitch:
    """A program of the user's, by a documented contract. `folder` is where it runs."""

    name: str
    argv: tuple[str, ...]
    timeout_s: float
    values: Values
    folder: Path


DriverSource = (
    HaproxySwitch
    | DnsSwitch
    | OctodnsSwitch
    | Route53Switch
    | SsmSwitch
    | FileSwitch
    | HttpSwitch
    | CommandSwitch
)


@dataclass(frozen=True, slots=True)
class Switch:
    """The drivers in the order in which they are moved. Seconds.

    `endpoint`: the URL that applications use, "" where there is none that stays the same;
    `ca_file` is absolute.
    """

    freeze_max_s: float
    propagation_max_s: float
    drivers: tuple[DriverSource, ...]
    endpoint: str = ""
    ca_file: Path | None = None
