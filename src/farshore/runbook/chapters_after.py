"""The team's runbook, after a flip: stabilise, failback, and what is learnt from it."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.runbook.commands import Command, Commands, Section


def stabilise(c: Commands) -> Section:
    home, away = c.home, c.away
    return Section(
        "Stabilise",
        f"{away} is primary. It is not protected until it is copied to {home}: *Failback*.",
        (
            c.status(0, 3, 4),
            Command(
                c.line("fence") + " --pending",
                (0, 3),
                f"no fence waits any more; 3: {home} does not answer yet. The daemon fences it "
                "the moment it does.",
                f"{home} answers and cannot be fenced: keep its clients away by hand.",
            ),
            Command(
                c.line("fence", home) + " --show",
                (0,),
                f"what is recorded, and what stands at {home}.",
                "no control bucket answers.",
            ),
            Command(
                c.line("commit", why=f"{away} stays primary"),
                (0,),
                f"it stays so. Nothing at {home} was deleted, and nothing will be.",
                "5: a run is not finished, or this is said already.",
            ),
        ),
    )


def failback(c: Commands) -> Section:
    home, away = c.home, c.away
    return Section(
        f"Failback: home to {home}",
        f"{home} answers, is fenced, and `farshore commit` was said. No hurry: {away} serves.",
        (
            c.turned(away, home),
            *_divergent(c),
            c.protected(away, home),
            Command(
                c.line("verify"),
                (0,),
                f"everything of {away} is on {home}: 0 differences.",
                "4: it lists them; `farshore repair` mends them.",
            ),
            c.turned_round(away),
            Command(
                c.line("failback", why="back home", confirm=home, **c.unfenceable(away)),
                (0,),
                f"{home} is primary, as before the storm; {away} refuses clients' writes.",
                f"5: not protected yet: *reprotect* again. 1: taken back, {away} stays.",
            ),
            *c.switch_shows(home),
            Command(
                c.line("commit", why=f"{home} stays primary"),
                (0,),
                "it stays so.",
                "5: a run is not finished, or this is said already.",
            ),
            c.turned(home, away),
            c.protected(home, away),
            Command(
                c.line("fence", home) + " --show",
                (0,),
                f"no fence is recorded for {home}, and none stands there: nothing was left behind.",
                f"`farshore unfence {home}` takes it away.",
            ),
            c.turned_round(home),
        ),
    )


def _divergent(c: Commands) -> Iterator[Command]:
    if "divergent keep" not in c.tree:
        return
    home, away = c.home, c.away
    yield Command(
        c.line("divergent list"),
        (0,),
        f"what {home} alone has: written there, never copied. Nothing of it was deleted. Show "
        "it to whoever owns the data.",
        f"{home} cannot be read yet.",
    )
    yield Command(
        c.line("divergent keep") + " --all " + f'--why "{away} counts"',
        (0,),
        f"it stays in the history of {home}, and {away} counts. What must live again, first: "
        "`farshore divergent adopt KEY`.",
        "5: say `farshore commit` first.",
    )


def retro(c: Commands) -> Section:
    page = "`farshore report RUN` makes a page of one; give every finding an owner."
    shown = f"every run, who asked, how it ended. {page}" * ("report" in c.tree)
    return Section(
        "Afterwards",
        "Within two days, while everybody remembers.",
        (
            Command(
                c.line("runs"),
                (0,),
                shown or "every run, who asked, how it ended.",
                "no control bucket answers.",
            ),
            Command(
                c.line("audit list"),
                (0,),
                "who did what, when, why; what began and has no result.",
                "no control bucket answers.",
            ),
            Command(
                c.line("audit verify"),
                (0,),
                "the log is whole.",
                "4: an entry was changed, is missing or is out of order: find out who.",
            ),
        ),
    )
