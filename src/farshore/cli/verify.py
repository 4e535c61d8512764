"""`farshore verify` and `farshore repair`: read both sides, say what differs, mend it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console, JsonOption, YesOption, run
from farshore.cli.direction import load_facing
from farshore.cli.progress import human_bytes, human_seconds, shown
from farshore.core.words import counted

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.core.mend import Mending
    from farshore.engine.side import Side
    from farshore.journal.deletes import WaitingDeletes
    from farshore.proof.verify import Proof

DIFFERENT = 4
FAILED = 1

DeepOption = Annotated[
    bool, typer.Option("--deep", help="Read and compare all bytes, headers, metadata and tags too.")
]
PrefixOption = Annotated[str, typer.Option(help="Only keys that begin with this.")]


def verify(
    context: typer.Context,
    deep: DeepOption = False,
    prefix: PrefixOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read both sides, never our own notes, and list every difference.

    Exit code 0 when the sides agree, 4 when they differ.
    """
    config = load_facing(context)
    console = Console(as_json=as_json)
    if run(_verify(config, console, deep=deep, prefix=prefix)):
        raise typer.Exit(DIFFERENT)


def repair(
    context: typer.Context,
    deep: DeepOption = False,
    prefix: PrefixOption = "",
    rebuild_tail: Annotated[
        bool,
        typer.Option(
            "--rebuild-tail",
            help="Where a wrong or missing version lies beneath right ones: purge the target's "
            "replicas from there upwards and copy them again.",
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Mend what verify finds, after showing it.

    Exit code 0 when the sides agree afterwards, 4 when differences stay.
    """
    config = load_facing(context)
    console = Console(as_json=as_json)
    code = run(
        _repair(config, console, deep=deep, prefix=prefix, rebuild_tail=rebuild_tail, yes=yes)
    )
    if code:
        raise typer.Exit(code)


async def _verify(config: Config, console: Console, *, deep: bool, prefix: str) -> bool:
    """Whether the sides differ."""
    from farshore.clock import SystemClock
    from farshore.proof.recorded import record_proof

    clock = SystemClock()
    began, began_at = time.monotonic(), clock.now()
    gone: list[str] = []
    proof = await _prove(config, console, deep=deep, prefix=prefix, gone=gone)
    if not prefix:
        trouble = await record_proof(config, clock, proof, deep=deep, began_at=began_at)
        unsaid = await _told_of_the_switch(config, proof, began_at, deep=deep)
        for text in filter(None, (trouble, unsaid)):
            console.note(text)
    for found in proof.differences:
        console.say(
            f"{found.kind}: {found.bucket}/{found.key} "
            f"(source version {found.source_version or '-'}, "
            f"target version {found.target_version or '-'}): {found.detail}"
        )
    _summary(console, config, proof, deep=deep, seconds=time.monotonic() - began)
    for sentence in gone:
        console.say(f"{sentence}.")
    agree = not proof.differences
    console.document({"deep": deep, "agree": agree, "vanished": gone, **proof.to_json()})
    return bool(proof.differences)


async def _told_of_the_switch(config: Config, proof: Proof, began_at: float, *, deep: bool) -> str:
    """After a flip, its run learns what was left behind. Why it could not; "" else."""
    from farshore.cli.orders import author
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.runbook.found_later import Reading, add_finding

    how = "verify --deep" if deep else "verify"
    reading = Reading(began_at, author(""), how, tuple(proof.foreign), proof.versions)
    async with open_plane(config, SystemClock()) as plane:
        return await add_finding(config, plane, SystemClock(), reading)


async def _prove(
    config: Config,
    console: Console,
    *,
    deep: bool,
    prefix: str,
    gone: list[str] | None = None,
) -> Proof:
    """Both sides read. `gone` is told of buckets that a pattern picked and that are no more."""
    from farshore.clock import SystemClock
    from farshore.engine.run import vanished_buckets
    from farshore.engine.session import open_sides
    from farshore.proof.verify import Proof, Question, verify

    proof = Proof()
    async with (
        open_sides(config, retrying=True) as buckets,
        _decided_deletes(config, console, buckets[0].target) as deletes,
        shown(console, lambda _: _line(proof)),
    ):
        for source, target in buckets:
            question = Question(
                source,
                target,
                config.pair.rules,
                SystemClock(),
                deep=deep,
                prefix=prefix,
                discarded=deletes.is_discarded,
                held=deletes.is_held,
            )
            await verify(question, proof)
        if gone is not None:
            gone += [found.text(config) for found in await vanished_buckets(config, buckets[0])]
    return proof


@contextlib.asynccontextmanager
async def _decided_deletes(
    config: Config, console: Console, target: Side
) -> AsyncIterator[WaitingDeletes]:
    """Deletes that a person took out of replication, as the target keeps them.

    They only excuse differences. Where they cannot be read, nothing is excused.
    """
    from farshore.engine.run import held_documents, standing_deletes
    from farshore.errors import Corrupt, StateError
    from farshore.journal.deletes import WaitingDeletes

    documents = held_documents(config, target.store, target.capabilities)
    try:
        found = await standing_deletes(documents)
    except (Corrupt, StateError) as error:
        console.note(f"Discarded deletes count as missing: {error.message}")
        found = WaitingDeletes()
    with contextlib.closing(found) as deletes:
        yield deletes


def _line(proof: Proof) -> str:
    return (
        f"{counted(proof.keys, 'key')}, {counted(proof.versions, 'version')} "
        "listed on both sides · "
        f"{proof.versions_read:,} read ({human_bytes(proof.bytes_read)}) · "
        f"{counted(len(proof.differences), 'difference')}"
    )


def _summary(console: Console, config: Config, proof: Proof, *, deep: bool, seconds: float) -> None:
    pair = f"{config.pair.source} and {config.pair.target}"
    entries = counted(proof.versions, "version or delete marker", "versions and delete markers")
    what = f"{counted(proof.keys, 'key')}, {entries}"
    if deep:
        what += f", {human_bytes(proof.bytes_read)} read on both sides"
    if proof.differences:
        console.say(f"{counted(len(proof.differences), 'difference')} between {pair} ({what}).")
        if held := len(proof.differences) - proof.wrong:
            console.say(
                f"{counted(held, 'of them is a delete', 'of them are deletes')} that the delete "
                "guard holds: look at `farshore deletes`, then release or discard."
            )
        if proof.wrong:
            console.say("`farshore repair` shows how to mend them.")
    elif proof.keys == 0:
        console.say(f"{pair}: there is nothing on either side to compare.")
    else:
        depth = "bytes, headers, metadata and tags" if deep else "order, sizes and ETags"
        console.say(f"{pair} agree: {what}; compared {depth}; {human_seconds(seconds)}.")
    if proof.retained:
        kept = counted(proof.retained, "version is", "versions are")
        console.say(f"{kept} kept on the target that the source purged.")
    if proof.excluded:
        left_out = counted(proof.excluded, "version is", "versions are")
        console.say(f"{left_out} excluded by rules, and not compared.")


async def _repair(
    config: Config, console: Console, *, deep: bool, prefix: str, rebuild_tail: bool, yes: bool
) -> int:
    from farshore.core.mend import plan_mending

    proof = await _prove(config, console, deep=deep, prefix=prefix)
    if not proof.differences:
        console.say("Nothing to repair: the sides agree.")
        console.document({"agree": True, "mended": [], "left": []})
        return 0
    plan = plan_mending(proof.differences, rebuild_tail=rebuild_tail)
    _show(console, plan)
    if not any(m.allowed for m in plan) or not _agreed(console, yes=yes):
        console.document({"agree": False, "mended": [], "left": [_row(m) for m in plan]})
        return DIFFERENT
    mended, left = await _mend(config, plan, proof.keys)
    for mending, detail in left:
        console.say(f"left: {mending.difference.bucket}/{mending.difference.key}: {detail}")
    after = await _prove(config, console, deep=deep, prefix=prefix)
    console.say(f"{len(mended):,} mended, {len(left):,} left.")
    _summary(console, config, after, deep=deep, seconds=0.0)
    console.document(
        {
            "agree": not after.differences,
            "mended": [_row(m) for m in mended],
            "left": [_row(m) | {"why": detail} for m, detail in left],
        }
    )
    return DIFFERENT if after.differences else 0


def _show(console: Console, plan: list[Mending]) -> None:
    for mending in plan:
        found = mending.difference
        sign = "~" if mending.allowed else "!"
        console.say(f"{sign} {found.bucket}/{found.key}: {found.kind} ({found.detail})")
        console.say(f"    {mending.why}{'' if mending.allowed else _asked_for(mending)}")


def _asked_for(mending: Mending) -> str:
    return " (only with --rebuild-tail)" if mending.action == "rebuild-tail" else ""


def _agreed(console: Console, *, yes: bool) -> bool:
    from farshore.errors import UsageError

    if yes:
        return True
    if not console.can_ask:
        raise UsageError(
            "Nobody is here to say yes.", hint="Add --yes to repair without being asked."
        )
    return console.ask("Mend what is marked with ~?")


def _row(mending: Mending) -> dict[str, str]:
    return {"action": mending.action, **mending.difference.to_json()}


async def _mend(
    config: Config, plan: list[Mending], keys: int
) -> tuple[list[Mending], list[tuple[Mending, str]]]:
    from farshore.clock import SystemClock
    from farshore.core.plan import DeleteLimits
    from farshore.engine.run import working_crews
    from farshore.engine.tally import Tally
    from farshore.proof.repair import repair

    limits = DeleteLimits(config.daemon.deletes_count, config.daemon.deletes_share)
    mended: list[Mending] = []
    left: list[tuple[Mending, str]] = []
    async with working_crews(config, Tally(), asyncio.Event(), SystemClock()) as crews:
        for crew in crews:
            bucket = crew.source.bucket
            ours = [m for m in plan if m.difference.bucket == bucket]
            for outcome in await repair(crew, ours, keys, limits):
                if outcome.done:
                    mended.append(outcome.mending)
                else:
                    left.append((outcome.mending, outcome.detail))
    return mended, left
