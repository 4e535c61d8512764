"""Everything that is installed is pinned to one version and to the hashes of its files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements-audit.txt")
NAME = re.compile(r"[A-Za-z0-9._-]+")


def entries(name: str) -> list[str]:
    """One logical line for each requirement."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    return [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    loose = [
        line.split()[0]
        for line in entries(name)
        if not re.match(r"[A-Za-z0-9._-]+==[^\s;]+( ;.*?)?\s+--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert len(entries(name)) > 10
    assert loose == []


def test_whatever_the_project_names_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {plain(found[0]) for text in wanted if (found := NAME.match(text))}
    pinned = {plain(line.partition("==")[0]) for line in entries("requirements.txt")}
    assert names - pinned == set()
