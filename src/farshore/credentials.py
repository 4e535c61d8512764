"""One pair of keys, and where it comes from. Never shown: not by repr, log or error."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of one principal. The secret and the token are left out of `repr`."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
