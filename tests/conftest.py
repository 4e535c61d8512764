"""Rules for the whole suite: what begins first; and a skipped test has not been run: a failure."""

from __future__ import annotations

import pytest

EARLY = (
    "test_there_and_back_again",
    "test_every_command_ends_as_the_document_says",
    "test_a_target_that_dies_in_the_middle",
    "test_a_target_that_asks_for_less_gets_less_and_then_everything",
    "test_killed_five_times_and_started_again",
    "test_versions_that_were_purged_before_they_were_copied_are_told",
)
"""Tests that wait the longest: they begin first, so that no process is left alone with one at
the end while the others have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The early ones, in this order; then all others as they were."""
    rank = {name: number for number, name in enumerate(EARLY)}
    items.sort(key=lambda item: rank.get(getattr(item, "originalname", item.name), len(EARLY)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Every part that a test needs is installed by `make`; a skip means that one is missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} tests were skipped: a skipped test is a failure here.")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
