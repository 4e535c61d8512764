"""What S3 keeps of the attributes that a write brings: defaults, order and limits."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from farshore.core.model import CARRIED_HEADERS, NO_LOCK, Attributes
from farshore.errors import BadRequest, Unsupported
from farshore.testing.store.lock import require_valid

METADATA_BYTES_MAX = 2048
TAGS_MAX = 10
TAG_NAME_CHARACTERS_MAX = 128
TAG_VALUE_CHARACTERS_MAX = 256
DEFAULT_CONTENT_TYPE = "binary/octet-stream"


def admitted(attributes: Attributes, *, can_lock: bool, now: float, action: str) -> Attributes:
    """The attributes as S3 keeps them: sorted, trimmed, defaults filled in.

    `BadRequest` for what is over a limit, `Unsupported` for a lock that cannot be kept.
    """
    metadata = {name.lower(): value.strip(" \t") for name, value in attributes.metadata}
    if sum(len(name) + len(value) for name, value in metadata.items()) > METADATA_BYTES_MAX:
        _refuse(action, "MetadataTooLarge", "more than 2 KB of metadata")
    require_tags(attributes.tags, action)
    if attributes.lock != NO_LOCK:
        require_lockable(can_lock, action)
        require_valid(attributes.lock, now, action)
    standard = attributes.storage_class == "STANDARD"
    return replace(
        attributes,
        headers=_headers(attributes),
        metadata=tuple(sorted(metadata.items())),
        tags=tuple(sorted(attributes.tags)),
        storage_class="" if standard else attributes.storage_class,
    )


def _headers(attributes: Attributes) -> tuple[tuple[str, str], ...]:
    headers = {"content-type": DEFAULT_CONTENT_TYPE}
    for name, value in attributes.headers:
        if name.lower() in CARRIED_HEADERS:
            headers[name.lower()] = value
    return tuple(sorted(headers.items()))


def require_tags(tags: tuple[tuple[str, str], ...], action: str) -> None:
    """Raise `BadRequest` for tags over S3's limits."""
    if len(tags) > TAGS_MAX or len({name for name, _ in tags}) != len(tags):
        _refuse(action, "InvalidTag", "more than ten tags, or a name twice")
    for name, value in tags:
        if not 1 <= len(name) <= TAG_NAME_CHARACTERS_MAX or len(value) > TAG_VALUE_CHARACTERS_MAX:
            _refuse(action, "InvalidTag", "a tag's name or value is too long")


def require_lockable(can_lock: bool, action: str) -> None:
    """Raise `Unsupported` where there is no Object Lock."""
    if not can_lock:
        raise Unsupported(f"{action}: there is no Object Lock here", status=501, action=action)


def _refuse(action: str, code: str, reason: str) -> NoReturn:
    raise BadRequest(f"{action}: {reason} ({code})", status=400, code=code, action=action)
