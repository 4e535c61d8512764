"""How the demo's clients reach the active site: HAProxy, or farshore's hook in boto3."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as BotoConfig

from farshore.application import boto3_client
from farshore.errors import LabError
from farshore.lab import front_door
from farshore.lab.pairfile import FILE_NAME
from farshore.lab.seaweed import REGION
from farshore.lab.state import LabState

ENDPOINT_FILE = "endpoint.json"

DAEMON = """
[daemon]
listen = "127.0.0.1:0"
scan_every = "5s"
"""
"""A small tree is scanned often; port 0: a `farshore run` of the reader's is left alone."""


@dataclass(frozen=True, slots=True)
class Front:
    """`how`: in words. `client` makes a boto3 client of the app that follows the switch."""

    how: str
    client: Callable[[], Any]


def has_haproxy() -> bool:
    """Whether HAProxy is on this machine."""
    try:
        front_door.binary()
    except LabError:
        return False
    return True


def build(state: LabState) -> Front:
    """Complete the lab's farshore.toml, and say how clients come in."""
    path = state.folder / FILE_NAME
    if state.front_door:
        door = state.front_door.endpoint
        _append(path, DAEMON)
        return Front(f"HAProxy, {door}", lambda: _plain(state, door))
    file = state.folder / ENDPOINT_FILE
    driver = f'\n[[switch.drivers]]\nkind = "file"\npath = {json.dumps(str(file))}\n'
    _append(path, DAEMON + driver)
    return Front("farshore.boto3_client (no HAProxy here)", lambda: _following(state, file))


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def _plain(state: LabState, endpoint: str) -> Any:
    return boto3.client("s3", endpoint_url=endpoint, config=_config(), **_keys(state))


def _following(state: LabState, file: Path) -> Any:
    return boto3_client(file, config=_config(), **_keys(state))


def _keys(state: LabState) -> dict[str, Any]:
    """The app has the same keys at both sites."""
    keys = state.sites[0].principals["app"]
    return {
        "region_name": REGION,
        "aws_access_key_id": keys.access_key,
        "aws_secret_access_key": keys.secret_key,
        "verify": str(state.ca_file) if state.ca_file else None,
    }


def _config() -> BotoConfig:
    """boto3's own retries, as most applications have them."""
    return BotoConfig(
        signature_version="s3v4",
        connect_timeout=5,
        read_timeout=20,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
