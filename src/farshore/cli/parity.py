"""`farshore apply --parity`: what buckets are told is shown, asked about, and carried over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farshore.cli.console import Console
from farshore.core.words import counted
from farshore.errors import FarshoreError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.doctor.parity import Carry

DIFFERENT = 4


async def make_alike(
    config: Config, console: Console, *, dry_run: bool, yes: bool
) -> tuple[dict[str, Any], int]:
    """Show, ask, carry. Answers the document, and 4 when something still differs, else 0."""
    from farshore.clock import SystemClock
    from farshore.doctor.parity import carry_over, differences
    from farshore.doctor.sides import open_sides

    async with open_sides(config, SystemClock()) as sides:
        found = await differences(sides)
        source, target = sides.sites
        _show(console, found, source, target)
        wanted = [carry for carry in found if carry.document]
        if wanted and not dry_run:
            if not yes and not console.ask(f"Write this to {target}?"):
                raise FarshoreError("Declined: nothing was changed.")
            still = list(await carry_over(sides, found))
            for carry in still:
                console.say(f"{carry.name} of {carry.other} still differs: {carry.difference}")
            done = [
                c for c in wanted if (c.bucket, c.name) not in {(s.bucket, s.name) for s in still}
            ]
            console.say(f"{counted(len(done), 'configuration')} carried to {target}.")
        else:
            done, still = [], []
    left = len(found) - len(done)
    return _document(found, done, left), DIFFERENT if left else 0


def _show(console: Console, found: list[Carry], source: str, target: str) -> None:
    if not found:
        console.say(f"What the buckets are told is the same at {source} and {target}.")
        return
    console.say(f"From {source} to {target}:")
    for carry in found:
        sign = "+" if carry.document else "-"
        where = carry.bucket if carry.bucket == carry.other else f"{carry.bucket} -> {carry.other}"
        console.say(f"  {sign} {carry.name} of {where}: {carry.difference}")
        if carry.why:
            console.say(f"      left as it is: {carry.why}")


def _document(found: list[Carry], done: list[Carry], left: int) -> dict[str, Any]:
    return {
        "differences": [{**carry._asdict(), "kind": carry.name} for carry in found],
        "carried": [{"bucket": carry.other, "kind": carry.name} for carry in done],
        "left": left,
    }
