"""Commands as the team's runbook shows them, filled in with the names of one pair."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from farshore.config import Config


class Shape(NamedTuple):
    """What a command takes: its options, and how many arguments must be given."""

    options: frozenset[str]
    required: int


Tree = Mapping[str, Shape]
"""Every command that there is, such as "switch show", by its name without `farshore`."""


class Command(NamedTuple):
    """One command. `exits`: codes that are right; none: it goes on running. `again`: the code at
    which it is called once more."""

    line: str
    exits: tuple[int, ...]
    means: str
    otherwise: str
    again: tuple[int, str] | None = None


class Section(NamedTuple):
    """One heading; `text` comes before the commands, `after` behind them."""

    title: str
    text: str
    commands: tuple[Command, ...]
    after: str = ""


@dataclass(frozen=True, slots=True)
class Commands:
    """What more than one chapter asks of a person."""

    config: Config
    tree: Tree

    @property
    def home(self) -> str:
        """The configured source."""
        return self.config.pair.source

    @property
    def away(self) -> str:
        return self.config.pair.target

    def line(self, name: str, *arguments: str, **options: str) -> str:
        """`farshore NAME …`; options that the command does not have are left out."""
        shape = self.tree[name]
        words = ["farshore", *name.split(), *map(_quoted, arguments)]
        for option, value in options.items():
            flag = f"--{option.replace('_', '-')}"
            if flag in shape.options:
                words += [flag, _quoted(value)]
        return " ".join(words)

    def status(self, *exits: int) -> Command:
        return Command(
            self.line("status"),
            exits,
            "0 is SAFE, 3 AT RISK, 4 NOT SAFE. It names the primary, up to when everything is on "
            "the other side, and every reason with its remedy.",
            "no site answers from here, or the keys are wrong: try from another machine.",
        )

    def turned_round(self, primary: str) -> Command:
        """The daemon's first scan in the new direction."""
        shown = self.status(0, 3)
        when = f"the daemon has not yet scanned {primary} to its end: wait, and call it again."
        return shown._replace(again=(4, when))

    def switch_shows(self, site: str) -> list[Command]:
        if not self.config.switch.drivers:
            return []
        return [
            Command(
                self.line("switch verify", site, wait="30"),
                (0,),
                f"every proxy and every resolver that is asked sends clients to {site}.",
                "it names the vantage that does not. `farshore switch show` says what each "
                "driver holds; old TTLs end by themselves.",
            )
        ]

    def fence_checks(self) -> Iterator[Command]:
        for site in (self.config.source, self.config.target):
            if site.fence.by != "none":
                yield Command(
                    self.line("fence", site.name) + " --check",
                    (0,),
                    f"a fence at {site.name} would bite; tried on canaries, no client notices.",
                    f"see docs/fence.md; until it would, {site.name} can be written to after its "
                    "clients have left.",
                )

    def unfenceable(self, site: str) -> dict[str, str]:
        """The override that a site without a fence needs."""
        if self.config.site(site).fence.by != "none":
            return {}
        return {"override": f"fence={site} has no fence, its clients are kept away by hand"}

    def planned(self, site: str) -> list[Command]:
        if not self.config.switch.drivers:
            return []
        return [
            Command(
                self.line("switch plan", site),
                (0,),
                "what would be changed at every proxy, record or file; nothing is changed.",
                "a driver does not answer: mend it before clients depend on it.",
            )
        ]

    def turned(self, primary: str, other: str) -> Command:
        return Command(
            self.line("reprotect"),
            (0,),
            f"copying from {primary} to {other} begins; the daemon does it.",
            "5: say `farshore commit` first.",
        )

    def protected(self, primary: str, other: str) -> Command:
        return Command(
            self.line("reprotect"),
            (0,),
            f"both sides were read and do not differ: {primary} is protected by {other}.",
            "`farshore status` and `farshore backlog list` say what waits, and why.",
            (4, "not yet; again when `farshore status` shows no backlog."),
        )


def _quoted(text: str) -> str:
    """As a shell reads it; double quotes, which people know, where they are enough."""
    plain = not set(text) & set('"\\$`!')
    return f'"{text}"' if plain and shlex.quote(text) != text else shlex.quote(text)
