"""What a link does to the bytes that pass: one frozen value per site."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from farshore.errors import UsageError


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The state of one site's link. The defaults are a perfect line.

    `latency_ms` and `jitter_ms` apply each way: a round trip costs twice `latency_ms`,
    and each chunk is up to `jitter_ms` early or late, order kept. `rate_mbit` is in
    megabit/s over both directions and all connections together; 0 is no limit.
    `cut`: the line swallows everything. Connections stay open and silent, new ones
    open and are never answered; what was under way arrives after healing, as TCP's
    repeats would. `refuse`: connections are reset, new ones refused.
    `reset_after`: the first connection that carries this many bytes (both directions,
    counted from now) is reset in mid-air; this happens once, then it is None again.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    rate_mbit: float = 0.0
    cut: bool = False
    refuse: bool = False
    reset_after: int | None = None

    def __post_init__(self) -> None:
        if min(self.latency_ms, self.jitter_ms, self.rate_mbit, self.reset_after or 0) < 0:
            raise UsageError("a link's latency, jitter, rate and byte count cannot be negative")

    @property
    def shaped(self) -> bool:
        """Whether bytes are delayed or metered at all."""
        return bool(self.latency_ms or self.jitter_ms or self.rate_mbit)

    def to_json(self) -> dict[str, Any]:
        """A flat JSON object, one key per field."""
        return asdict(self)


PERFECT = LinkSettings()
