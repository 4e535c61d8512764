"""Whether a site could be fenced: tried on canaries, and kept in its control bucket.

So that nobody finds out on the day when it is needed. `farshore status` reads what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.bucket import Access
from farshore.control.fenced import FenceTrial, write_trial
from farshore.errors import ConfigError, Refused
from farshore.fence.bite import Bite
from farshore.fence.opening import fence_of, require_fence


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial found. `refusal`: why no fence can bite there; None when one would, or
    when nobody can tell."""

    bites: tuple[Bite, ...] = ()
    refusal: Refused | ConfigError | None = None

    @property
    def would_bite(self) -> bool:
        return bool(self.bites) and all(bite.word == "bites" for bite in self.bites)

    @property
    def sentence(self) -> str:
        """For people."""
        if self.refusal is not None:
            return self.refusal.message
        return "it would bite" if self.would_bite else _first_why(self.bites)


async def try_fence(
    config: Config, access: Access, clock: Clock, *, seconds_max: float | None = None
) -> Tried:
    """Try a fence at an open site, on canaries alone, and keep what was found. Raises what
    stores raise; that a site cannot be fenced is an answer. `seconds_max`: for the server to
    obey, None: as configured."""
    site = access.site
    try:
        require_fence(config, site.name)
        found = Tried(tuple(await (await fence_of(config, access, clock, seconds_max)).check()))
    except (Refused, ConfigError) as error:
        found = Tried(refusal=error)
    why = found.refusal.message if found.refusal is not None else ""
    await write_trial(access.replicator, site, FenceTrial(found.would_bite, why, clock.now()))
    return found


def _first_why(bites: Sequence[Bite]) -> str:
    return next((bite.why for bite in bites if bite.why), "there is no bucket to try it in")
