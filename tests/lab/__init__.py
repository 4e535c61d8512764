"""Tests on real regions."""

import pytest

pytest.register_assert_rewrite(
    "tests.lab.daemon",
    "tests.lab.outcomes",
    "tests.lab.replicas",
    "tests.lab.runbook_ground",
    "tests.lab.traceless",
)
