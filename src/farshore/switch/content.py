"""The text of a file that applications read: one entry of ours among others. Pure.

    json    {"endpoint_url": "https://…", "site": "west", …}   other keys stay as they are
    env     AWS_ENDPOINT_URL_S3=https://…                      other lines stay as they are

The env form is what `docker --env-file`, systemd's `EnvironmentFile` and a shell's `.` agree
on: of several lines for one variable the last one counts.
"""

from __future__ import annotations

import json
import re
from typing import Literal

VARIABLE = "AWS_ENDPOINT_URL_S3"
"""The AWS SDKs read it (SDK reference, "Service-specific endpoints")."""

URL_KEY, SITE_KEY = "endpoint_url", "site"

_LINE = re.compile(rf"^(?P<head>\s*(?:export\s+)?){VARIABLE}=(?P<value>.*)$")
_PLAIN = re.compile(r"[A-Za-z0-9.:/_%@=+,~\[\]-]+")

Format = Literal["json", "env"]


class BadContent(Exception):
    """What is wrong with the file's text, in words that hold none of it."""


def value_in(text: str, form: Format) -> str:
    """Our entry's value; "" when there is none. `BadContent` for what is not of that form."""
    if form == "json":
        return _text(_document(text).get(URL_KEY, ""), URL_KEY)
    found = [match["value"].strip() for match in map(_LINE.match, text.split("\n")) if match]
    return _unquoted(found[-1]) if found else ""


def site_in(text: str, form: Format) -> str:
    """The site that stands beside the value in JSON; "" where none does."""
    return _text(_document(text).get(SITE_KEY, ""), SITE_KEY) if form == "json" else ""


def with_value(text: str, form: Format, value: str, site: str) -> str:
    """The text with our entry changed, or added at its end, and all else as it was."""
    if form == "json":
        return json.dumps({**_document(text), URL_KEY: value, SITE_KEY: site}, indent=2) + "\n"
    if not _PLAIN.fullmatch(value):
        raise BadContent("the value has characters that an env file would need quotes for")
    lines = text.removesuffix("\n").split("\n") if text else []
    ours = [number for number, line in enumerate(lines) if _LINE.match(line)]
    if not ours:
        return "\n".join([*lines, f"{VARIABLE}={value}"]) + "\n"
    last = _LINE.match(lines[ours[-1]])
    lines[ours[-1]] = f"{last['head'] if last else ''}{VARIABLE}={value}"
    return "\n".join(line for number, line in enumerate(lines) if number not in ours[:-1]) + "\n"


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


def _text(value: object, key: str) -> str:
    if isinstance(value, str):
        return value
    raise BadContent(f'its "{key}" is not text')


def _unquoted(value: str) -> str:
    for quote in "\"'":
        if len(value) > 1 and value[0] == value[-1] == quote:
            return value[1:-1]
    return value
