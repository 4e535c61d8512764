"""`farshore export`: what other tools need to watch a pair, and to stand before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import JsonOption, load_config, print_json

if TYPE_CHECKING:
    from farshore.config.switches import Proxy, Switch
    from farshore.config.values import Config
    from farshore.switch.export_haproxy import BackSite

app = typer.Typer(
    help="Write alert rules, dashboards, a proxy's configuration.", no_args_is_help=True
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
