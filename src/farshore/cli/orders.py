"""Who gives an order, why, and the typed name that confirms it: for commands that move clients."""

from __future__ import annotations

from typing import Annotated

import typer

from farshore.cli.console import Console
from farshore.cli.pause import who
from farshore.errors import Refused, UsageError

WORDS_MAX = 500
"""A reason is a sentence, not a file."""

WhyOption = Annotated[
    str, typer.Option("--why", help="Why; it is recorded, and asked for without.")
]
ByOption = Annotated[str, typer.Option("--by", help="Who; without it USER@MACHINE.")]
ConfirmOption = Annotated[
    str, typer.Option("--confirm", help="The site's name once more, instead of typing it.")
]


def author(by: str) -> str:
    """Who gives the order: as named, or the system's user and machine."""
    return by[:WORDS_MAX] or "@".join(who())


def reason(console: Console, why: str) -> str:
    """Why, from the option or from a person. `UsageError` when there is neither."""
    given = why.strip()[:WORDS_MAX]
    if not given and console.can_ask:
        given = str(typer.prompt("Why? (it is recorded)", err=True)).strip()[:WORDS_MAX]
    if not given:
        raise UsageError("No reason is given.", hint='Say why: --why "…". It is recorded.')
    return given


def require_named(console: Console, site: str, confirm: str, question: str) -> None:
    """`Refused` unless the site's name is typed, or given by --confirm, letter by letter."""
    typed = confirm
    if not typed and console.can_ask:
        typed = str(typer.prompt(f"{question} Type the site's name", err=True, default="")).strip()
    if not typed:
        raise UsageError(
            "This changes where clients can write, and nobody has confirmed it.",
            hint=f"Type the name when asked, or give it: --confirm {site}",
        )
    if typed != site:
        raise Refused(
            f'"{typed}" is not "{site}": nothing was changed.',
            hint="Type the site's name as the question and farshore.toml have it.",
        )
