"""docs/runbooks.md: every step, rule and outcome that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast, get_args

from farshore.core.runbook import Outcome
from farshore.runbook.ground import Ground
from farshore.runbook.plans import failback, failover, rollback, switchover
from farshore.runbook.preflight import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text(encoding="utf-8")
NOWHERE = cast(Ground, None)
"""Steps are only named here."""


def column(heading: str) -> list[str]:
    """The first column of the table below a heading."""
    part = PAGE.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    assert part, heading
    return re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)


def test_every_step_is_told_in_its_order() -> None:
    told = column("The steps, in their order")
    books = (
        switchover(NOWHERE),
        failback(NOWHERE),
        failover(NOWHERE, hold=False),
        failover(NOWHERE, hold=True),
    )
    for book in books:
        steps = [step.id for step in book.steps]
        assert [name for name in told if name in steps] == steps, book.verb
    assert {step.id for book in books for step in book.steps} == set(told)
    others = {step.id for step in rollback(NOWHERE).steps} - set(told)
    assert all(f"`{name}`" in PAGE for name in others)


def test_every_rule_and_every_outcome_is_told() -> None:
    assert column("Rules, and setting one aside") == list(RULES)
    assert column("What an outcome means") == ["ok", "skipped", "failed", "unknown"]
    assert set(column("What an outcome means")) == set(get_args(Outcome))
