"""The chapters of the team's runbook: which commands, in which order, what each must answer."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from farshore.config import Config
from farshore.runbook.preflight import RULES


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
class Chapters:
    """The sections of one configuration."""

    config: Config
    tree: Tree
    hot: tuple[str, ...]

    @property
    def _home(self) -> str:
        return self.config.pair.source

    @property
    def _away(self) -> str:
        return self.config.pair.target

    def sections(self) -> Iterator[Section]:
        """In the order of the document."""
        yield self._before()
        yield self._wobbles()
        yield self._switchover()
        if "rollback" in self.tree:
            yield self._rollback()
        yield self._failover()
        yield self._stabilise()
        yield self._failback()
        yield self._retro()

    # -- commands ------------------------------------------------------------------

    def _line(self, name: str, *arguments: str, **options: str) -> str:
        """`farshore NAME …`; options that the command does not have are left out."""
        shape = self.tree[name]
        words = ["farshore", *name.split(), *map(_quoted, arguments)]
        for option, value in options.items():
            flag = f"--{option.replace('_', '-')}"
            if flag in shape.options:
                words += [flag, _quoted(value)]
        return " ".join(words)

    def _status(self, *exits: int) -> Command:
        return Command(
            self._line("status"),
            exits,
            "0 is SAFE, 3 AT RISK, 4 NOT SAFE. It names the primary, up to when everything is on "
            "the other side, and every reason with its remedy.",
            "no site answers from here, or the keys are wrong: try from another machine.",
        )

    def _turned_round(self, primary: str) -> Command:
        """The daemon's first scan in the new direction."""
        shown = self._status(0, 3)
        when = f"the daemon has not yet scanned {primary} to its end: wait, and call it again."
        return shown._replace(again=(4, when))

    def _switch_shows(self, site: str) -> list[Command]:
        if not self.config.switch.drivers:
            return []
        return [
            Command(
                self._line("switch verify", site, wait="30"),
                (0,),
                f"every proxy and every resolver that is asked sends clients to {site}.",
                "it names the vantage that does not. `farshore switch show` says what each "
                "driver holds; old TTLs end by themselves.",
            )
        ]

    def _fence_checks(self) -> Iterator[Command]:
        for site in (self.config.source, self.config.target):
            if site.fence.by != "none":
                yield Command(
                    self._line("fence", site.name) + " --check",
                    (0,),
                    f"a fence at {site.name} would bite; tried on canaries, no client notices.",
                    f"see docs/fence.md; until it would, {site.name} can be written to after its "
                    "clients have left.",
                )

    def _unfenceable(self, site: str) -> dict[str, str]:
        """The override that a site without a fence needs."""
        if self.config.site(site).fence.by != "none":
            return {}
        return {"override": f"fence={site} has no fence, its clients are kept away by hand"}

    # -- sections ------------------------------------------------------------------

    def _before(self) -> Section:
        switch = (
            [
                Command(
                    self._line("switch show"),
                    (0,),
                    f"every driver shows {self._home}.",
                    "one does not answer, or somebody moved it by hand: it says which.",
                )
            ]
            if self.config.switch.drivers
            else []
        )
        return Section(
            "Before the storm",
            "Once a week, and after every change of buckets, keys, proxies or farshore.toml.",
            (
                Command(self._line("config check"), (0,), "the file is right.", "it names lines."),
                Command(
                    self._line("run"),
                    (),
                    f"as a service, on a machine that outlives {self._home}. Leave it running "
                    "through everything below: it turns round by itself.",
                    "its last line says why it ended; `farshore status` shows what waits.",
                ),
                Command(
                    self._line("verify"),
                    (0,),
                    "both sides were read and do not differ.",
                    "4: it lists every difference; `farshore repair` mends them.",
                ),
                *switch,
                *self._fence_checks(),
                *self._drills(),
                *self._doctor(),
                self._status(0, 3),
                Command(
                    self._line("audit verify"),
                    (0,),
                    "the log of who did what is whole, on both sides.",
                    "4: an entry was changed, is missing or is out of order; it says which.",
                ),
            ),
        )

    def _doctor(self) -> Iterator[Command]:
        """A farshore without drills finds that none was ever made."""
        if "doctor" in self.tree:
            yield Command(
                self._line("doctor"),
                (0, 3) if "drill" in self.tree else (0, 3, 4),
                "nothing that would make a failover fail was found; 3: not all could be told.",
                "it names what it is, with what was seen, and what to do. Mend that first.",
            )

    def _drills(self) -> Iterator[Command]:
        means = {
            "plan": "every step could be made: names, keys and switches are where they should be.",
            "isolated": "a failover and back again worked, in a scratch prefix; no client noticed.",
        }
        for level, meaning in means.items():
            if "drill" in self.tree:
                yield Command(
                    self._line("drill", level=level),
                    (0,),
                    meaning,
                    "4: its report names the step and the finding; give it an owner.",
                )

    def _wobbles(self) -> Section:
        syncs = [
            Command(
                self._line("sync", prefix, timeout="60"),
                (0, 1),
                f"what is below {prefix or 'any prefix'} goes first, and is on {self._away}; 1: it "
                "lists what is left.",
                f"{self._home} answers nothing more: do not wait for it.",
            )
            for prefix in self.hot
        ]
        return Section(
            f"When {self._home} wobbles",
            f"Slow, errors, a network that comes and goes: {self._home} still half answers. Look, "
            "save what must not be lost, then let the person decide.",
            (
                self._status(0, 3, 4),
                *syncs,
                Command(
                    self._line("backlog list"),
                    (0,),
                    "what is known to be missing on the other side, and why.",
                    "the state folder is on another machine: ask there.",
                ),
            ),
            f"**Decide.** {self._home} answers and there is time: *Switchover*, nothing is lost. "
            f"It does not answer, or cannot be trusted: *Failover*. What was written after the "
            "moment that `status` names is then missing until it comes back. Waiting is a "
            "decision, too: say until when.",
        )

    def _switchover(self) -> Section:
        home, away = self._home, self._away
        line = self._line(
            "switchover",
            to=away,
            why=f"maintenance at {home}",
            confirm=away,
            **self._unfenceable(home),
        )
        return Section(
            f"Switchover: {home} → {away}, both are up",
            "Writes are frozen for seconds and wait; nothing is lost. Until the fence stands, a "
            f"failure takes everything back by itself. Rules that are checked: {', '.join(RULES)}. "
            "Two persons: add `--two-persons`, then somebody else says `farshore approve`, and "
            "`farshore resume RUN` begins it.",
            (
                *self._planned(away),
                Command(
                    line,
                    (0,),
                    f"{away} is primary, tried as the app; {home} refuses clients' writes.",
                    f"1: it says why, and was taken back: {home} is primary as before. 6: not "
                    "known; `farshore switch show`, then `farshore resume RUN`, which looks "
                    "first. 5: a safety rule; it names it.",
                ),
                *self._switch_shows(away),
            ),
            "Watch the app's own error rates for a while. Then *Stabilise*.",
        )

    def _planned(self, site: str) -> list[Command]:
        if not self.config.switch.drivers:
            return []
        return [
            Command(
                self._line("switch plan", site),
                (0,),
                "what would be changed at every proxy, record or file; nothing is changed.",
                "a driver does not answer: mend it before clients depend on it.",
            )
        ]

    def _rollback(self) -> Section:
        home = self._home
        line = self._line(
            "rollback",
            to=home,
            why="the app is worse off there",
            confirm=home,
            **self._unfenceable(self._away),
        )
        return Section(
            "Take a switchover back",
            f"Before `farshore commit`, and while no client has written at {self._away}; else "
            "*Stabilise*, then *Failback*.",
            (
                Command(
                    line,
                    (0,),
                    f"{home} is primary again, and protected as before.",
                    f"5: something was written at {self._away} alone: *Stabilise*, *Failback*.",
                ),
                *self._switch_shows(home),
            ),
        )

    def _failover(self) -> Section:
        home, away = self._home, self._away
        line = self._line(
            "failover",
            to=away,
            writes="allow",
            why=f"{home} is down",
            confirm=away,
            **self._unfenceable(home),
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
                *self._switch_shows(away),
            ),
            f"Keep clients away from {home} should it come back. Then *Stabilise*.",
        )

    def _stabilise(self) -> Section:
        home, away = self._home, self._away
        return Section(
            "Stabilise",
            f"{away} is primary. It is not protected until it is copied to {home}: *Failback*.",
            (
                self._status(0, 3, 4),
                Command(
                    self._line("fence") + " --pending",
                    (0, 3),
                    f"no fence waits any more; 3: {home} does not answer yet. The daemon fences it "
                    "the moment it does.",
                    f"{home} answers and cannot be fenced: keep its clients away by hand.",
                ),
                Command(
                    self._line("fence", home) + " --show",
                    (0,),
                    f"what is recorded, and what stands at {home}.",
                    "no control bucket answers.",
                ),
                Command(
                    self._line("commit", why=f"{away} stays primary"),
                    (0,),
                    f"it stays so. Nothing at {home} was deleted, and nothing will be.",
                    "5: a run is not finished, or this is said already.",
                ),
            ),
        )

    def _failback(self) -> Section:
        home, away = self._home, self._away
        return Section(
            f"Failback: home to {home}",
            f"{home} answers, is fenced, and `farshore commit` was said. No hurry: {away} serves.",
            (
                self._turned(away, home),
                *self._divergent(),
                self._protected(away, home),
                Command(
                    self._line("verify"),
                    (0,),
                    f"everything of {away} is on {home}: 0 differences.",
                    "4: it lists them; `farshore repair` mends them.",
                ),
                self._turned_round(away),
                Command(
                    self._line(
                        "failback", why="back home", confirm=home, **self._unfenceable(away)
                    ),
                    (0,),
                    f"{home} is primary, as before the storm; {away} refuses clients' writes.",
                    f"5: not protected yet: *reprotect* again. 1: taken back, {away} stays.",
                ),
                *self._switch_shows(home),
                Command(
                    self._line("commit", why=f"{home} stays primary"),
                    (0,),
                    "it stays so.",
                    "5: a run is not finished, or this is said already.",
                ),
                self._turned(home, away),
                self._protected(home, away),
                Command(
                    self._line("fence", home) + " --show",
                    (0,),
                    f"no fence is recorded for {home}, and none stands there: nothing was "
                    "left behind.",
                    f"`farshore unfence {home}` takes it away.",
                ),
                self._turned_round(home),
            ),
        )

    def _turned(self, primary: str, other: str) -> Command:
        return Command(
            self._line("reprotect"),
            (0,),
            f"copying from {primary} to {other} begins; the daemon does it.",
            "5: say `farshore commit` first.",
        )

    def _protected(self, primary: str, other: str) -> Command:
        return Command(
            self._line("reprotect"),
            (0,),
            f"both sides were read and do not differ: {primary} is protected by {other}.",
            "`farshore status` and `farshore backlog list` say what waits, and why.",
            (4, "not yet; again when `farshore status` shows no backlog."),
        )

    def _divergent(self) -> Iterator[Command]:
        if "divergent keep" not in self.tree:
            return
        home, away = self._home, self._away
        yield Command(
            self._line("divergent list"),
            (0,),
            f"what {home} alone has: written there, never copied. Nothing of it was deleted. Show "
            "it to whoever owns the data.",
            f"{home} cannot be read yet.",
        )
        yield Command(
            self._line("divergent keep") + " --all " + f'--why "{away} counts"',
            (0,),
            f"it stays in the history of {home}, and {away} counts. What must live again, first: "
            "`farshore divergent adopt KEY`.",
            "5: say `farshore commit` first.",
        )

    def _retro(self) -> Section:
        page = "`farshore report RUN` makes a page of one; give every finding an owner."
        shown = f"every run, who asked, how it ended. {page}" * ("report" in self.tree)
        return Section(
            "Afterwards",
            "Within two days, while everybody remembers.",
            (
                Command(
                    self._line("runs"),
                    (0,),
                    shown or "every run, who asked, how it ended.",
                    "no control bucket answers.",
                ),
                Command(
                    self._line("audit list"),
                    (0,),
                    "who did what, when, why; what began and has no result.",
                    "no control bucket answers.",
                ),
                Command(
                    self._line("audit verify"),
                    (0,),
                    "the log is whole.",
                    "4: an entry was changed, is missing or is out of order: find out who.",
                ),
            ),
        )


def _quoted(text: str) -> str:
    """As a shell reads it; double quotes, which people know, where they are enough."""
    plain = not set(text) & set('"\\$`!')
    return f'"{text}"' if plain and shlex.quote(text) != text else shlex.quote(text)
