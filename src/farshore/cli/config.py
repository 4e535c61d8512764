"""`farshore config`: is the file right, and what may stand in it."""

from __future__ import annotations

import json
import os

import typer

from farshore.cli.console import Console, JsonOption, load_config

app = typer.Typer(help="Check the configuration file, or print its schema.", no_args_is_help=True)


@app.command()
def check(context: typer.Context, as_json: JsonOption = False) -> None:
    """Read the file and list every problem; no site is contacted.

    Doubtful is what `farshore run` would stumble over here (a variable that is not set), and
    an objective that the feeds and scans cannot meet with nothing wrong.
    """
    from farshore.config.doubts import doubts
    from farshore.daemon.outlook import outlook

    config = load_config(context)
    console = Console(as_json=as_json)
    console.say(f"{config.path} is right.")
    console.say(f"  pair     {config.pair.name}: {config.pair.source} -> {config.pair.target}")
    for entry in config.pair.buckets:
        console.say(f"  bucket   {entry.source} -> {entry.target}")
    doubtful = [*doubts(config), *outlook(config, os.environ)]
    for sentence in doubtful:
        console.say(f"  doubtful {sentence}")
    console.say(f"  rules    {len(config.pair.rules) or 'none: everything is replicated'}")
    console.document(
        {
            "path": str(config.path),
            "pair": config.pair.name,
            "source": config.pair.source,
            "target": config.pair.target,
            "buckets": [[entry.source, entry.target] for entry in config.pair.buckets],
            "rules": len(config.pair.rules),
            "doubts": doubtful,
        }
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from farshore.config.form import schema as build  # Pydantic: only when it is needed

    typer.echo(json.dumps(build(), indent=2))
