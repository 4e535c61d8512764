"""Named places where a process may die: tests kill it there, one place after another.

    reached("switch.set.applied")      nothing, unless FARSHORE_DIE_AT names this place

`FARSHORE_DIE_AT=NAME` (or `NAME:3`: the third time) ends the process by SIGKILL there, as a
power cut would: no clean-up runs. Every name is in `PLACES`, so that a test can loop over all
of them, and a name that is not there raises: a place that no test knows is never tested.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "FARSHORE_DIE_AT"

PLACES: dict[str, str] = {
    "switch.intended": "the record says which site is wanted; no driver has been told",
    "switch.driver.planned": "a driver is about to be changed",
    "switch.driver.applied": "a driver has been changed; the next one has not",
    "switch.applied": "every driver has been changed; the record does not say so",
    "switch.recorded": "the record says that the flip is done",
    "haproxy.file.written": "the map file holds the new site; the running proxy the old one",
    "haproxy.map.set": "the running proxies hold the new site; nothing has been read back",
    "file.written": "the new text is on the disk beside the file; the file is the old one",
    "fence.recorded": "the record says that the fence is wanted; the policy is not there",
    "fence.policy.put": "the deny policy stands; the record says pending",
    "fence.policy.removed": "the deny policy is gone; the record says that it stands",
    "run.intended": "a run's document says that a step is begun; nothing was done (NAME:n, step n)",
    "run.acted": "a step was done; the run's document does not say so",
    "run.recorded": "the run's document says what became of a step; the next one is not begun",
    "run.undone": "a step of an aborted run was undone; the run's document does not say so",
    "freeze.recorded": "the record says frozen; no proxy has been told",
    "freeze.applied": "the proxies answer 503; nothing has been drained",
    "drill.written": "an isolated drill has written its scratch objects; they are not replicated",
    "drill.flipped": "an isolated drill has flipped its test switch; both sides hold its objects",
}
"""Name to what has happened so far, and what has not."""

_passed: dict[str, int] = {}


def reached(place: str) -> None:
    """This place was reached. `KeyError` for one that is not in `PLACES`."""
    _ = PLACES[place]
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    if name != place:
        return
    _passed[place] = _passed.get(place, 0) + 1
    if _passed[place] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
