"""The conformance suite of `farshore.journal.backlog.Backlog`: every implementation.

A test file subclasses `BacklogSuite` and gives the fixture `backlog`, which is empty.
"""

from __future__ import annotations

from .suite_backlog_reasons import ReasonSuite
from .suite_backlog_work import WorkSuite


class BacklogSuite(WorkSuite, ReasonSuite):
    """All of the contract."""
