"""The team's runbook, in the storm: switchover, rollback, failover."""

from __future__ import annotations

from farshore.runbook.commands import Command, Commands, Section
from farshore.runbook.preflight import RULES


def switchover(c: Commands) -> Section:
    home, away = c.home, c.away
    line = c.line(
        "switchover",
        to=away,
        why=f"maintenance at {home}",
        confirm=away,
        **c.unfenceable(home),
    )
    return Section(
        f"Switchover: {home} → {away}, both are up",
        "Writes are frozen for seconds and wait; nothing is lost. Until the fence stands, a "
        f"failure takes everything back by itself. Rules that are checked: {', '.join(RULES)}. "
        "Two persons: add `--two-persons`, then somebody else says `farshore approve`, and "
        "`farshore resume RUN` begins it.",
        (
            *c.planned(away),
            Command(
                line,
                (0,),
                f"{away} is primary, tried as the app; {home} refuses clients' writes.",
                f"1: it says why, and was taken back: {home} is primary as before. 6: not "
                "known; `farshore switch show`, then `farshore resume RUN`, which looks "
                "first. 5: a safety rule; it names it.",
            ),
            *c.switch_shows(away),
        ),
        "Watch the app's own error rates for a while. Then *Stabilise*.",
    )


def rollback(c: Commands) -> Section:
    home = c.home
    line = c.line(
        "rollback",
        to=home,
        why="the app is worse off there",
        confirm=home,
        **c.unfenceable(c.away),
    )
    return Section(
        "Take a switchover back",
        f"Before `farshore commit`, and while no client has written at {c.away}; else "
        "*Stabilise*, then *Failback*.",
        (
            Command(
                line,
                (0,),
                f"{home} is primary again, and protected as before.",
                f"5: something was written at {c.away} alone: *Stabilise*, *Failback*.",
            ),
            *c.switch_shows(home),
        ),
    )


def failover(c: Commands) -> Section:
    home, away = c.home, c.away
    line = c.line(
        "failover",
        to=away,
        writes="allow",
        why=f"{home} is down",
        confirm=away,
        **c.unfenceable(home),
    )
    return Section(
        f"Failover: {home} is down, {away} takes over",
        f"It needs {away} alone. Before anything is done it shows up to when everything is on "
        f"{away}, and what is known to be missing: that is the loss that you agree to. Say "
        f"how clients may write: `--writes allow` at once; `--writes hold` they read only, "
        f"until `farshore unfence {away}`. Without `--confirm` it shows the plan and asks.",
        (
            Command(
                line,
                (0,),
                f"{away} is primary, tried as the app; {home} is fenced, or will be the "
                "moment it answers.",
                f"5: {home} still takes writes, or another run is open: it says which. 1 or "
                "6: `farshore runs` shows the run, `farshore resume RUN` goes on with it.",
            ),
            *c.switch_shows(away),
        ),
        f"Keep clients away from {home} should it come back. Then *Stabilise*.",
    )
