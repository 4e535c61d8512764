"""Who is primary, and the way from one primary to the other: one table.

    (phase, event) -> (phase, whether the epoch rises)

A pair that is not in the table raises. An event is recorded when it has happened, not when
it is tried: what is under way shows in the record's fences, freeze and switch. The epoch
rises wherever somebody who worked by the old roles must stop.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from farshore.errors import Refused

Phase = Literal[
    "protected",
    "frozen",
    "drained",
    "fenced",
    "given_up",
    "switched",
    "committed",
    "reprotecting",
    "unknown",
]

Event = Literal[
    "freeze",
    "thaw",
    "drain",
    "fence",
    "unfence",
    "give_up",
    "flip",
    "roll_back",
    "abort",
    "commit",
    "reprotect",
    "protect",
    "unsure",
    "found_protected",
    "found_frozen",
    "found_drained",
    "found_fenced",
    "found_given_up",
    "found_switched",
    "found_committed",
    "found_reprotecting",
]

PHASES: dict[Phase, str] = {
    "protected": "the primary is written to, and copied to the other side",
    "frozen": "clients' writes to the primary are asked to wait",
    "drained": "no write is in flight any more",
    "fenced": "the primary's storage refuses clients' writes",
    "given_up": "the primary is given up: its fence stands, or waits for it to come back",
    "switched": "clients go to the other side, which is primary now; it can be taken back (soak)",
    "committed": "the switch is final; nothing is copied yet: unprotected",
    "reprotecting": "the new primary is copied to the old one",
    "unknown": "a step was tried and nobody knows whether it happened: read, then say what was "
    "found",
}

EVENTS: dict[str, str] = {
    "freeze": "writes are frozen at every proxy",
    "thaw": "writes go on, nothing was flipped",
    "drain": "the writes in flight have ended",
    "fence": "the fence bites: a canary write was refused",
    "unfence": "the fence was taken away again, nothing was flipped",
    "give_up": "a person has given up the primary; its fence is at least pending",
    "flip": "every driver of the switch shows the other side",
    "roll_back": "every driver shows the old primary again, before the commit",
    "abort": "everything tried was undone, and read again",
    "commit": "a person has said that it stays so",
    "reprotect": "copying from the new primary to the old one begins",
    "protect": "a verify of everything found no difference",
    "unsure": "a step's outcome is not known",
    "found_PHASE": "it was read what holds: that phase",
}


class Step(NamedTuple):
    """Where an event leads. `raises`: the epoch rises."""

    phase: Phase
    raises: bool = False


RAISED = True

TABLE: dict[tuple[Phase, Event], Step] = {
    # a planned switchover
    ("protected", "freeze"): Step("frozen"),
    ("frozen", "drain"): Step("drained"),
    ("drained", "fence"): Step("fenced"),
    ("fenced", "flip"): Step("switched", RAISED),
    ("switched", "commit"): Step("committed"),
    ("committed", "reprotect"): Step("reprotecting"),
    ("reprotecting", "protect"): Step("protected"),
    # the way back before the flip, and until the commit
    ("frozen", "thaw"): Step("protected"),
    ("drained", "thaw"): Step("protected"),
    ("fenced", "unfence"): Step("drained"),
    ("frozen", "abort"): Step("protected"),
    ("drained", "abort"): Step("protected"),
    ("fenced", "abort"): Step("protected"),
    ("given_up", "abort"): Step("protected"),
    ("switched", "roll_back"): Step("protected", RAISED),
    ("reprotecting", "abort"): Step("committed"),
    # a failover: the primary is down, or given up
    ("protected", "give_up"): Step("given_up", RAISED),
    ("frozen", "give_up"): Step("given_up", RAISED),
    ("drained", "give_up"): Step("given_up", RAISED),
    ("fenced", "give_up"): Step("given_up", RAISED),
    ("switched", "give_up"): Step("given_up", RAISED),
    ("committed", "give_up"): Step("given_up", RAISED),
    ("reprotecting", "give_up"): Step("given_up", RAISED),
    ("given_up", "flip"): Step("switched", RAISED),
    # any step may end without anybody knowing how
    ("protected", "unsure"): Step("unknown"),
    ("frozen", "unsure"): Step("unknown"),
    ("drained", "unsure"): Step("unknown"),
    ("fenced", "unsure"): Step("unknown"),
    ("given_up", "unsure"): Step("unknown"),
    ("switched", "unsure"): Step("unknown"),
    ("committed", "unsure"): Step("unknown"),
    ("reprotecting", "unsure"): Step("unknown"),
    ("unknown", "found_protected"): Step("protected", RAISED),
    ("unknown", "found_frozen"): Step("frozen"),
    ("unknown", "found_drained"): Step("drained"),
    ("unknown", "found_fenced"): Step("fenced"),
    ("unknown", "found_given_up"): Step("given_up", RAISED),
    ("unknown", "found_switched"): Step("switched", RAISED),
    ("unknown", "found_committed"): Step("committed", RAISED),
    ("unknown", "found_reprotecting"): Step("reprotecting", RAISED),
}

NEW_PRIMARY: frozenset[Event] = frozenset(
    {
        "flip",
        "roll_back",
        "found_protected",
        "found_switched",
        "found_committed",
        "found_reprotecting",
    }
)
"""Only these events may name another primary. All of them raise the epoch."""

COPYING: frozenset[Phase] = frozenset({"protected", "frozen", "drained", "fenced", "reprotecting"})
"""In these phases the primary is copied to the other side; in all others nothing is written:
until the commit nothing may touch the losing side, and what is unknown must not get worse."""


def step(phase: Phase, event: Event) -> Step:
    """Where the event leads. `Refused` when it cannot happen in this phase."""
    found = TABLE.get((phase, event))
    if found is None:
        can = ", ".join(name for at, name in TABLE if at == phase)
        raise Refused(
            f"The pair is {phase.replace('_', ' ')} ({PHASES[phase]}): {event} cannot follow.",
            hint=f"What can follow: {can}. `farshore status` shows where the pair stands.",
        )
    return found


def found(phase: Phase) -> Event:
    """The event that leads out of `unknown` to this phase. `Refused` for `unknown` itself."""
    name = f"found_{phase}"
    for event in get_args(Event):
        if event == name:
            answer: Event = event
            return answer
    raise Refused("What was found cannot be unknown.", hint="Read again what stands.")


def diagram() -> str:
    """The table as a Mermaid state diagram; the ways into and out of `unknown` are left out."""
    lines = ["stateDiagram-v2", "    [*] --> protected"]
    for (phase, event), (to, raises) in TABLE.items():
        if "unknown" not in (phase, to):
            lines.append(f"    {phase} --> {to}: {event}{' ↑' if raises else ''}")
    return "\n".join(lines)


def page(made: str) -> str:
    """docs/roles.md. `made`: the line that says where the page comes from."""
    lines = ["# Roles", "", made, ""]
    lines += ["One record, in both control buckets, says which site is primary and how far a"]
    lines += ["switch of roles has come. It changes by the events below and by nothing else;"]
    lines += ["an event that is not in the table for the phase is refused. `↑`: the epoch rises,"]
    lines += ["and whoever worked under the old one stops.", ""]
    lines += ["```mermaid", diagram(), "```", ""]
    lines += ["From every phase `unsure` leads to `unknown`, which is left only by `found_PHASE`,"]
    lines += [
        "after reading what holds. `protected` with the other primary is the pair reversed.",
        "",
    ]
    lines += ["| phase | what it means | the primary is copied |", "|---|---|---|"]
    for phase, meaning in PHASES.items():
        lines.append(f"| `{phase}` | {meaning} | {'yes' if phase in COPYING else 'no'} |")
    lines += ["", "| event | what has happened |", "|---|---|"]
    lines += [f"| `{event}` | {meaning} |" for event, meaning in EVENTS.items()]
    lines += ["", "| from | event | to | epoch |", "|---|---|---|---|"]
    for (phase, event), (to, raises) in TABLE.items():
        lines.append(f"| `{phase}` | `{event}` | `{to}` | {'rises' if raises else ''} |")
    return "\n".join(lines) + "\n"
