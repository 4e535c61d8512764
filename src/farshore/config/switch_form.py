"""The form of `[switch]`: what decides which site clients go to, in the order of the flip."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from farshore.config.fields import (
    AbsolutePath,
    Address,
    CredentialForm,
    Duration,
    Endpoint,
    Form,
    RecordName,
    RuntimeApi,
    SecretForm,
    SwitchName,
)


class ProxyForm(Form):
    """One HAProxy."""

    socket: RuntimeApi = Field(
        description="Its runtime API, level admin: the path of a unix socket, or host:port."
    )
    map: AbsolutePath = Field(
        description="The map file, as its configuration names it (an absolute path)."
    )
    remote: bool = Field(
        False,
        description="The map file is on another machine: it cannot be written from here, and a "
        "reload there returns clients to what the file says.",
    )
    door: Endpoint | None = Field(
        None,
        description="The URL at which it serves clients: after a flip one request through it "
        "shows where they really go.",
    )
    ca_file: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Certificates (PEM) to trust at that door, beside the file."
    )


RECORD_NAME = re.compile(
    r"(?=.{1,254}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?"
)
"""A host name as a value: the last dot may stand or not."""

_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "haproxy": ({"proxies"}, set()),
    "dns": (
        {"server", "zone", "record", "values", "tsig_name", "tsig_secret"},
        {"type", "ttl", "tsig_algorithm", "resolvers"},
    ),
    "octodns": ({"config_file", "zone", "record", "values"}, {"type", "ttl", "resolvers"}),
    "route53": (
        {"hosted_zone", "record", "values", "credentials"},
        {"type", "ttl", "region", "api", "ca_file", "resolvers"},
    ),
    "ssm": ({"parameter", "region", "credentials"}, {"values", "api", "ca_file"}),
    "file": ({"path"}, {"format", "values"}),
    "http": (set(), set()),
    "command": ({"argv"}, {"timeout", "values"}),
}
"""Kind of driver to the keys that it needs, and those that it may have."""


class DriverForm(Form):
    """One thing that sends clients to a site. Several are moved in the order of the file."""

    kind: Literal["haproxy", "dns", "octodns", "route53", "ssm", "file", "http", "command"] = Field(
        description='"haproxy" (its map, by the runtime API), "dns" (RFC 2136 updates with TSIG), '
        '"octodns" (any provider of an octoDNS configuration), "route53", "ssm" (a parameter of '
        'AWS Systems Manager), "file" (JSON or env, for applications), "http" (`farshore run` '
        'answers GET /v1/endpoint) or "command" (a program of yours).'
    )
    name: SwitchName | None = Field(
        None, description="For messages and records; without it the kind."
    )
    proxies: Annotated[list[ProxyForm], Field(min_length=1)] | None = Field(
        None, description="haproxy: every proxy; all of them must confirm."
    )
    server: Address | None = Field(None, description="dns: host:port of the primary authority.")
    zone: RecordName | None = Field(
        None, description="dns, octodns: the zone that the record is in, such as example.net."
    )
    record: RecordName | None = Field(
        None, description="dns, octodns, route53: the record's full name, such as s3.example.net."
    )
    type: Literal["CNAME", "A", "AAAA"] | None = Field(
        None, description="dns, octodns, route53: the record's type; CNAME without it."
    )
    ttl: Annotated[int, Field(ge=0, le=86400)] | None = Field(
        None, description="dns, octodns, route53: the record's TTL in seconds; 5 without it."
    )
    values: dict[str, str] | None = Field(
        None,
        description="What stands for each site: a host name or an address for DNS, a URL "
        "elsewhere (there the site's endpoint without it).",
    )
    tsig_name: RecordName | None = Field(None, description="dns: the key's name.")
    tsig_algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] | None = Field(
        None, description="dns: the key's algorithm; hmac-sha256 without it."
    )
    tsig_secret: SecretForm | None = Field(
        None, description="dns: the variable that holds the key's secret, in base64."
    )
    resolvers: list[Address] | None = Field(
        None, description="dns, octodns, route53: host:port of resolvers whose answers are checked."
    )
    config_file: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="octodns: octoDNS's own configuration, beside the file."
    )
    hosted_zone: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="route53: the hosted zone's id."
    )
    region: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="route53, ssm: the region that requests name."
    )
    credentials: CredentialForm | None = Field(
        None, description="route53, ssm: where the keys come from."
    )
    api: Endpoint | None = Field(
        None, description="route53, ssm: the API's URL, where it is not AWS's own."
    )
    ca_file: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="route53, ssm: certificates (PEM) to trust, beside the file."
    )
    parameter: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="ssm: the parameter's name."
    )
    path: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="file: the file to write, beside the configuration or absolute."
    )
    format: Literal["json", "env"] | None = Field(
        None, description='file: "json" or "env" (AWS_ENDPOINT_URL_S3=…); json without it.'
    )
    argv: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="command: the program and its first words; see docs/switch.md."
    )
    timeout: Duration | None = Field(
        None, description="command: how long one call may take; 30 s without it."
    )

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Self:
        needed, allowed = _KEYS[self.kind]
        given = {k for k in type(self).model_fields if getattr(self, k) is not None}
        given -= {"kind", "name"}
        missing, foreign = sorted(needed - given), sorted(given - needed - allowed)
        wrong = [f"needs {' and '.join(missing)}"] if missing else []
        wrong += [f"does not take {' and '.join(foreign)}"] if foreign else []
        if wrong:
            raise ValueError(f'a driver of kind "{self.kind}" {"; it ".join(wrong)}')
        return self

    @model_validator(mode="after")
    def _values_that_fit(self) -> Self:
        for site, value in (self.values or {}).items():
            if self.kind in ("ssm", "file"):
                _require_url(site, value)
            elif self.kind != "command":
                _require_rdata(site, value, self.type or "CNAME")
        if self.zone and self.record and not f".{self.record}".endswith(f".{self.zone}"):
            raise ValueError(f"{self.record} is not in the zone {self.zone}")
        return self


def _require_url(site: str, value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or set(value) & set(" @\t\n"):
        raise ValueError(f'the value of {site}: write a URL such as "https://s3.example.net"')


def _require_rdata(site: str, value: str, kind: str) -> None:
    try:
        found = f"IPv{ipaddress.ip_address(value).version}"
    except ValueError:
        found = "name" if RECORD_NAME.fullmatch(value) else ""
    if found != {"CNAME": "name", "A": "IPv4", "AAAA": "IPv6"}[kind]:
        example = {"CNAME": "east.example.net", "A": "192.0.2.1", "AAAA": "2001:db8::1"}[kind]
        raise ValueError(f'the value of {site} is none for type {kind}: write "{example}" or so')


class SwitchForm(Form):
    """What decides which site clients go to, and how long clients may wait."""

    freeze_max: Duration = Field(
        default=8.0,
        description="How long writes may be frozen before they are let through again by "
        "themselves. The front door holds a frozen write for two seconds before its 503, and an "
        "SDK that tries five times bears 8 s of that.",
    )
    propagation_max: Duration = Field(
        default=60.0,
        description="How long after a flip clients may still be sent to the old site (a TTL) "
        "before that is a finding.",
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="The URL that applications use whichever site is active (a proxy, a DNS name): "
        "after a flip it is tried with the app's keys.",
    )
    ca_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Certificates (PEM) to trust for that URL, beside the file."
    )
    drivers: list[DriverForm] = Field(
        default=[], description="What is moved, in this order: proxies first, then DNS."
    )
