"""`farshore divergent`: what the old primary had alone when it was left; a person decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console, JsonOption, run, visible
from farshore.cli.direction import load_facing
from farshore.cli.orders import ByOption, WhyOption, author, reason
from farshore.core.words import counted
from farshore.errors import UsageError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.control.record import ControlPlane
    from farshore.proof.divergent import Divergent, Word

LINES_MAX = 50
"""Versions that are shown one by one; `--json` has them all."""

app = typer.Typer(
    no_args_is_help=True,
    help="Versions that the old primary had alone when it was left: list them, and decide.",
)

KeyArgument = Annotated[str, typer.Argument(metavar="[KEY]", help="The key that is decided.")]
AllOption = Annotated[bool, typer.Option("--all", help="Decide about every divergent key.")]


@app.command("list")
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List versions of the old primary that the new one never got. Reads both sides."""
    console = Console(as_json=as_json)
    config = load_facing(context)
    found = run(_listed(config))
    _show(console, found)
    if not found:
        console.say(f"{config.pair.target} has nothing that {config.pair.source} does not explain.")
    else:
        console.say("Nothing of it is ever deleted. Decide, key by key or --all:")
        console.say("  `farshore divergent keep KEY`: it stays in the history there")
        console.say(f"  `farshore divergent adopt KEY`: it is written at {config.pair.source}, too")


@app.command()
def keep(
    context: typer.Context,
    key: KeyArgument = "",
    all_keys: AllOption = False,
    why: WhyOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Leave divergent versions in the old side's history; the primary's state goes on top."""
    _decide(context, "keep", key, all_keys, why, by, as_json=as_json)


@app.command()
def adopt(
    context: typer.Context,
    key: KeyArgument = "",
    all_keys: AllOption = False,
    why: WhyOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write a key's newest divergent version at the primary, as a new version on top."""
    _decide(context, "adopt", key, all_keys, why, by, as_json=as_json)


def _decide(
    context: typer.Context,
    word: Word,
    key: str,
    all_keys: bool,
    why: str,
    by: str,
    *,
    as_json: bool,
) -> None:
    console = Console(as_json=as_json)
    if bool(key) == all_keys:
        raise UsageError(
            f"Which key? `farshore divergent {word}` takes one key, or --all.",
            hint="`farshore divergent list` shows them.",
        )
    done = run(_decided(load_facing(context), word, key, author(by), reason(console, why)))
    if key and not done:
        raise UsageError(f"{key} has no divergent version that waits for a decision.")
    _show(console, done)
    count = sum(len(found.versions) for found in done)
    console.say(f"{counted(count, 'version')} decided: {word}. The daemon goes on with the keys.")


def _show(console: Console, found: list[Divergent]) -> None:
    rows = [row for one in found for row in one.to_json()]
    if rows:
        console.table(
            ("bucket", "key", "version", "bytes", "written"),
            [
                (
                    row["bucket"],
                    row["key"],
                    row["version_id"],
                    "delete" if row["is_delete"] else str(row["bytes"]),
                    row["modified"],
                )
                for row in rows[:LINES_MAX]
            ],
        )
    console.document({"count": len(rows), "versions": rows})


async def _listed(config: Config) -> list[Divergent]:
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane

    async with open_plane(config, SystemClock()) as plane:
        return await _read(config, plane, author(""), "divergent list")


async def _read(config: Config, plane: ControlPlane, by: str, how: str) -> list[Divergent]:
    """Everything undecided; the run that moved the clients is told of it."""
    from farshore.clock import SystemClock
    from farshore.proof.divergent import listed
    from farshore.runbook.found_later import Reading, add_finding

    clock = SystemClock()
    at = clock.now()
    found = await listed(config, clock)
    foreign = tuple(version for one in found for version in one.versions)
    if trouble := await add_finding(config, plane, clock, Reading(at, by, how, foreign)):
        typer.echo(visible(trouble), err=True)
    return found


async def _decided(config: Config, word: Word, key: str, by: str, why: str) -> list[Divergent]:
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.core.roles import COPYING
    from farshore.errors import Refused
    from farshore.proof.divergent import Verdict, decide
    from farshore.runbook.found_later import run_to_judge

    clock = SystemClock()
    async with open_plane(config, clock) as plane:
        record = (await plane.read()).record
        if record.phase != "committed" and record.phase not in COPYING:
            raise Refused(
                f"The pair is {record.phase.replace('_', ' ')}: nothing is decided before the "
                "commit.",
                hint="`farshore commit`, then decide.",
            )
        judged = await run_to_judge(config, plane)
        if judged is not None and not judged.losses:  # what is decided about is read no more
            await _read(config, plane, by, f"divergent {word}")
        what = f"divergent {word} {key or 'all'}: {why}"
        intent = await plane.note(by=by, action=f"divergent.{word}", kind="intent", what=what)
        done = await decide(config, clock, Verdict(word, by, why), key)
        await plane.note(
            by=by,
            action=f"divergent.{word}",
            kind="result",
            what=what,
            token=intent.draft.token,
            outcome="ok",
            after={"versions": [row for found in done for row in found.to_json()][:LINES_MAX]},
        )
    return done
