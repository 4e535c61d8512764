"""The chapters of the team's runbook: which there are, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.config import Config
from farshore.runbook import chapters_after, chapters_before, chapters_switch
from farshore.runbook.commands import Commands, Section, Tree


def chapters(config: Config, tree: Tree, hot: tuple[str, ...]) -> Iterator[Section]:
    """The chapters of one pair. `hot`: prefixes that go first when the source wobbles."""
    c = Commands(config, tree)
    yield chapters_before.before(c)
    yield chapters_before.wobbles(c, hot)
    yield chapters_switch.switchover(c)
    if "rollback" in tree:
        yield chapters_switch.rollback(c)
    yield chapters_switch.failover(c)
    yield chapters_after.stabilise(c)
    yield chapters_after.failback(c)
    yield chapters_after.retro(c)
