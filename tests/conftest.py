"""Rules for the whole suite: a test that is skipped has not been run, and that is a failure."""

from __future__ import annotations

import pytest


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
