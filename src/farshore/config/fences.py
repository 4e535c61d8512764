"""How a site's storage is made to refuse clients' writes: frozen, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

COMMAND_SECONDS_MAX = 30.0
"""How long a user's program may take where the file does not say."""


OBEYED_SECONDS_MAX = 15.0
"""How long a server may need to obey everywhere, where the file does not say (SeaweedFS: 7 ms;
AWS: seconds)."""


@dataclass(frozen=True, slots=True)
class FenceWay:
    """One site's fence. `spare`: names and ARNs; empty: to be learnt from the server.

    `argv` and `timeout_s` are for "command" alone. `obeyed_s`: what does not bite by then is no
    fence.
    """

    by: Literal["policy", "command", "none"] = "policy"
    spare: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    timeout_s: float = COMMAND_SECONDS_MAX
    obeyed_s: float = OBEYED_SECONDS_MAX


BY_POLICY = FenceWay()
"""Where the file says nothing."""
