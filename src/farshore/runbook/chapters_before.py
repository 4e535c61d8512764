"""The team's runbook, before the storm: what is looked at every week, and when a site wobbles."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.runbook.commands import Command, Commands, Section


def before(c: Commands) -> Section:
    switch = (
        [
            Command(
                c.line("switch show"),
                (0,),
                f"every driver shows {c.home}.",
                "one does not answer, or somebody moved it by hand: it says which.",
            )
        ]
        if c.config.switch.drivers
        else []
    )
    return Section(
        "Before the storm",
        "Once a week, and after every change of buckets, keys, proxies or farshore.toml.",
        (
            Command(c.line("config check"), (0,), "the file is right.", "it names lines."),
            Command(
                c.line("run"),
                (),
                f"as a service, on a machine that outlives {c.home}. Leave it running "
                "through everything below: it turns round by itself.",
                "its last line says why it ended; `farshore status` shows what waits.",
            ),
            Command(
                c.line("verify"),
                (0,),
                "both sides were read and do not differ.",
                "4: it lists every difference; `farshore repair` mends them.",
            ),
            *switch,
            *c.fence_checks(),
            *_drills(c),
            *_doctor(c),
            c.status(0, 3),
            Command(
                c.line("audit verify"),
                (0,),
                "the log of who did what is whole, on both sides.",
                "4: an entry was changed, is missing or is out of order; it says which.",
            ),
        ),
    )


def _doctor(c: Commands) -> Iterator[Command]:
    """A farshore without drills finds that none was ever made."""
    if "doctor" in c.tree:
        yield Command(
            c.line("doctor"),
            (0, 3) if "drill" in c.tree else (0, 3, 4),
            "nothing that would make a failover fail was found; 3: not all could be told.",
            "it names what it is, with what was seen, and what to do. Mend that first.",
        )


def _drills(c: Commands) -> Iterator[Command]:
    means = {
        "plan": "every step could be made: names, keys and switches are where they should be.",
        "isolated": "a failover and back again worked, in a scratch prefix; no client noticed.",
    }
    for level, meaning in means.items():
        if "drill" in c.tree:
            yield Command(
                c.line("drill", level=level),
                (0,),
                meaning,
                "4: its report names the step and the finding; give it an owner.",
            )


def wobbles(c: Commands, hot: tuple[str, ...]) -> Section:
    syncs = [
        Command(
            c.line("sync", prefix, timeout="60"),
            (0, 1),
            f"what is below {prefix or 'any prefix'} goes first, and is on {c.away}; 1: it "
            "lists what is left.",
            f"{c.home} answers nothing more: do not wait for it.",
        )
        for prefix in hot
    ]
    return Section(
        f"When {c.home} wobbles",
        f"Slow, errors, a network that comes and goes: {c.home} still half answers. Look, "
        "save what must not be lost, then let the person decide.",
        (
            c.status(0, 3, 4),
            *syncs,
            Command(
                c.line("backlog list"),
                (0,),
                "what is known to be missing on the other side, and why.",
                "the state folder is on another machine: ask there.",
            ),
        ),
        f"**Decide.** {c.home} answers and there is time: *Switchover*, nothing is lost. "
        f"It does not answer, or cannot be trusted: *Failover*. What was written after the "
        "moment that `status` names is then missing until it comes back. Waiting is a "
        "decision, too: say until when.",
    )
