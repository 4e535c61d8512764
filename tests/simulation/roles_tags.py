"""What must be so of the tags that clients give to versions while roles change."""

from __future__ import annotations

from farshore.core import stamp
from farshore.testing.store.memory import Held
from tests.simulation.region import Region
from tests.simulation.roles_model import RolesModel
from tests.simulation.truth import Broken

TAGS_FOLLOW_S = 60.0
"""A daemon that is too far behind for a switchover has not followed what was set so long ago."""


def tagged(truth: RolesModel, site: str, user: str, key: str, held: Held) -> None:
    """A version got other tags."""
    if user.endswith("-app"):
        tags = stamp.without(held.attributes).tags
        truth.tags[key, truth.identity(site, held)] = tags, truth.now()


def tags_stand(truth: RolesModel, primary: Region) -> None:
    """Only a failover may leave tags behind: they are then those of the new primary; and a
    switchover those that were set right before, and whose event had not been followed."""
    if truth.failovers or truth.loss is not None:
        return
    for (key, identity), (tags, at) in truth.tags.items():
        truth.checks += 1
        if any(0.0 <= turned - at < TAGS_FOLLOW_S for turned in truth.turned_at):
            continue
        found = [h for h in primary.history(key) if truth.identity(primary.site, h) == identity]
        if not found or stamp.without(found[0].attributes).tags != tags:
            raise Broken(f"tags lost: {key} {identity} was given {tags}")
