"""`[switch]`: from the form, which has seen to the keys of each kind, to values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from farshore.config.fields import CredentialForm
from farshore.config.form import FileForm
from farshore.config.switch_form import DriverForm
from farshore.config.switches import (
    CommandSwitch,
    DnsSwitch,
    DriverSource,
    FileSwitch,
    HaproxySwitch,
    HttpSwitch,
    OctodnsSwitch,
    Proxy,
    Record,
    Route53Switch,
    SsmSwitch,
    Switch,
    Values,
)
from farshore.credentials import CredentialSource

TTL_SECONDS = 5
COMMAND_SECONDS_MAX = 30.0

Credentials = Callable[[CredentialForm], CredentialSource]


def switch_values(form: FileForm, folder: Path, credentials: Credentials) -> Switch:
    """`[switch]` as values; `folder` is the configuration's."""
    endpoints = {
        name: form.sites[name].endpoint
        for name in (form.pair.source, form.pair.target)
        if name in form.sites
    }
    drivers = tuple(_driver(d, folder, endpoints, credentials) for d in form.switch.drivers)
    whole = form.switch
    ca_file = folder / whole.ca_file if whole.ca_file else None
    return Switch(whole.freeze_max, whole.propagation_max, drivers, whole.endpoint or "", ca_file)


def _driver(
    form: DriverForm, folder: Path, endpoints: Values, credentials: Credentials
) -> DriverSource:
    name = form.name or form.kind
    values = form.values or endpoints
    ca_file = folder / form.ca_file if form.ca_file else None
    match form.kind:
        case "haproxy":
            return HaproxySwitch(name, tuple(_proxies(form, folder)))
        case "dns":
            return _dns(form, name)
        case "octodns":
            config_file = folder / (form.config_file or "")
            return OctodnsSwitch(name, config_file, form.zone or "", _record(form))
        case "route53":
            source = credentials(_given(form.credentials))
            region = form.region or "us-east-1"
            zone, api = form.hosted_zone or "", form.api or ""
            return Route53Switch(name, zone, _record(form), region, source, api, ca_file)
        case "ssm":
            source = credentials(_given(form.credentials))
            region, api = form.region or "", form.api or ""
            return SsmSwitch(name, form.parameter or "", values, region, source, api, ca_file)
        case "file":
            return FileSwitch(name, folder / (form.path or ""), form.format or "json", values)
        case "http":
            return HttpSwitch(name)
        case "command":
            seconds = form.timeout or COMMAND_SECONDS_MAX
            return CommandSwitch(name, tuple(form.argv or ()), seconds, values, folder)


def _given(form: CredentialForm | None) -> CredentialForm:
    assert form is not None, "the form's own check has seen to it"
    return form


def _proxies(form: DriverForm, folder: Path) -> Iterator[Proxy]:
    for proxy in form.proxies or ():
        ca_file = folder / proxy.ca_file if proxy.ca_file else None
        yield Proxy(proxy.socket, proxy.map, proxy.remote, proxy.door or "", ca_file)


def _dns(form: DriverForm, name: str) -> DnsSwitch:
    return DnsSwitch(
        name=name,
        server=form.server or "",
        zone=form.zone or "",
        record=_record(form),
        tsig_name=form.tsig_name or "",
        tsig_algorithm=form.tsig_algorithm or "hmac-sha256",
        tsig_secret_env=form.tsig_secret.env if form.tsig_secret else "",
    )


def _record(form: DriverForm) -> Record:
    values = {site: value.rstrip(".") for site, value in (form.values or {}).items()}
    ttl = TTL_SECONDS if form.ttl is None else form.ttl
    return Record(form.record or "", form.type or "CNAME", ttl, values, tuple(form.resolvers or ()))
