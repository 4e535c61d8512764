"""Every implementation of a protocol, held against its contract."""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.history",
    "tests.contract.suite_backlog_reasons",
    "tests.contract.suite_backlog_work",
    "tests.contract.suite_keys",
    "tests.contract.suite_listings",
    "tests.contract.suite_objects",
    "tests.contract.suite_versions",
    "tests.contract.suite_writes",
    "tests.contract.switch_suite",
)
