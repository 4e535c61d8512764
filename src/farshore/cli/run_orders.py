"""What a person says with every runbook, whichever it is: one set of options for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from farshore.cli.console import JsonOption
from farshore.cli.orders import ByOption, ConfirmOption, WhyOption, author

OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override", metavar="RULE=REASON", help="Set one safety rule aside; may be repeated."
    ),
]
TwoOption = Annotated[
    bool, typer.Option("--two-persons", help="Somebody else must approve; only plan for now.")
]
ApprovedByOption = Annotated[
    str, typer.Option("--approved-by", help="Who approved it, where that is somebody else.")
]


@dataclass(frozen=True, slots=True)
class Words:
    """What the person said. `only_plan`: the run is kept, and not made by this command."""

    why: str
    by: str
    approved_by: str
    confirm: str
    override: tuple[str, ...]
    two_persons: bool
    as_json: bool
    only_plan: bool


def _words(
    why: WhyOption = "",
    by: ByOption = "",
    approved_by: ApprovedByOption = "",
    confirm: ConfirmOption = "",
    override: OverrideOption = None,
    two_persons: TwoOption = False,
    as_json: JsonOption = False,
) -> Words:
    """Their parameters are the options, in this order."""
    who = author(by)
    overrides = tuple(override or ())
    return Words(
        why, who, approved_by or who, confirm, overrides, two_persons, as_json, two_persons
    )


def ordered(*, without: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command `(context, words, its own options)` with the options of `Words` behind its own;
    `without` some that make no sense there. Typer reads them off the signature."""
    shared = {
        name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(_words, eval_str=True).parameters.items()
        if name not in without
    }

    def offered(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        kept = [parameter for name, parameter in own.parameters.items() if name != "words"]

        @wraps(command)
        def called(context: typer.Context, **given: Any) -> None:
            words = _words(**{name: given.pop(name) for name in shared})
            command(context, words, **given)

        called.__signature__ = own.replace(  # type: ignore[attr-defined]  # what Typer reads
            parameters=[*kept, *shared.values()]
        )
        called.__annotations__ = {}
        return called

    return offered
