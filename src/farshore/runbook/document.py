"""The team's runbook as Markdown, filled in from the configuration: nothing is left to guess.

    ```sh
    farshore verify
    ```

    **Exit code 0**: what that means.            or **Exit code 0 or 3**, or **Goes on running**
    **While 4**: call it again.                  where a command is to be repeated
    **If not**: what to do.

Only commands that this farshore has are shown, with options that they have. A test executes
every one of them in the order of the document, so its form is for people and for that test.
"""

from __future__ import annotations

from farshore.config import Config
from farshore.config.switches import HaproxySwitch
from farshore.config.values import Site
from farshore.runbook.chapters import chapters
from farshore.runbook.commands import Command, Tree

GOES_ON = "Goes on running"


def render(config: Config, tree: Tree, hot: tuple[str, ...] = ()) -> str:
    """The whole document. `hot`: prefixes that go first when the source wobbles."""
    parts = [_head(config)]
    for section in chapters(config, tree, hot):
        parts += [f"## {section.title}", section.text]
        parts += [_shown(command) for command in section.commands]
        parts += [section.after]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(command: Command) -> str:
    codes = " or ".join(map(str, command.exits))
    right = f"Exit code {codes}" if command.exits else GOES_ON
    lines = [f"```sh\n{command.line}\n```", "", f"- **{right}**: {command.means}"]
    if command.again:
        code, when = command.again
        lines.append(f"- **While {code}**: {when}")
    return "\n".join([*lines, f"- **If not**: {command.otherwise}"])


# -- what the pair is --------------------------------------------------------------------


def _head(config: Config) -> str:
    pair, switch = config.pair, config.switch
    buckets = ", ".join(
        one.source if one.source == one.target else f"{one.source} → {one.target}"
        for one in pair.buckets
    )
    rows = [
        ("pair", f"{pair.name}: {pair.source} → {pair.target}"),
        *((f"site {site.name}", _site(site)) for site in (config.source, config.target)),
        ("buckets", buckets),
        ("clients use", switch.endpoint or "a URL that depends on the active site"),
        ("they are moved by", ", ".join(driver.name for driver in switch.drivers) or "nobody"),
        ("writes may be frozen", f"{switch.freeze_max_s:g} s"),
        ("what may be lost (RPO)", f"{config.objectives.rpo_s:g} s"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return "\n\n".join(
        (
            f"# Runbook of {pair.name}",
            "Made by `farshore runbook` from farshore.toml: make it anew when that changes, and "
            "keep a copy where it can be read with one site down. Every command is run in the "
            "folder of farshore.toml. `--why` is recorded: say what is true today.",
            f"| | |\n|---|---|\n{table}",
            "Exit codes: 0 done, SAFE · 1 an error · 2 wrong usage · 3 AT RISK · 4 differences, "
            "NOT SAFE · 5 refused by a safety rule · 6 not known: look, change nothing else.",
            "**Who decides.** One person says the word, and is recorded with it. Write names and "
            "telephone numbers here, and who stands in for them.",
            _gaps(config),
        )
    )


def _site(site: Site) -> str:
    fence = {
        "policy": "fenced by a bucket policy",
        "command": "fenced by a program",
        "none": "CANNOT be fenced",
    }
    return f"{site.endpoint}, {fence[site.fence.by]}"


def _gaps(config: Config) -> str:
    """What this configuration lacks for the commands below."""
    found = []
    if not config.switch.drivers:
        found.append("No `[switch]`: clients cannot be moved, and the runbooks refuse to begin.")
    elif not any(isinstance(one, HaproxySwitch) for one in config.switch.drivers):
        found.append("No proxy can freeze writes: during a switchover the fence refuses them.")
    if config.switch.drivers and not config.switch.endpoint:
        found.append("`[switch] endpoint` is not set: the clients' own URL is not tried.")
    for site in (config.source, config.target):
        if "app" not in site.credentials:
            found.append(f"No keys of the app for {site.name}: the app's path is not tried there.")
        if site.fence.by == "none":
            found.append(f"{site.name} has no fence: somebody must keep its clients away by hand.")
    return "\n".join(["**What is missing here:**", "", *(f"- {one}" for one in found)]) * bool(
        found
    )
