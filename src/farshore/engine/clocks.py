"""A site's clock, told by the one of ours that nobody sets."""

from __future__ import annotations

from farshore.clock import Clock
from farshore.s3.store import Store

SET_S = 0.05
"""Our clock has been set when it moved by more than this against the one that nobody sets."""

MEASURES_MAX = 3
"""Times that a server is asked while our clock is being set."""


async def ahead_of(store: Store, clock: Clock) -> float:
    """The site's clock minus our monotonic one, in seconds: known to one second, for it is read
    from an answer's Date. A measure during which our clock was set is made again. Raises what the
    store raises."""
    ahead = 0.0
    for _ in range(MEASURES_MAX):
        before = clock.now() - clock.monotonic()
        offset = await store.server_time_offset()
        after = clock.now() - clock.monotonic()
        ahead = offset + after
        if abs(after - before) < SET_S:
            break
    return ahead
