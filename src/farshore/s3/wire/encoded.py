"""Text in listings: keys under `encoding-type=url`, and true or false."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import unquote_plus

from farshore.errors import BadListing

_FLAGS = {"true": True, "false": False}


def decoder(encoding_type: str) -> Callable[[str], str]:
    """How to read keys of a listing: decoded only when the answer says EncodingType url.

    A server that ignores `encoding-type` (SeaweedFS) sends keys as they are, and decoding
    them would turn `100%25` into another key.
    """
    if encoding_type == "url":
        return decode_key
    if encoding_type:
        raise BadListing(f"a listing's keys are encoded as {encoding_type!a}, which is unknown")
    return str


def decode_key(text: str) -> str:
    """Undo the URL encoding of one key ("+" is a space); `BadListing` when it is not UTF-8."""
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise BadListing(f"a listing's key {text!a} is not UTF-8") from None


def flag(text: str, name: str) -> bool:
    """true or false; `BadListing` for any other word."""
    try:
        return _FLAGS[text]
    except KeyError:
        raise BadListing(f"a listing has {text!a} for {name}, not true or false") from None


def is_moment(text: str) -> bool:
    """Whether a time is ISO 8601 with its zone, as S3 writes times: such can be counted with."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
