"""Names of buckets and keys as the state file has them: bytes. They sort as S3 sorts them, and
no text that a server or an event may send can fail to be stored."""

from __future__ import annotations


def as_bytes(text: str) -> bytes:
    """For a column."""
    return text.encode("utf-8", "surrogatepass")


def as_text(name: bytes) -> str:
    """From a column."""
    return name.decode("utf-8", "surrogatepass")
