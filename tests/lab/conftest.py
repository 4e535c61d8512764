"""One lab of two regions for all tests of this folder; each test gets it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farshore.lab.regions import Lab
from farshore.lab.settings import PERFECT


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.up()
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The shared lab; afterwards its links are perfect and its sites alive again."""
    yield shared_lab
    for site in shared_lab.status().sites:
        shared_lab.link(site.name, PERFECT)
        shared_lab.revive(site.name)
