"""`farshore probe SITE`: what a site's server can do, found out and written down."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.errors import BucketMissing, StateError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.s3.probe import ProbeReport

NOT_LISTABLE = 5
"""Exit code when no complete way to list was found: the site is refused."""


def probe(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="The site to ask.")],
    as_json: JsonOption = False,
) -> None:
    """Find out what a site's server can do, and record it in its control bucket.

    Writes about 1,200 small objects below farshore-probe/ in the control bucket, asks
    for them in every way, and purges them all. Exit code 5 when no way was found to list
    the site's versions without losing some.
    """
    config = load_config(context)
    report = run(_probe(config, site))
    console = Console(as_json=as_json)
    show(console, site, report)
    console.document(document(site, report))
    if report.capabilities.listing is None:
        raise typer.Exit(NOT_LISTABLE)


async def _probe(config: Config, site_name: str) -> ProbeReport:
    from farshore.clock import SystemClock
    from farshore.control.contact import make_contact
    from farshore.control.recorded import write_record
    from farshore.control.sites import open_access
    from farshore.s3.probe import probe as ask

    async with open_access(config, site_name) as access:
        site, store = access.site, access.replicator
        await make_contact(store, site, "replicator")
        try:
            report = await ask(store, site.control_bucket, filer=access.filer, clock=SystemClock())
        except BucketMissing:
            raise StateError(
                f"{site_name} has no control bucket {site.control_bucket} to probe in.",
                hint="Run `farshore apply` first: it makes the bucket, and probes as well.",
            ) from None
        await write_record(store, site, report.capabilities)
    return report


def show(console: Console, site: str, report: ProbeReport) -> None:
    """A row for each capability, then the evidence."""
    able = report.capabilities
    console.say(f"{site}: {able.server}, probed at {able.probed_at}")
    rows = [
        (field.name.replace("_", " "), word(getattr(able, field.name)))
        for field in fields(able)
        if field.name not in ("server", "probed_at")
    ]
    console.table(("capability", "answer"), rows)
    console.say()
    for sentence in report.evidence:
        console.say(f"- {sentence}")
    if able.listing is None:
        console.say(f"{site} is refused: its versions cannot be listed without losing some.")


def word(value: object) -> str:
    """A capability's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none: refused" if value is None else str(value)


def document(site: str, report: ProbeReport) -> dict[str, Any]:
    """The command's one JSON document."""
    return {
        "site": site,
        "capabilities": report.capabilities.to_json(),
        "evidence": list(report.evidence),
    }
