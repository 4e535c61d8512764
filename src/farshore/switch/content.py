"""The text of a file that applications read: our entries among others. Pure.

    json    {"endpoint_url": "https://…", "site": "west", "sites": {…}, "epoch": 4, …}
    env     AWS_ENDPOINT_URL_S3=https://…, FARSHORE_SITE=west, FARSHORE_EPOCH=4, one line each

Other keys and other lines stay as they are. The env form is what `docker --env-file`,
systemd's `EnvironmentFile` and a shell's `.` agree on: of several lines for one variable the
last one counts. `core/whereabouts.py` reads both forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from farshore.core.whereabouts import ENV_ENDPOINT, ENV_EPOCH, ENV_SITE

URL_KEY, SITE_KEY, SITES_KEY, EPOCH_KEY = "endpoint_url", "site", "sites", "epoch"

_PLAIN = re.compile(r"[A-Za-z0-9.:/_%@=+,~\[\]-]+")

Format = Literal["json", "env"]


class BadContent(Exception):
    """What is wrong with the file's text, in words that hold none of it."""


class Entry(NamedTuple):
    """What stands there: "" for what does not."""

    url: str
    site: str


def entry_in(text: str, form: Format) -> Entry:
    """Our entries. `BadContent` for what is not of that form."""
    if form == "env":
        lines = text.split("\n")
        return Entry(_variable(lines, ENV_ENDPOINT), _variable(lines, ENV_SITE))
    document = _document(text)
    return Entry(_text(document, URL_KEY), _text(document, SITE_KEY))


def epoch_in(text: str, form: Format) -> int:
    """The epoch that stands beside our entries; 0 for none. `BadContent` as `entry_in`."""
    if form == "env":
        value = _variable(text.split("\n"), ENV_EPOCH)
        return int(value) if value.isascii() and value.isdigit() else 0
    found = _document(text).get(EPOCH_KEY)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def with_entry(
    text: str, form: Format, site: str, values: Mapping[str, str], epoch: int = 0
) -> str:
    """The text with our entries changed, or added at its end, and all else as it was. `epoch`:
    of the roles that the site belongs to; 0, where it is not known, takes out what stood there."""
    if form == "json":
        document = {**_document(text), URL_KEY: values[site], SITE_KEY: site}
        document[SITES_KEY] = dict(values)
        if epoch:
            document[EPOCH_KEY] = epoch
        else:
            document.pop(EPOCH_KEY, None)
        return json.dumps(document, indent=2) + "\n"
    lines = text.removesuffix("\n").split("\n") if text else []
    entries = [(ENV_ENDPOINT, values[site]), (ENV_SITE, site)]
    if epoch:
        entries.append((ENV_EPOCH, str(epoch)))
    else:
        lines = [line for line in lines if not _line(ENV_EPOCH).match(line)]
    for name, value in entries:
        lines = _with_line(lines, name, value)
    return "\n".join(lines) + "\n"


def _line(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<head>\s*(?:export\s+)?){name}=(?P<value>.*)")


def _variable(lines: list[str], name: str) -> str:
    """The last line counts."""
    found = [match["value"].strip() for match in map(_line(name).match, lines) if match]
    return _unquoted(found[-1]) if found else ""


def _with_line(lines: list[str], name: str, value: str) -> list[str]:
    """One line for the variable, where the last one was."""
    if not _PLAIN.fullmatch(value):
        raise BadContent(f"{name} would need quotes, which not every reader of env files takes")
    matches = {number: m for number, line in enumerate(lines) if (m := _line(name).match(line))}
    if not matches:
        return [*lines, f"{name}={value}"]
    last = max(matches)
    changed = {last: f"{matches[last]['head']}{name}={value}"}
    kept = (number for number in range(len(lines)) if number == last or number not in matches)
    return [changed.get(number, lines[number]) for number in kept]


def _document(text: str) -> dict[str, object]:
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadContent("it is not JSON") from None
    if not isinstance(document, dict):
        raise BadContent("it is not a JSON object")
    return document


def _text(document: Mapping[str, object], key: str) -> str:
    value = document.get(key, "")
    if isinstance(value, str):
        return value
    raise BadContent(f'its "{key}" is not text')


def _unquoted(value: str) -> str:
    for quote in "\"'":
        if len(value) > 1 and value[0] == value[-1] == quote:
            return value[1:-1]
    return value
