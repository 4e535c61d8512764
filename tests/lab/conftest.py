"""One lab of two regions for all tests of this folder; each test gets it whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.lab.front_door import VARIABLE
from farshore.lab.regions import Lab
from farshore.lab.settings import PERFECT
from tests.debian import server
from tests.lab import probed
from tests.lab.farshore_cli import Farshore
from tests.lab.runbook_ground import BUCKETS, COMMON, Pair, calm, raise_lab, seed

GRANTED = ("prepared", "nowhere", "t-*", "u-*", "far-t-*")
"""Names of the tests' own buckets, control buckets among them: there operator and replicator
have the rights that are exported for a pair, and no others anywhere."""


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.up(granted=GRANTED)
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The shared lab; afterwards its links are perfect and its sites alive again."""
    yield shared_lab
    for site in shared_lab.status().sites:
        shared_lab.link(site.name, PERFECT)
        shared_lab.revive(site.name)


@pytest.fixture(scope="session")
def prepared_lab(shared_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The shared lab, its servers probed: `farshore apply`, for all tests."""
    first = Farshore(tmp_path_factory.mktemp("apply"), shared_lab, "prepared")
    first.configure()
    first.make_buckets()
    probed.apply(first, tmp_path_factory)
    return shared_lab


@pytest.fixture
def farshore(lab: Lab, prepared_lab: Lab, tmp_path: Path) -> Farshore:
    """The command line in an empty folder, over a versioned pair of buckets of its own."""
    made = Farshore(tmp_path, lab, f"t-{secrets.token_hex(6)}")
    made.configure()
    made.make_buckets()
    made.forget_standing()
    return made


@pytest.fixture(scope="session")
def fronted_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two regions behind HAProxy, their servers probed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, server("haproxy"))
        with raise_lab(tmp_path_factory.mktemp("fronted")) as lab:
            probed.apply(Pair(tmp_path_factory.mktemp("apply"), lab, COMMON), tmp_path_factory)
            yield lab


_buckets = iter(BUCKETS)


@pytest.fixture
def front(fronted_lab: Lab) -> Lab:
    """The lab behind HAProxy as every test may expect it, whatever the one before has left: both
    sites up and found up, their links perfect, clients at east."""
    calm(fronted_lab)
    return fronted_lab


@pytest.fixture
def pair(front: Lab, tmp_path: Path) -> Pair:
    """A pair of its own behind the front door."""
    bucket = next(_buckets)
    seed(front, bucket)
    return Pair(tmp_path, front, bucket)


@pytest.fixture(scope="module")
def killing_ground(fronted_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """One bucket for many pairs, one after the other."""
    bucket = next(_buckets)
    calm(fronted_lab)
    seed(fronted_lab, bucket)
    return Pair(tmp_path_factory.mktemp("kills"), fronted_lab, bucket)


@pytest.fixture
def kills(killing_ground: Pair, tmp_path: Path) -> Pair:
    """A new pair in the same bucket, both sites up."""
    ground = killing_ground
    calm(ground.lab, ground.bucket)
    return Pair(tmp_path, ground.lab, ground.bucket)


@pytest.fixture
def bereft(killing_ground: Pair, tmp_path: Path) -> Pair:
    """The same with east dead; it stays dead for the next one."""
    ground = killing_ground
    if ground.lab.status().site("east").pid is not None:
        calm(ground.lab, ground.bucket)
        ground.lab.kill("east")
    calm(ground.lab, ground.bucket, sites=("west",))
    return Pair(tmp_path, ground.lab, ground.bucket)
