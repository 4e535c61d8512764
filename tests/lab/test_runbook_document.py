"""`farshore runbook`: every command of the document is executed, in its order, on a lab."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from typing import NamedTuple

import pytest

from tests.lab.daemon import Daemon, eventually
from tests.lab.runbook_ground import Pair

AGAIN_MAX = 40
"""How often a command is called again while the document says so."""

BLOCK = re.compile(r"^```sh\n(?P<line>.*?)\n```\n\n- \*\*(?P<right>.*?)\*\*: ", re.M | re.S)
CODES = re.compile(r"Exit code (\d+(?: or \d+)*)")
AGAIN = re.compile(r"- \*\*While (\d+)\*\*")

HOT = "seed/"


class Call(NamedTuple):
    """One command as the document shows it. `exits`: empty where it goes on running."""

    words: tuple[str, ...]
    exits: frozenset[int]
    again: int | None


def calls(text: str) -> list[Call]:
    """The commands of one chapter."""
    found = list(BLOCK.finditer(text))
    ends = [block.start() for block in found[1:]] + [len(text)]
    return [
        call(block["line"], block["right"], text[block.end() : end])
        for block, end in zip(found, ends, strict=True)
    ]


def call(line: str, right: str, rest: str) -> Call:
    program, *words = shlex.split(line)
    assert program == "farshore"
    codes = CODES.fullmatch(right)
    exits = frozenset(int(code) for code in codes[1].split(" or ")) if codes else frozenset()
    assert exits or right == "Goes on running", right
    again = AGAIN.search(rest)
    return Call(tuple(words), exits, int(again[1]) if again else None)


class Reader:
    """A person who does what the document says, chapter by chapter, and counts."""

    def __init__(self, pair: Pair, text: str, stack: ExitStack) -> None:
        self._pair = pair
        self._stack = stack
        parts = text.split("\n## ")[1:]
        self.chapters = {part.partition("\n")[0]: calls(part) for part in parts}
        self.done: set[str] = set()

    def read(self, beginning: str) -> None:
        (title,) = [title for title in self.chapters if title.startswith(beginning)]
        for one in self.chapters[title]:
            self._do(one)
        self.done.add(title)

    def _do(self, one: Call) -> None:
        if not one.exits:
            self._stack.enter_context(Daemon(self._pair)).until_ready()
            return
        for _ in range(AGAIN_MAX):
            ended = self._pair.run(*one.words)
            if ended.code != one.again:
                break
        assert ended.code in one.exits, (one.words, ended)


@pytest.fixture
def reader(pair: Pair) -> Iterator[Reader]:
    ended = pair.run("runbook", "--out", "runbook.md", "--hot", HOT)
    assert ended.code == 0, ended
    with ExitStack() as stack:
        yield Reader(pair, (pair.folder / "runbook.md").read_text(), stack)


def fence_stands(pair: Pair) -> bool:
    """By what is recorded: a write that is tried too early would be divergent."""
    recorded = pair.json("fence", "east", "--show")["recorded"]
    return recorded is not None and recorded["state"] == "standing"


@pytest.mark.timeout(400)  # some fifty commands, two waits for a scan, a dead region
def test_every_command_ends_as_the_document_says(pair: Pair, reader: Reader) -> None:
    reader.read("Before the storm")
    reader.read("When east wobbles")
    if any(title.startswith("Take a switchover back") for title in reader.chapters):
        reader.read("Switchover")
        reader.read("Take a switchover back")
    reader.read("Switchover")
    assert pair.active == "west"
    reader.read("Stabilise")
    reader.read("Failback")
    assert pair.active == "east"

    pair.lab.kill("east")
    reader.read("Failover")
    assert pair.active == "west"
    reader.read("Stabilise")  # with east still dead
    pair.lab.revive("east")
    eventually(lambda: fence_stands(pair), 60, "east is fenced when it is back")
    reader.read("Failback")
    assert pair.active == "east"
    assert pair.may_write("east")
    assert not pair.may_write("west")
    reader.read("Afterwards")
    assert reader.done == reader.chapters.keys()


def test_the_document_names_this_pair_and_nothing_is_left_to_fill_in(
    pair: Pair, reader: Reader
) -> None:
    text = (pair.folder / "runbook.md").read_text()
    for name in (pair.name, pair.bucket, pair.door, "farshore sync seed/"):
        assert name in text
    shown = [one for chapter in reader.chapters.values() for one in chapter]
    assert len(shown) > 30
    assert all("RUN" not in one.words and "PREFIX" not in one.words for one in shown)


@pytest.mark.parametrize(("code", "taken"), [("0", True), ("4", False), ("1 or 0", True)])
def test_another_exit_code_than_the_documents_is_noticed(
    pair: Pair, code: str, taken: bool
) -> None:
    chapter = f"\n## One\n```sh\nfarshore config check\n```\n\n- **Exit code {code}**: right"
    seen = nullcontext() if taken else pytest.raises(AssertionError, match="config")
    with ExitStack() as stack, seen:
        Reader(pair, chapter, stack).read("One")
