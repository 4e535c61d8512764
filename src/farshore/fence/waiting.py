"""Fences that wait for a site that was down. They come before anything else done with it.

A site that clients may write to although it was given up is neither a source nor a target.
"""

from __future__ import annotations

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.view import View
from farshore.core.record import Fence
from farshore.errors import ConfigError, Refused, Unreachable
from farshore.fence.recorded import Fences, Raised, Recorder


def waiting(view: View) -> tuple[Fence, ...]:
    """The fences that the record asks for and that are not put up."""
    return tuple(fence for fence in view.record.fences if fence.state == "pending")


async def put_up(config: Config, recorder: Recorder, clock: Clock, fence: Fence) -> Raised:
    """Put up one that waits. `Unreachable` while its site does not answer, `Refused` when it
    cannot be put up there: then nothing is to be done with that site."""
    try:
        raised = await Fences(config, recorder, clock).carry_out(fence)
    except (Refused, ConfigError) as error:
        raise Refused(
            f"Nothing is done with {fence.site} before it is fenced (by {fence.by}: {fence.why}), "
            f"and it cannot be: {error.message}",
            hint=error.hint,
        ) from error
    if raised.fence.state == "pending":
        raise Unreachable(
            f"{fence.site} is to be fenced as soon as it answers (by {fence.by}: {fence.why}); "
            f"nothing is done with it before. {raised.trouble}"
        )
    return raised


async def put_up_all(config: Config, recorder: Recorder, clock: Clock, view: View) -> None:
    """Put up every one that waits. Raises as `put_up`."""
    for fence in waiting(view):
        await put_up(config, recorder, clock, fence)
