"""After a flip, until all of it is closed: the run, error rates before and after, what is open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from farshore.core.aftermath import AFTER_FLIP, HALF_WAY, Open
from farshore.core.words import duration_text
from farshore.errors import FarshoreError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.control.standing import Standing
    from farshore.core.runbook import Run
    from farshore.switch.traffic import Traffic

COUNT_SECONDS_MAX = 3.0
"""Who waits for a status is in a hurry."""

NOBODY_COUNTS = "no proxy counts requests here: see the application's own error rates"


class AfterFlip(NamedTuple):
    """`run`: the open one, or the one whose flip is not closed yet. `before`: what the proxies
    had counted at the old site when clients left it; `since`: at the new one from then on.
    `trouble`: why there are no counts, "" where none are wanted."""

    run: Run | None = None
    before: Traffic | None = None
    since: Traffic | None = None
    trouble: str = ""


NOTHING = AfterFlip()


async def after_flip(config: Config, standing: Standing) -> AfterFlip:
    """What there is to say now. Raises nothing that a site or a proxy does."""
    view, runs = standing.seen.view, standing.runs
    phase = view.record.phase if view else "protected"
    if phase not in AFTER_FLIP | HALF_WAY or runs.flipped is None:
        return AfterFlip(runs.open)
    run = runs.open or runs.flipped
    if phase not in AFTER_FLIP:
        return AfterFlip(run)
    return (await _rates(config, runs.flipped))._replace(run=run)


async def _rates(config: Config, flipped: Run) -> AfterFlip:
    from farshore.switch.traffic import read_back, since

    step = flipped.record_of("flip")
    noted = read_back(step.evidence if step else {})
    if not noted:
        return AfterFlip(trouble=NOBODY_COUNTS)
    try:
        async with asyncio.timeout(COUNT_SECONDS_MAX):
            now = await _counted(config)
    except FarshoreError as error:
        return AfterFlip(before=noted.get(flipped.plan.source), trouble=error.message)
    except TimeoutError:
        late = f"the proxies did not answer within {COUNT_SECONDS_MAX:g} s"
        return AfterFlip(before=noted.get(flipped.plan.source), trouble=late)
    to = flipped.plan.target
    after = since(noted.get(to), now[to]) if to in now else None
    trouble = "" if after else NOBODY_COUNTS
    return AfterFlip(before=noted.get(flipped.plan.source), since=after, trouble=trouble)


async def _counted(config: Config) -> dict[str, Traffic]:
    from farshore.switch.open import open_drivers
    from farshore.switch.traffic import traffic

    drivers = open_drivers(config)
    try:
        return await traffic(drivers)
    finally:
        await asyncio.gather(*(driver.aclose() for driver in drivers))


def rows(found: AfterFlip, left: Sequence[Open], now: float) -> Iterator[tuple[str, str]]:
    """For people. What is a risk stands above, among the reasons."""
    if found.run is not None:
        yield "run", _run(found.run, now)
    if found.before is not None:
        yield "errors before", f"{found.before.text}, since the proxies were started"
    if found.since is not None:
        yield "errors since", f"{found.since.text}, since the flip"
    if found.trouble:
        yield "errors", found.trouble
    for item in left:
        if item.level is None:
            yield "still open", item.text


def _run(run: Run, now: float) -> str:
    stands = sum(record.stands for record in run.steps)
    said = f", approved by {run.approval.by}" if run.approval and run.approval.agreed else ""
    ended = f", {duration_text(max(now - run.ended_at, 0.0))} ago" if run.ended_at else ""
    steps = f"{stands} of {len(run.plan.steps)} steps"
    return f"{run.id}: {run.state}{ended}; {steps}; asked by {run.asked_by}{said}"


def document(found: AfterFlip, left: Sequence[Open]) -> dict[str, Any]:
    """For machines; null is "not known"."""
    run = found.run
    return {
        "run": None
        if run is None
        else {"id": run.id, "verb": run.plan.verb, "state": run.state, "asked_by": run.asked_by},
        "errors": {
            "before": found.before._asdict() if found.before else None,
            "since": found.since._asdict() if found.since else None,
            "trouble": found.trouble,
        },
        "open": [item._asdict() for item in left],
    }
