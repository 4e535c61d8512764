"""What the keys of farshore.toml are made of: endpoints, names, durations, sources of secrets.

Validators raise `ValueError` with a sentence that says what to write.
"""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from farshore.config.pace import zone_of
from farshore.config.quantity import duration_seconds, size_bytes

CONTROL_BUCKET = "farshore-control"
"""The control bucket's name where the file gives none."""

BUCKET_LETTERS_MIN = 3

SITE_NAME = re.compile(r"[a-z0-9-]{1,32}")
_PAIR_NAME = re.compile(r"[a-z0-9-]{1,65}")
_BUCKET = re.compile(r"[A-Za-z0-9*][A-Za-z0-9.\-_*]{0,62}")
_BUCKET_EDGE = re.compile(r"^[.\-]|[.\-]$")
_FOUR_NUMBERS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_HOURS = re.compile(r"(?P<begin>(?P<h>\d\d):[0-5]\d)-(?P<end>(?P<h2>\d\d):[0-5]\d)")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NATS_NAME = re.compile(r"[^\s.*>/\\]{1,255}")


def _endpoint(text: str) -> str:
    if not text.isprintable() or " " in text:
        raise ValueError("leave out blanks and line breaks")  # urlsplit would, without a word
    if "@" in text:
        raise ValueError("leave user and password out of the URL; keys go under credentials")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('write a URL such as "https://s3.example.net" or "http://127.0.0.1:8333"')
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("write only scheme, host and port: no path")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port must be a number from 0 to 65535") from None
    return text.rstrip("/")


def _address(text: str) -> str:
    """host:port; an IPv6 address stands in brackets."""
    parts = urlsplit(f"//{text}")
    try:
        whole = bool(parts.hostname and parts.port) and parts.netloc == text and "@" not in text
    except ValueError:  # a port that is no number, or above 65535
        whole = False
    if not whole:
        raise ValueError('write host:port, such as "filer.example.net:18888", without a scheme')
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("write a path that begins with /")
    return text


def _runtime_api(text: str) -> str:
    if text.startswith("/"):
        return _absolute(text)
    try:
        return _address(text)
    except ValueError:
        raise ValueError("write a path that begins with /, or host:port") from None


def _bucket(text: str) -> str:
    """No server takes other names. Capitals and _ are doubtful: see `config.doubts`."""
    if not _BUCKET.fullmatch(text):
        raise ValueError("write a bucket's name: letters, digits, dots and dashes, 63 at most")
    if text.count("*") > 1:
        raise ValueError('write one * at most, such as "prod-*"')
    if len(text) < BUCKET_LETTERS_MIN and "*" not in text:
        raise ValueError(f"a bucket's name has {BUCKET_LETTERS_MIN} letters or more")
    if ".." in text or _BUCKET_EDGE.search(text):
        raise ValueError(
            "a bucket's name begins and ends with a letter or digit, and has no two dots in a row"
        )
    if _FOUR_NUMBERS.fullmatch(text):
        raise ValueError("a bucket's name does not look like an IP address")
    return text


def _plain_bucket(text: str) -> str:
    if "*" in text:
        raise ValueError("write one name, without *")
    return _bucket(text)


def _env_name(text: str) -> str:
    if not _ENV_NAME.fullmatch(text):
        raise ValueError('write the first part of the variables\' names, such as "FARSHORE_EAST"')
    return text


def _command(text: str) -> str:
    if "secretaccesskey" in text.lower():
        raise ValueError("write a command that fetches the keys, not one that contains them")
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("a quote is not closed") from None
    if not words:
        raise ValueError("write a command that prints the keys as AWS credential_process JSON")
    return text


def _queue_url(text: str) -> str:
    _without_password(text)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.strip("/"):
        raise ValueError(
            'write the queue\'s URL, such as "https://sqs.eu-west-1.amazonaws.com/123456789012/name"'
        )
    return text


def _nats_server(text: str) -> str:
    _without_password(text)
    parts = urlsplit(text)
    if parts.scheme not in ("nats", "tls") or not parts.hostname:
        raise ValueError('write a URL such as "nats://127.0.0.1:4222" or "tls://nats.example.net"')
    return text


def _without_password(text: str) -> None:
    if "@" in text:
        raise ValueError("leave user and password out of the URL: secrets are not in this file")


