"""The pages for people: what they name exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farshore.cli.console import EXIT_CODES
from farshore.cli.reference import commands

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "farshore"
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
)
COMMANDS: dict[str, Any] = dict(commands())

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LAYER_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE)
EXIT_ROW = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)
CALL = re.compile(r"(?<![\w./-])farshore (?=[a-z-])[^\n)`#|]*")
FILE = re.compile(r"(?<![\w./-])[\w./-]+\.py\b")
MACHINE = re.compile(r"/(?:work|home|root|tmp|Users|mnt)/|[A-Z]:\\")
REGISTRY = re.compile(r"pyp[i]\.|pythonh[o]sted|npmj[s]|index-url|proxy\.gol[a]ng", re.IGNORECASE)


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    return FENCE.sub("", text(page))


def shell_lines(page: str) -> Iterator[str]:
    for language, block in FENCE.findall(text(page)):
        if language == "sh":
            yield from block.replace("\\\n", " ").splitlines()


# -- commands --------------------------------------------------------------------


def refusal(words: list[str], *, whole: bool) -> str:
    """Why the command line would not take these words; "" when it would.

    `whole`: arguments that must be given are missed when they are not.
    """
    name = "farshore"
    while words and f"{name} {words[0]}" in COMMANDS:
        name, words = f"{name} {words[0]}", words[1:]
        if words and words[0].startswith("-"):
            break
    command = COMMANDS[name]
    if name == "farshore" and words[:1] == ["--config"]:
        return refusal(words[2:], whole=whole)
    given = 0
    waiting = iter(words)
    for word in waiting:
        if not word.startswith("--"):
            given += 1
            continue
        option, _, value = word.partition("=")
        found = next((p for p in command.params if option in (*p.opts, *p.secondary_opts)), None)
        if found is None and option != "--help":
            return f"{name} has no option {option}"
        if found is not None and not found.is_flag and not value and next(waiting, None) is None:
            return f"{name} {option} wants a value"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    if given > len(arguments):
        return f"{name} takes {len(arguments)} arguments, not {given}"
    if whole and given < sum(p.required for p in arguments):
        return f"{name} wants more arguments"
    only_a_group = hasattr(command, "commands") and not command.invoke_without_command
    return f"{name} is no command to run" if whole and only_a_group else ""


def calls(page: str) -> Iterator[tuple[list[str], bool]]:
    """(words behind `farshore`, whether it is shown to be typed) of every call on a page."""
    for line in shell_lines(page):
        for found in CALL.findall(line):
            yield shlex.split(found)[1:], True
    for code in CODE.findall(prose(page)):
        if CALL.fullmatch(code):
            yield [word for word in shlex.split(code)[1:] if word != "…"], False


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_shown_exists_with_its_options(page: str) -> None:
    assert [why for words, whole in calls(page) if (why := refusal(words, whole=whole))] == []


def test_the_readme_shows_the_main_commands() -> None:
    shown = {" ".join(words[:1]) for words, whole in calls("README.md") if whole}
    assert shown >= {"lab", "apply", "backfill", "verify", "repair", "presign", "config"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("farshore backfil", "takes 0 arguments"),
        ("farshore backfill --deep", "no option --deep"),
        ("farshore probe", "wants more arguments"),
        ("farshore presign get a b", "takes 2 arguments"),
        ("farshore lab link west --latency", "wants a value"),
        ("farshore lab", "no command to run"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str, why: str) -> None:
    assert why in refusal(line.split()[1:], whole=True)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_is_shown_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    shown = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join([*shell_lines(page)])))
    assert shown
    assert shown <= targets


def test_the_readme_has_every_exit_code() -> None:
    rows = {int(code): meaning for code, meaning in EXIT_ROW.findall(text("README.md"))}
    assert rows == EXIT_CODES


# -- links and names -------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_resolves(page: str) -> None:
    links = [link for link in LINK.findall(prose(page)) if "://" not in link]
    folder = (ROOT / page).parent
    assert [link for link in links if not (folder / link.partition("#")[0]).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = {"README.md"}, ["README.md"]
    while waiting:
        page = waiting.pop()
        for link in LINK.findall(prose(page)):
            found = (ROOT / page).parent / link.partition("#")[0]
            if "://" in link or found.suffix != ".md":
                continue
            name = found.resolve().relative_to(ROOT).as_posix()
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    assert reached == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_source_file_that_is_named_exists(page: str) -> None:
    named = FILE.findall(text(page))
    assert [n for n in named if not ((ROOT / n).exists() or (SOURCE / n).exists())] == []


def test_every_test_that_is_named_exists() -> None:
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    defined = set(re.findall(r"def (test_\w+)", written))
    named = {c for page in PAGES for c in CODE.findall(text(page)) if re.fullmatch(r"test_\w+", c)}
    assert len(named) > 20
    assert named - defined == set()


@pytest.mark.parametrize("page", [*PAGES, "Makefile", "requirements.txt"])
def test_no_page_names_a_machine_s_path_or_a_registry(page: str) -> None:
    assert MACHINE.findall(text(page)) == []
    assert REGISTRY.findall(text(page).replace("--no-emit-index-url", "")) == []


# -- layers ----------------------------------------------------------------------


def layers_on_the_page() -> list[list[str]]:
    table = text("docs/architecture.md").partition("## Layers")[2].partition("\n## ")[0]
    return [re.findall(r"`(\w+)`", row) for row in LAYER_ROW.findall(table)]


def test_the_layer_table_is_the_rule_that_is_checked() -> None:
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (rule,) = [c["layers"] for c in contracts if c["type"] == "layers"]
    ruled = [[name.strip().removeprefix("farshore.") for name in row.split("|")] for row in rule]
    assert layers_on_the_page() == ruled, "change the table of docs/architecture.md, too"


def test_every_layer_is_a_folder_and_every_folder_a_layer_or_named_beside() -> None:
    layers = {name for row in layers_on_the_page() for name in row}
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert layers <= folders
    page = text("docs/architecture.md")
    unknown = [name for name in folders - layers if f"`{name}/`" not in page]
    assert unknown == [], "give it a layer in pyproject.toml and a row in docs/architecture.md"


def test_every_decision_is_listed() -> None:
    records = {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}
    assert len(records) > 10
    assert set(LINK.findall(text("docs/decisions/README.md"))) == records
    for name in records:
        record = text(f"docs/decisions/{name}")
        for part in ("**Context.**", "**Decision", "**Consequence.**"):
            assert part in record, f"{name} has no {part}"
