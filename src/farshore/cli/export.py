"""`farshore export`: what other tools need to watch a pair."""

from __future__ import annotations

import typer

from farshore.cli.console import JsonOption, load_config, print_json

app = typer.Typer(help="Write alert rules and dashboards.", no_args_is_help=True)


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
