"""Nothing temporary is left: what stands in both sites' buckets is what the record says.

A fence that was taken away, and the trial of one that a killed run may have left, are looked
for in the buckets themselves; the record alone would only say what was meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farshore.control.bucket import Access, every
from farshore.control.sites import open_access
from farshore.core.policy import TRIAL_SID, BadPolicy, found
from farshore.core.record import ControlRecord, Fence
from farshore.errors import Refused
from farshore.fence.opening import fence_of, open_fence
from farshore.runbook.ground import Ground
from farshore.runbook.step import Found


@dataclass(frozen=True, slots=True)
class Cleared:
    """No fence but the recorded ones, and no trial of one, is in any bucket of either site."""

    ground: Ground
    id: str = "clear"
    lapses: bool = False

    @property
    def what(self) -> str:
        new, old = self.ground.new, self.ground.old
        return (
            f"Read the policies of all buckets at {new} and {old}: nothing temporary is left; "
            f"{new} has no fence, {old} the recorded one."
        )

    async def look(self) -> Found:
        ground = self.ground
        record = await ground.record()
        if record.fence_of(ground.new) is not None:
            return Found(False, f"{ground.new} is fenced")
        sites = [site for site in (ground.new, ground.old) if self._can_be_fenced(site)]
        read = dict(zip(sites, await every([self._read(site) for site in sites]), strict=True))
        wrong = [text for site in sites for text in _wrong(read[site], site, record)]
        evidence = {site: {"fence": standing} for site, (standing, _) in read.items()}
        return Found(not wrong, "; ".join(wrong), evidence)

    async def _read(self, site: str) -> tuple[dict[str, bool], list[str]]:
        """(whether a fence stands, by bucket; the buckets with the trial of one)."""
        ground = self.ground
        async with open_access(ground.config, site) as access:
            fence = await fence_of(ground.config, access, ground.clock)
            trials: list[str] = []
            if access.site.fence.by == "policy":
                trials = await _trials(access, fence.buckets)
            return await fence.look(), trials

    def _can_be_fenced(self, site: str) -> bool:
        return self.ground.config.site(site).fence.by != "none"

    async def act(self) -> None:
        """What is recorded is put once more, which leaves no trial; all else is taken away."""
        ground = self.ground
        record = await ground.record()
        for site in filter(self._can_be_fenced, (ground.new, ground.old)):
            async with open_fence(ground.config, site, ground.clock) as fence:
                if site == ground.old and record.fence_of(site) is not None:
                    await fence.put(keep=True)
                else:
                    await fence.take()

    async def undo(self) -> None:
        """It comes behind the point of no return."""


def _wrong(read: tuple[dict[str, bool], list[str]], site: str, record: ControlRecord) -> list[str]:
    standing, trials = read
    wanted = _wanted(record.fence_of(site))
    found = [f"{bucket} at {site} has the trial of a fence" for bucket in trials]
    for bucket, stands in standing.items():
        if wanted is not None and stands != wanted:
            word = "a fence that is not recorded" if stands else "no fence, and one is recorded"
            found.append(f"{bucket} at {site} has {word}")
    return found


def _wanted(fence: Fence | None) -> bool | None:
    """Whether one should stand; None for one that waits for its site."""
    return None if fence is not None and fence.state == "pending" else fence is not None


async def _trials(access: Access, buckets: Sequence[str]) -> list[str]:
    policies = await every([access.operator.get_bucket_policy(bucket) for bucket in buckets])
    return [b for b, text in zip(buckets, policies, strict=True) if _has_trial(b, text)]


def _has_trial(bucket: str, policy: str) -> bool:
    try:
        return found(policy, TRIAL_SID) is not None
    except BadPolicy as error:
        raise Refused(f"The policy of {bucket} cannot be read: {error}") from error
