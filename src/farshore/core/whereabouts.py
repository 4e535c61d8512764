"""Where clients should go, as the file that applications read says it: JSON or env form.

The JSON form is an object with `endpoint_url` and `site`, and where they are known `pair`,
`epoch`, `written_at` and `sites` (every site's endpoint); other keys are the user's own. The
env form is lines of `NAME=value` for shells, systemd and containers. Files are replaced in
one step; nobody ever reads half of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

FILE_BYTES_MAX = 64 * 1024
"""A larger file is not ours."""

ENV_ENDPOINT = "AWS_ENDPOINT_URL_S3"
"""What the AWS SDKs read when a client is made."""

ENV_SITE = "FARSHORE_SITE"
ENV_EPOCH = "FARSHORE_EPOCH"


class Whereabouts(NamedTuple):
    """`site` is where clients go, `endpoint` its URL; `sites`: every site's endpoint by name.

    `epoch` counts the changes of roles, 0 where it is not known. `written_at`: ISO 8601 UTC.
    """

    pair: str
    site: str
    endpoint: str
    epoch: int = 0
    written_at: str = ""
    sites: Mapping[str, str] = MappingProxyType({})


def as_json(value: Whereabouts) -> bytes:
    """The JSON form, with a newline at its end."""
    body = value._asdict()
    body |= {"endpoint_url": body.pop("endpoint"), "sites": dict(value.sites)}
    return json.dumps(body, indent=2, sort_keys=True).encode() + b"\n"


def as_env(value: Whereabouts) -> bytes:
    """The env form. Site names and URLs need no quoting: the configuration has seen to that."""
    lines = (
        "# Written by farshore when the switch is flipped; do not edit.",
        f"{ENV_ENDPOINT}={value.endpoint}",
        f"{ENV_SITE}={value.site}",
        f"{ENV_EPOCH}={value.epoch}",
    )
    return "\n".join(lines).encode() + b"\n"


def read(data: bytes) -> Whereabouts:
    """Either form. `ValueError` with a sentence for anything else."""
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
    text = data.decode("utf-8")
    return _from_json(text) if text.lstrip().startswith("{") else _from_env(text)


def _from_json(text: str) -> Whereabouts:
    body = json.loads(text)
    sites = body.get("sites", {})
    if not isinstance(sites, dict):
        raise ValueError("its sites are no table")
    return Whereabouts(
        pair=_text(body, "pair"),
        site=_text(body, "site"),
        endpoint=_url(_text(body, "endpoint_url")),
        epoch=_whole(body.get("epoch", 0)),
        written_at=_text(body, "written_at"),
        sites={str(name): _url(str(url)) for name, url in sites.items()},
    )


def _from_env(text: str) -> Whereabouts:
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    found = {name.strip(): value.strip() for name, equals, value in lines if equals}
    if ENV_ENDPOINT not in found:
        raise ValueError(f"it is not JSON and has no line {ENV_ENDPOINT}=…")
    site, url = found.get(ENV_SITE, ""), _url(found[ENV_ENDPOINT])
    epoch = found.get(ENV_EPOCH, "0")
    if not (epoch.isascii() and epoch.isdigit()):
        raise ValueError(f"its {ENV_EPOCH} is no whole number")
    return Whereabouts("", site, url, int(epoch), "", {site: url} if site else {})


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("its epoch is no whole number")
    return value


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("its endpoint is no URL")
    return text
