"""The farshore.toml that a lab leaves in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from farshore.errors import Refused
from farshore.lab.front_door import DoorState
from farshore.lab.principals import PRINCIPALS
from farshore.lab.seaweed import REGION
from farshore.lab.state import STATE_FOLDER, LabState, SiteState, tls_table

FILE_NAME = "farshore.toml"
CONTROL_BUCKET = "farshore-control"
MARKER = "# Written by `farshore lab up`, and again by the next one. Drop this line to keep edits."


def render(state: LabState) -> str:
    """The file's text: every site, and the pair first -> second."""
    parts = [MARKER, *(_site(site, state) for site in state.sites)]
    if len(state.sites) > 1:
        parts.append(_pair(state))
    if state.front_door:
        parts.append(_switch(state.front_door, state.ca_file))
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False)


def _site(site: SiteState, state: LabState) -> str:
    lines = [
        f"[sites.{site.name}]",
        f"endpoint = {_quoted(site.endpoint)}",
        f"region = {_quoted(REGION)}",
        f"filer = {_quoted(site.filer)}",
        f"filer_grpc = {_quoted(site.filer_grpc)}",
    ]
    if state.ca_file:
        lines.append(f"ca_file = {_quoted(str(state.ca_file))}")
    if state.filer_tls:
        lines += ["", f"[sites.{site.name}.filer_tls]"]
        lines += [f"{key} = {_quoted(file)}" for key, file in tls_table(state.filer_tls).items()]
    lines += ["", f"[sites.{site.name}.credentials]"]
    width = max(map(len, PRINCIPALS))
    for principal in PRINCIPALS:
        shown = _quoted(f"cat {STATE_FOLDER}/{site.name}/{principal}.json")
        lines.append(f"{principal:<{width}} = {{ command = {shown} }}")
    return "\n".join(lines)


def _pair(state: LabState) -> str:
    lines = [
        "[pair]",
        f"source = {_quoted(state.sites[0].name)}",
        f"target = {_quoted(state.sites[1].name)}",
        f"control_bucket = {_quoted(CONTROL_BUCKET)}",
    ]
    for bucket in state.buckets:
        lines += ["", "[[pair.buckets]]", f"source = {_quoted(bucket)}"]
    return "\n".join(lines)


def _switch(door: DoorState, ca_file: Path | None) -> str:
    trust = [f"ca_file = {_quoted(str(ca_file))}"] if ca_file else []
    lines = [
        "[switch]",
        f"endpoint = {_quoted(door.endpoint)}",
        *trust,
        "",
        "[[switch.drivers]]",
        'kind = "haproxy"',
        "",
        "[[switch.drivers.proxies]]",
        f"socket = {_quoted(str(door.socket))}",
        f"map = {_quoted(str(door.map_path))}",
        f"door = {_quoted(door.endpoint)}",
        *trust,
    ]
    return "\n".join(lines)


def _is_ours(path: Path) -> bool:
    with path.open() as opened:
        return opened.readline().rstrip("\n") == MARKER


def refuse_foreign(folder: Path) -> None:
    """Raise `Refused` when the folder has a farshore.toml that no lab wrote."""
    path = folder / FILE_NAME
    if path.exists() and not _is_ours(path):
        raise Refused(
            f"{path} was not written by a lab, and the lab would overwrite it",
            hint="start the lab in another folder with --dir, or move that file away",
        )


def write(state: LabState) -> Path:
    """Write the file. Raises `Refused` rather than overwrite a foreign one."""
    refuse_foreign(state.folder)
    path = state.folder / FILE_NAME
    path.write_text(render(state))
    return path


def remove(state: LabState) -> None:
    """Take the file away again, unless somebody has edited it."""
    path = state.folder / FILE_NAME
    if path.exists() and path.read_text() == render(state):
        path.unlink()
