"""Rules for the whole suite: what begins first; and a skipped test has not been run: a failure."""

from __future__ import annotations

import os

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


LABS = ("fronted_lab", "shared_lab")
"""Session fixtures that begin two regions each: some ten seconds and 1 GiB."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each process begins with the tests of one lab, and takes those without one last: they are
    what a process that has nothing left takes from another, and no process begins a second lab."""
    rank = {name: number for number, name in enumerate(EARLY)}
    items.sort(key=lambda item: rank.get(getattr(item, "originalname", item.name), len(EARLY)))
    with_lab = [[item for item in items if lab in _fixtures(item)] for lab in LABS]
    rest = [item for item in items if not _fixtures(item).intersection(LABS)]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    room = max(len(items) // processes - len(with_lab[0]), 0) if processes > 1 else 0
    items[:] = [*with_lab[0], *rest[:room], *with_lab[1], *rest[room:]]


def _fixtures(item: pytest.Item) -> frozenset[str]:
    return frozenset(getattr(item, "fixturenames", ()))


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
