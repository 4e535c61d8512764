"""`farshore commit`, `farshore reprotect`: what follows a switchover or a failover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.cli.orders import ByOption, WhyOption, author, reason
from farshore.core.words import counted

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.core.record import ControlRecord
    from farshore.proof.verify import Proof
    from farshore.runbook.afterwards import Proved

NOT_YET = 4
"""Exit code of `reprotect` while the two sides still differ."""

SHOWN_MAX = 20
"""Differences that are shown; `farshore verify` has them all."""


def commit(
    context: typer.Context, why: WhyOption = "", by: ByOption = "", as_json: JsonOption = False
) -> None:
    """Say that the switch is final. Nothing is copied yet: `farshore reprotect` follows."""
    config = load_config(context)
    console = Console(as_json=as_json)
    record = run(_commit(config, author(by), reason(console, why)))
    console.say(f"Committed: {record.primary} is primary, and unprotected.")
    console.say("Protect it again with `farshore reprotect`.")
    console.document(_document(record))


def reprotect(
    context: typer.Context, why: WhyOption = "", by: ByOption = "", as_json: JsonOption = False
) -> None:
    """Copy from the new primary to the old one; when both are equal, the pair is protected.

    The first call turns the direction round: `farshore run` copies from then on. Called
    again, it reads both sides. Exit code 0 when the pair is protected, 4 while they differ.
    """
    config = load_config(context)
    console = Console(as_json=as_json)
    record, proved = run(_reprotect(config, author(by), why or "protect it again"))
    proof = proved.proof if proved else None
    if proved is not None and proved.trouble:
        console.note(proved.trouble)
    if proof is None:
        console.say(f"Copying from {record.primary} begins; keep `farshore run` running.")
        console.say("Call this again when `farshore status` shows no backlog.")
    elif proof.differences:
        console.say(f"Not yet: {counted(len(proof.differences), 'difference')}.")
        for found in proof.differences[:SHOWN_MAX]:
            console.say(f"  {found.kind}: {found.bucket}/{found.key}: {found.detail}")
        if proof.divergent:
            console.say("What nobody of ours wrote there is for you: `farshore divergent list`.")
    else:
        console.say(_protected(record, proof))
    console.document({**_document(record), "proof": proof.to_json() if proof else None})
    if record.phase != "protected" and proof is not None:
        raise typer.Exit(NOT_YET)


async def _commit(config: Config, by: str, why: str) -> ControlRecord:
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.runbook.afterwards import Order, commit

    async with open_plane(config, SystemClock()) as plane:
        return await commit(plane, Order(by, why))


async def _reprotect(config: Config, by: str, why: str) -> tuple[ControlRecord, Proved | None]:
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.runbook import afterwards

    order = afterwards.Order(by, why)
    async with open_plane(config, SystemClock()) as plane:
        if (await plane.read()).record.phase != "reprotecting":
            return await afterwards.reprotect(plane, order), None
        proved = await afterwards.prove_protected(config, plane, SystemClock(), order)
        return proved.record, proved


def _protected(record: ControlRecord, proof: Proof) -> str:
    """Of nothing at all nobody says that all of it is there."""
    if not proof.versions:
        return f"Protected: {record.primary} holds nothing yet, and neither does the other side."
    there = counted(proof.versions, "version")
    return f"Protected: {there} of {record.primary} on the other side, 0 differences."


def _document(record: ControlRecord) -> dict[str, object]:
    return {"phase": record.phase, "primary": record.primary, "epoch": record.epoch}
