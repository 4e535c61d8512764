"""`farshore lab`: real S3 regions on this machine, to try everything on."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption
from farshore.errors import UsageError

if TYPE_CHECKING:
    from farshore.lab.regions import Lab
    from farshore.lab.settings import LinkSettings
    from farshore.lab.state import LabState, SiteState

app = typer.Typer(
    help="Run real S3 regions on this machine, each behind a link that can be made bad.",
    no_args_is_help=True,
)

DirOption = Annotated[
    Path, typer.Option("--dir", help="The lab's folder: farshore.toml and .farshore-lab/ are here.")
]
SiteArgument = Annotated[str, typer.Argument(metavar="SITE", help="The site's name.")]
HERE = Path()


def _lab(folder: Path) -> Lab:
    from farshore.lab.regions import Lab  # not at the top, for a quick --help

    return Lab(folder)


def _names(text: str) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",")) if text else None


@app.command()
def up(
    sites: Annotated[
        str, typer.Option(help="Names, with commas; the first two become the pair. [east,west]")
    ] = "",
    buckets: Annotated[
        str, typer.Option(help="Buckets to make on every site, with commas. [files]")
    ] = "",
    tls: Annotated[
        bool | None,
        typer.Option("--tls", help="S3 and the filer by TLS, with a private CA."),
    ] = None,
    front_door: Annotated[
        bool | None,
        typer.Option(
            "--front-door", help="Put HAProxy before both sites, and [switch] into the file."
        ),
    ] = None,
    folder: DirOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Start the regions and write a farshore.toml that fits them."""
    console = Console(as_json=as_json)
    lab = _lab(folder)
    was_up, began = lab.is_up(), time.monotonic()
    state = lab.up(_names(sites), tls=tls, buckets=_names(buckets), front_door=front_door)
    took = f"The lab is up after {time.monotonic() - began:.1f} s."
    console.say("The lab is up already." if was_up else took)
    _show(console, state)
    console.say("Next: farshore apply, then farshore backfill. To end it: farshore lab down.")
    console.document(state.to_json())


@app.command()
def status(folder: DirOption = HERE, as_json: JsonOption = False) -> None:
    """Show every site: where it is, whether it lives, what its link does.

    With --json also the keys of its principals: they are worth nothing elsewhere.
    """
    console = Console(as_json=as_json)
    state = _lab(folder).status()
    _show(console, state)
    console.document(state.to_json())


@app.command()
def kill(site: SiteArgument, folder: DirOption = HERE, as_json: JsonOption = False) -> None:
    """Kill a site with SIGKILL, as a power cut would. Its data stay on disk."""
    lab = _lab(folder)
    lab.kill(site)
    _report(as_json, f"{site} is dead; its data are kept.", lab.status().site(site))


@app.command()
def revive(site: SiteArgument, folder: DirOption = HERE, as_json: JsonOption = False) -> None:
    """Start a killed site again, over its data and behind the same endpoint."""
    lab = _lab(folder)
    lab.revive(site)
    _report(as_json, f"{site} is alive.", lab.status().site(site))


@app.command()
def down(
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep the sites' data and keys for the next up.")
    ] = False,
    folder: DirOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """End every process of the lab and remove its files."""
    console = Console(as_json=as_json)
    _lab(folder).down(keep_data=keep_data)
    kept = "its data are kept" if keep_data else "its files are removed"
    console.say(f"The lab is down; {kept}.")
    console.document({"sites": []})


@app.command()
def link(
    site: SiteArgument,
    latency: Annotated[
        float | None, typer.Option(min=0, metavar="MS", help="Milliseconds, each way.")
    ] = None,
    jitter: Annotated[
        float | None, typer.Option(min=0, metavar="MS", help="Up to this much more or less.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, metavar="MBIT", help="Megabit/s in all; 0: no limit.")
    ] = None,
    cut: Annotated[bool, typer.Option("--cut", help="Swallow everything, silently.")] = False,
    heal: Annotated[bool, typer.Option("--heal", help="Carry everything again.")] = False,
    refuse: Annotated[
        bool, typer.Option("--refuse", help="Reset and refuse connections, until --heal.")
    ] = False,
    reset_after: Annotated[
        int | None,
        typer.Option(min=0, metavar="BYTES", help="Reset a connection, once, after so many bytes."),
    ] = None,
    folder: DirOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make the line between farshore and a site slow, narrow, cut or treacherous.

    What is not named stays as it is; without options the link's state is shown.
    """
    if cut + heal + refuse > 1:
        raise UsageError("--cut, --heal and --refuse are three different things: choose one")
    wanted: dict[str, Any] = {
        "latency_ms": latency,
        "jitter_ms": jitter,
        "rate_mbit": rate,
        "reset_after": reset_after,
        "cut": cut if cut or heal or refuse else None,
        "refuse": refuse if cut or heal or refuse else None,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    lab = _lab(folder)
    if changes:
        lab.link(site, replace(lab.link_settings(site), **changes))
    found = lab.status().site(site)
    _report(as_json, f"The link to {site}: {_line(found.link)}.", found)


def _report(as_json: bool, sentence: str, site: SiteState) -> None:
    console = Console(as_json=as_json)
    console.say(sentence)
    console.document(site.to_json())


def _show(console: Console, state: LabState) -> None:
    rows = [
        (site.name, site.endpoint, f"pid {site.pid}" if site.pid else "dead", _line(site.link))
        for site in state.sites
    ]
    if state.front_door:
        pid = state.front_door.pid
        rows.append(("front door", state.front_door.endpoint, f"pid {pid}" if pid else "dead", ""))
    console.table(("site", "endpoint", "process", "link"), rows)


def _line(settings: LinkSettings | None) -> str:
    """A link's state in words."""
    if settings is None:
        return "unknown"
    words = []
    if settings.cut:
        words.append("cut")
    if settings.refuse:
        words.append("refusing")
    if settings.latency_ms or settings.jitter_ms:
        words.append(f"{settings.latency_ms:g} ± {settings.jitter_ms:g} ms each way")
    if settings.rate_mbit:
        words.append(f"{settings.rate_mbit:g} Mbit/s")
    if settings.reset_after is not None:
        words.append(f"one reset after {settings.reset_after} bytes")
    return ", ".join(words) or "open"
