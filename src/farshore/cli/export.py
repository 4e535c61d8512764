"""`farshore export`: what other tools need to watch a pair, and to stand before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from farshore.cli.console import Console, JsonOption, load_config, print_json

if TYPE_CHECKING:
    from farshore.config.switches import Proxy, Switch
    from farshore.config.values import Config, Site
    from farshore.core.rights import Ground
    from farshore.switch.export_haproxy import BackSite

app = typer.Typer(
    help="Write alert rules, dashboards, a proxy's configuration, least rights.",
    no_args_is_help=True,
)


@app.command("prometheus-rules")
def prometheus_rules(context: typer.Context, as_json: JsonOption = False) -> None:
    """Print alert rules for Prometheus, with the thresholds of [objectives].

    `severity` is "page" for what cannot wait and "ticket" for what can.
    """
    from farshore.watch.export_prometheus import rules, yaml

    config = load_config(context)
    found = rules(config.pair.name, config.objectives)
    if as_json:
        print_json(found)
    else:
        typer.echo(yaml(found), nl=False)


@app.command("grafana")
def grafana(context: typer.Context, as_json: JsonOption = False) -> None:
    """Print a Grafana dashboard, to be imported there. It is JSON with and without --json."""
    from farshore.watch.export_grafana import dashboard

    config = load_config(context)
    print_json(dashboard(config.pair.name, config.objectives))


@app.command("haproxy")
def haproxy(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where clients come in. [0.0.0.0:9000]")
    ] = "",
    certificate: Annotated[
        str,
        typer.Option(
            "--tls-cert", metavar="PATH", help="Serve by TLS: a PEM file, certificate and key."
        ),
    ] = "",
    ca: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Whom to trust at sites with https; without it their ca_file, or the system's.",
        ),
    ] = "",
    socket: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="The runtime API: a path or HOST:PORT; without it [switch]'s."
        ),
    ] = "",
    map_path: Annotated[
        str, typer.Option("--map", metavar="PATH", help="The map file; without it [switch]'s.")
    ] = "",
    user: Annotated[
        str, typer.Option(help="Whom HAProxy becomes after it has started as root.")
    ] = "",
    hold: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=20,
            metavar="SECONDS",
            help="How long a write that comes in a freeze is held before it is told to try again.",
        ),
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Print a configuration of HAProxy that stands before both sites and can be switched.

    Its first lines say what the map file must hold before the first start.
    """
    from farshore.switch.export_haproxy import LISTEN, MAP, SOCKET, FrontDoor, map_text, render

    config = load_config(context)
    proxy = _first_proxy(config.switch)
    door = FrontDoor(
        sites=_back_sites(config, ca),
        listen=listen or LISTEN,
        certificate=certificate,
        socket=socket or (proxy.socket if proxy else SOCKET),
        map_path=map_path or (proxy.map_path if proxy else MAP),
        user=user,
        hold_s=hold,
    )
    text = render(door)
    if as_json:
        print_json({"configuration": text, "map": map_text(config.pair.source)})
    else:
        typer.echo(text, nl=False)


def _back_sites(config: Config, ca: str) -> tuple[BackSite, BackSite]:
    from pathlib import Path

    from farshore.switch.export_haproxy import BackSite

    source, target = (
        BackSite(site.name, site.endpoint, Path(ca) if ca else site.ca_file)
        for site in (config.source, config.target)
    )
    return source, target


def _first_proxy(switch: Switch) -> Proxy | None:
    from farshore.config.switches import HaproxySwitch

    drivers = (driver for driver in switch.drivers if isinstance(driver, HaproxySwitch))
    return next((proxy for driver in drivers for proxy in driver.proxies), None)


@app.command("iam-policy")
def iam_policy(
    context: typer.Context,
    vendor: Annotated[
        Literal["aws", "minio", "seaweedfs"], typer.Option(help="Whose form it is to have.")
    ],
    principal: Annotated[
        Literal["operator", "replicator", "app"] | None,
        typer.Option(help="Whose rights; without it, all three."),
    ] = None,
    site: Annotated[
        str, typer.Option(metavar="SITE", help="The site; without it, both of the pair.")
    ] = "",
    kms_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARN",
            help="aws: a KMS key of that site that objects are encrypted by; may be repeated.",
        ),
    ] = None,
    acls: Annotated[
        bool,
        typer.Option("--acls", help="aws: access control lists are to be copied."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the least rights that farshore needs, made from this configuration.

    With --site and --principal it is one document, ready to be used; else an object with a
    document for each site and principal. It is JSON with and without --json. What the vendor
    cannot separate is told on standard error.
    """
    from farshore.core.iam import doubts, exported
    from farshore.core.rights import Who

    config = load_config(context)
    _require_sensible(vendor, site, kms_key or [], acls)
    principals: tuple[Who, ...] = (principal,) if principal else ("operator", "replicator", "app")
    found: dict[str, dict[str, Any]] = {}
    console = Console(as_json=as_json)
    told: dict[str, None] = {}
    for name in (site,) if site else (config.pair.source, config.pair.target):
        there = config.site(name)
        ground = _ground(config, there, tuple(kms_key or ()), acls)
        for who in principals:
            document = exported(who, ground, vendor, _partition(there))
            found.setdefault(name, {})[who] = document
            told |= dict.fromkeys(doubts(who, ground, vendor, document))
    for doubt in told:
        console.note(doubt)
    print_json(found[site][principal] if site and principal else found)


def _require_sensible(vendor: str, site: str, keys: list[str], acls: bool) -> None:
    """`UsageError` for what would be left out in silence, or would grant too much."""
    from farshore.errors import UsageError

    if keys and vendor != "aws":
        raise UsageError("--kms-key is for --vendor aws: elsewhere KMS keys have other rights.")
    if keys and not site:
        raise UsageError(
            "--kms-key needs --site: a key belongs to one region.",
            hint="Run it once for each site, with the keys of that site.",
        )
    if wrong := [key for key in keys if not key.startswith("arn:") or ":kms:" not in key]:
        raise UsageError(
            f"--kms-key {wrong[0]} is no ARN of a KMS key.",
            hint="It looks like arn:aws:kms:REGION:ACCOUNT:key/ID.",
        )
    if acls and vendor == "minio":
        raise UsageError("--acls: MinIO keeps no access control lists.")
    if acls and vendor == "seaweedfs":
        raise UsageError(
            "--acls: SeaweedFS lets nobody set access control lists but who may do everything.",
            hint="Leave them out, or give the replicator there an identity with Admin.",
        )


def _ground(config: Config, site: Site, keys: tuple[str, ...], acls: bool) -> Ground:
    from farshore.core.rights import Ground

    at_source = site.name == config.pair.source
    buckets = [entry.source if at_source else entry.target for entry in config.pair.buckets]
    by_policy = site.fence.by == "policy"
    return Ground(
        buckets=tuple(dict.fromkeys(buckets)),
        control=site.control_bucket,
        by_policy=by_policy,
        learns=by_policy and not site.fence.spare,
        keys=keys,
        acls=acls,
    )


def _partition(site: Site) -> str:
    """AWS' part of the world in ARNs, by the region's name."""
    for start, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        if site.region.startswith(start):
            return partition
    return "aws"
