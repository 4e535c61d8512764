"""Servers of Debian's that tests run: `make` links or unpacks them into build/servers/bin."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "build" / "servers" / "bin"


def server(name: str) -> str:
    """The program's path. Missing, the test fails: a skipped test proves nothing."""
    found = shutil.which(name, path=f"{FOLDER}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.fail(
            f"{name} is missing: `make test` gets it, or bash tests/servers.sh build/servers"
        )
    return found
