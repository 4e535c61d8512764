"""`farshore apply`: show the plan, ask, prepare both sites, prove the rights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, YesOption, load_config, run
from farshore.cli.parity import make_alike
from farshore.core.words import counted
from farshore.errors import FarshoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farshore.config import Config
    from farshore.control.bucket import Access
    from farshore.control.canary import Proof
    from farshore.control.preparation import Preparation
    from farshore.control.prepare import Plan
    from farshore.control.replicated import Replicated

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]


def apply(
    context: typer.Context,
    dry_run: DryRunOption = False,
    forget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUCKET",
            help="A source bucket that is gone on purpose: it is missed no more. May be repeated.",
        ),
    ] = None,
    parity: Annotated[
        bool,
        typer.Option(
            "--parity",
            help="Instead: carry CORS, lifecycle, encryption, tags, notifications and policies of "
            "the buckets from the primary to the other side.",
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare both sites: make buckets, turn versioning on, prove every right.

    Shows the plan and asks before anything is changed. A second run finds nothing to do.
    Exit code 4 when, with --parity, something still differs.
    """
    console = Console(as_json=as_json)
    if not (yes or dry_run or console.can_ask):
        raise UsageError(
            "There is nobody to ask whether the plan is right.",
            hint="Pass --yes to carry it out, or --dry-run to see it only.",
        )
    config = load_config(context)
    if parity:
        if forget:
            raise UsageError("--parity and --forget are two things.", hint="Call it twice.")
        told, code = run(make_alike(config, console, dry_run=dry_run, yes=yes))
        console.document(told)
        raise typer.Exit(code)
    told = run(_apply(config, console, dry_run=dry_run, yes=yes, forget=forget or []))
    console.document(told)


async def _apply(
    config: Config, console: Console, *, dry_run: bool, yes: bool, forget: Sequence[str]
) -> dict[str, Any]:
    # The engine room is imported here, so that --help does not wait for it.
    from farshore.clock import SystemClock
    from farshore.control.preparation import Preparation
    from farshore.control.probing import probe_site
    from farshore.control.replicated import Replicated
    from farshore.control.sites import open_access

    pair = config.pair
    async with (
        open_access(config, pair.source) as source,
        open_access(config, pair.target) as target,
    ):
        clock = SystemClock()
        fenced = await _fenced(config)
        for name in fenced:
            console.note(f"{name} is fenced: what the app may do there is not proved")
        sides = [replace(s, app=None) if s.site.name in fenced else s for s in (source, target)]
        preparation = await Preparation.begin(config, *sides, probe=probe_site, clock=clock)
        replicated = Replicated(target.replicator, config)
        if forget:
            await _require_gone(replicated, source, forget)
        done = await prepare(preparation, console, dry_run=dry_run, yes=yes)
        if forget and not dry_run:
            await replicated.forget(forget)
            console.say(f"No longer missed: {', '.join(forget)}. The target keeps its versions.")
        open_sides = [side for side in sides if side.site.name not in fenced]
        fences = [] if dry_run else await _try_fences(config, open_sides, console)
        roles = None if dry_run else await _record_roles(config, console)
        return {**done, "fences": fences, "roles": roles}


async def _fenced(config: Config) -> list[str]:
    """Sites whose fence is recorded, by name: the app is denied there, and that is right."""
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane

    async with open_plane(config, SystemClock()) as plane:
        view = await plane.peek()
    return sorted(fence.site for fence in view.record.fences)


async def _record_roles(config: Config, console: Console) -> dict[str, Any]:
    """Where nothing was recorded yet: the source is primary. What stands is left as it is."""
    from farshore.cli.pause import who
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane

    async with open_plane(config, SystemClock()) as plane:
        if not (await plane.read()).written:
            by, why = "@".join(who()), "the source of the configuration"
            await plane.change(lambda record: record, by=by, why=why, action="begin")
        view = await plane.read()
    console.say(f"Roles: {view.line}")
    return view.to_json()


async def _require_gone(replicated: Replicated, source: Access, forget: Sequence[str]) -> None:
    """`UsageError` for a bucket that nobody misses."""
    missed = [bucket for bucket, _ in await replicated.gone(await source.replicator.list_buckets())]
    if unknown := sorted(set(forget) - set(missed)):
        raise UsageError(
            f"--forget {unknown[0]}: that bucket is not missed.",
            hint=f"Missed now: {', '.join(missed) or 'none'}. Nothing was changed.",
        )


async def _try_fences(
    config: Config, sides: Sequence[Access], console: Console
) -> list[dict[str, Any]]:
    """Whether each site could be fenced: better found out now. Neither answer is an error."""
    from farshore.clock import SystemClock
    from farshore.fence.trial import try_fence

    rows: list[dict[str, Any]] = []
    words: list[tuple[str, str, str]] = []
    for access in sides:
        console.note(f"trying a fence at {access.site.name} on canaries")
        tried = await try_fence(config, access, SystemClock())
        why = "" if tried.would_bite else tried.sentence
        rows.append({"site": access.site.name, "would_bite": tried.would_bite, "why": why})
        word = "yes" if tried.would_bite else "not known" if tried.refusal is None else "no"
        words.append((access.site.name, word, why))
    console.table(("fence", "would bite", ""), words)
    return rows


async def prepare(
    preparation: Preparation, console: Console, *, dry_run: bool, yes: bool
) -> dict[str, Any]:
    """Show, ask, carry out. Answers the command's JSON document."""
    plan = await preparation.plan()
    preparation.require_possible(plan)
    show(console, preparation.config.pair.name, plan)
    if dry_run:
        return document(plan, [], applied=False)
    if plan.changes and not yes and not console.ask("Make these changes?"):
        raise FarshoreError("Declined: nothing was changed.")
    proofs = await preparation.carry_out(plan, console.note)
    show_proofs(console, proofs)
    console.say(summary(plan, proofs))
    return document(plan, proofs, applied=True)


def show(console: Console, pair: str, plan: Plan) -> None:
    """The plan for people: one row for each change."""
    if not plan.changes:
        console.say(f"The plan for {pair} is empty.")
        return
    console.say(f"The plan for {pair}:")
    rows = [change.row() for change in plan.changes]
    table = [("+", site, what, f"{before} -> {after}") for site, what, before, after in rows]
    console.table(("", "site", "what", "change"), table)


def show_proofs(console: Console, proofs: list[Proof]) -> None:
    """Who may work where."""
    console.table(
        ("proved", "site", "bucket"),
        [(proof.principal, proof.site, proof.bucket) for proof in proofs],
    )


def summary(plan: Plan, proofs: list[Proof]) -> str:
    """The one sentence at the end."""
    done = f"{counted(len(plan.changes), 'change')} made" if plan.changes else "nothing to do"
    held = f"{counted(len(proofs), 'proof')} {'holds' if len(proofs) == 1 else 'hold'}"
    return f"{done}; {held}: both sites are ready."


def document(plan: Plan, proofs: list[Proof], *, applied: bool) -> dict[str, Any]:
    """The same for machines."""
    names = ("site", "what", "before", "after")
    return {
        "changes": [dict(zip(names, change.row(), strict=True)) for change in plan.changes],
        "proofs": [
            {"site": proof.site, "bucket": proof.bucket, "principal": proof.principal}
            for proof in proofs
        ],
        "applied": applied,
    }