def _nats_name(text: str) -> str:
    if not _NATS_NAME.fullmatch(text):
        raise ValueError("write a name without spaces, dots, slashes, * and >")
    return text


def _record_name(text: str) -> str:
    name = text.rstrip(".").lower()
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(part) for part in name.split(".")):
        raise ValueError('write a full name, such as "s3.example.net"')
    return name


def _switch_name(text: str) -> str:
    if not SITE_NAME.fullmatch(text):
        raise ValueError("write a short name: a-z, 0-9 and dashes, 32 at most")
    return text


def _pair_name(text: str) -> str:
    if not _PAIR_NAME.fullmatch(text):
        raise ValueError("write a short name: a-z, 0-9 and dashes, 65 at most")
    return text


def _amount(value: object) -> object:
    return size_bytes(value) if isinstance(value, str) else value


def _duration(value: object) -> object:
    return duration_seconds(value) if isinstance(value, str) else value


def _hours(text: str) -> str:
    found = _HOURS.fullmatch(text)
    if not found or max(int(found["h"]), int(found["h2"])) > 23:
        raise ValueError('write "HH:MM-HH:MM", such as "22:00-06:00"')
    if found["begin"] == found["end"]:
        raise ValueError("the window is empty: begin and end are one time")
    return text


def _zone(text: str) -> str:
    try:
        zone_of(text)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            'there is no such time zone here; write "UTC", or a name such as "Europe/Berlin"'
        ) from None
    return text


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError('write "HOST:PORT", such as "127.0.0.1:9470"')
    return text


def _marker_policy(text: str) -> str:
    if text in ("replicate", "never"):
        return text
    word, _, rest = text.partition(" ")
    if word != "after":
        raise ValueError('write "replicate", "never" or "after 7d"')
    duration_seconds(rest)
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint)]
Address = Annotated[str, AfterValidator(_address)]
Bucket = Annotated[str, AfterValidator(_plain_bucket)]
BucketPattern = Annotated[str, AfterValidator(_bucket)]
QueueUrl = Annotated[str, AfterValidator(_queue_url)]
NatsServer = Annotated[str, AfterValidator(_nats_server)]
NatsName = Annotated[str, AfterValidator(_nats_name)]
RecordName = Annotated[str, AfterValidator(_record_name)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
RuntimeApi = Annotated[str, AfterValidator(_runtime_api)]
PairName = Annotated[str, AfterValidator(_pair_name)]
SwitchName = Annotated[str, AfterValidator(_switch_name)]
Amount = Annotated[
    int,
    BeforeValidator(_amount),
    Field(ge=0),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}),
]


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
Hours = Annotated[str, AfterValidator(_hours)]
Zone = Annotated[str, AfterValidator(_zone)]
Listen = Annotated[str, AfterValidator(_listen)]
MarkerPolicyText = Annotated[str, AfterValidator(_marker_policy)]


class Form(BaseModel):
    """Strict: no unknown key, no number where text belongs; frozen once read."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class CredentialForm(Form):
    """Where one principal's keys come from: exactly one of the three."""

    env: Annotated[str, AfterValidator(_env_name)] | None = Field(
        None,
        description="Read NAME_ACCESS_KEY_ID, NAME_SECRET_ACCESS_KEY and, for temporary keys, "
        "NAME_SESSION_TOKEN from the environment.",
    )
    profile: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A profile of the AWS shared credentials and config files."
    )
    command: Annotated[str, AfterValidator(_command)] | None = Field(
        None,
        description="A program that prints AWS credential_process JSON. It runs in the folder "
        "of farshore.toml, without a shell, for at most 30 s.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [k for k in type(self).model_fields if getattr(self, k) is not None]
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "is empty"
            raise ValueError(f"{what}; write exactly one of env, profile and command")
        return self


class TokenForm(Form):
    """Where a token comes from that callers must show: one of the two."""

    env: Annotated[str, AfterValidator(_env_name)] | None = Field(
        None, description="The environment variable that holds it."
    )
    file: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="The file that holds it, beside the configuration. It is read at every "
        "request: replace it, and the new token holds at once. It may hold two, on two lines, "
        "while one takes the other's place.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError('write { env = "NAME" } or { file = "PATH" }')
        return self


class SecretForm(Form):
    """Where one secret word comes from."""

    env: Annotated[str, AfterValidator(_env_name)] = Field(
        description="The environment variable that holds it."
    )
