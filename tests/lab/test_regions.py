"""A lab of two real regions: it comes up, dies, lives again, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.config.load import load
from farshore.credentials import Credentials
from farshore.errors import Denied, LabError, Refused, Unreachable, UsageError
from farshore.lab import process, state
from farshore.lab.link import DOORS
from farshore.lab.ports import HOST
from farshore.lab.process import Process
from farshore.lab.regions import Lab
from farshore.lab.seaweed import SiteFolder, SitePorts
from farshore.lab.settings import LinkSettings
from farshore.lab.state import STATE_FOLDER, LabRecord, SiteRecord, SiteState
from farshore.s3.client import S3Client

UP_SECONDS_MAX = 15.0
VERSIONS = 25


@asynccontextmanager
async def client(
    site: SiteState, principal: str = "app", *, ca_file: Path | None = None
) -> AsyncIterator[S3Client]:
    """S3 at a site, through its link."""
    made = S3Client(
        site.name,
        site.endpoint,
        site.principals[principal],
        ca_file=str(ca_file) if ca_file else None,
    )
    try:
        yield made
    finally:
        await made.aclose()


def _record(lab: Lab) -> LabRecord:
    found = state.load(lab.folder / STATE_FOLDER)
    assert found is not None
    return found


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_up_leaves_a_configuration_that_needs_no_edit(lab: Lab) -> None:
    config = load(lab.folder / "farshore.toml")
    found = lab.status()
    assert (config.pair.source, config.pair.target) == ("east", "west")
    assert [entry.source for entry in config.pair.buckets] == ["files"]
    assert [site.endpoint for site in config.sites.values()] == [s.endpoint for s in found.sites]
    assert [site.filer for site in config.sites.values()] == [s.filer for s in found.sites]
    assert [site.filer_grpc for site in config.sites.values()] == [
        s.filer_grpc for s in found.sites
    ]


def test_secrets_are_readable_by_their_owner_alone(lab: Lab) -> None:
    folder = lab.folder / STATE_FOLDER
    secret = [folder / "lab.json", *folder.glob("*/*.json")]
    assert len(secret) == 1 + 2 * 5
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}


def test_up_on_a_lab_that_is_up_changes_nothing(lab: Lab) -> None:
    before = lab.status()
    assert lab.up() == before
    with pytest.raises(LabError, match="another shape"):
        lab.up(("north", "south"))


async def test_the_bucket_is_there_and_unversioned_on_both_sites(lab: Lab) -> None:
    for site in lab.status().sites:
        async with client(site) as app:
            assert await app.list_buckets() == ["files"]
            assert await app.get_versioning("files") == ""


async def test_principals_have_their_rights_and_no_more(lab: Lab) -> None:
    east = lab.status().site("east")
    async with client(east, "owner") as owner:
        await owner.create_bucket("other")
        await owner.put("other", "k", b"somebody else's")
    async with client(east, "operator") as operator:
        await operator.create_bucket("t-made")
        with pytest.raises(Denied):
            await operator.create_bucket("mine")
        with pytest.raises(Denied):
            await operator.put_versioning("other", True)
        with pytest.raises(Denied):
            await operator.put_bucket_policy("other", "{}")
    async with client(east, "replicator") as replicator:
        await replicator.put("t-made", "k", b"replica")
        await replicator.put_tags("t-made", "k", "", (("a", "b"),))
        assert [v.key for v in (await replicator.list_versions("t-made")).entries] == ["k"]
        with pytest.raises(Denied):
            await replicator.create_bucket("t-mine")
        with pytest.raises(Denied):
            await replicator.head("other", "k")
        with pytest.raises(Denied):
            await replicator.put("other", "k", b"replica")
        with pytest.raises(Denied):
            await replicator.list_versions("other")
    async with client(east, "app") as app:
        await app.put("files", "k", b"1")
        with pytest.raises(Denied):
            await app.create_bucket("mine")
        with pytest.raises(Denied):
            await app.put("farshore-control", "k", b"1")
        with pytest.raises(Denied):
            await app.head("other", "k")
        with pytest.raises(Denied):
            await app.put("other", "k", b"1")


async def test_a_wrong_secret_is_refused(lab: Lab) -> None:
    east = lab.status().site("east")
    forged = Credentials(east.principals["app"].access_key, "not the secret")
    async with client(replace(east, principals={"app": forged})) as app:
        with pytest.raises(Denied):
            await app.list_buckets()


async def test_sites_do_not_know_each_other(lab: Lab) -> None:
    east, west = lab.status().sites
    async with client(replace(west, principals=east.principals), "operator") as stranger:
        with pytest.raises(Denied):
            await stranger.list_buckets()


def test_the_application_has_the_same_keys_at_every_site(lab: Lab) -> None:
    east, west = lab.status().sites
    assert east.principals["app"] == west.principals["app"]


async def test_acknowledged_versions_survive_a_kill(lab: Lab) -> None:
    before = lab.status().site("east")
    async with client(before, "owner") as operator:
        await operator.create_bucket("kept")
        await operator.put_versioning("kept", True)
        written = [
            (await operator.put("kept", "k", f"{n}".encode())).version_id for n in range(VERSIONS)
        ]
        lab.kill("east")
        assert lab.status().site("east").pid is None
        with pytest.raises(Unreachable):
            await operator.list_buckets()
        lab.revive("east")
        after = lab.status().site("east")
        assert after == replace(before, pid=after.pid)
        page = await operator.list_versions("kept")
        assert [entry.version_id for entry in page.entries] == written[::-1]
        async with operator.get("kept", "k", written[3]) as opened:
            assert await opened.read() == b"3"


def test_kill_and_revive_can_be_said_twice(lab: Lab) -> None:
    lab.kill("west")
    lab.kill("west")
    lab.revive("west")
    pid = lab.status().site("west").pid
    lab.revive("west")
    assert lab.status().site("west").pid == pid


def test_a_site_that_died_by_itself_is_seen_dead_and_can_be_revived(lab: Lab) -> None:
    west = _record(lab).site("west").process
    assert west is not None
    process.kill(west)
    assert lab.status().site("west").pid is None
    lab.revive("west")
    assert lab.status().site("west").pid is not None


async def test_a_port_that_was_lost_meanwhile_is_replaced_behind_the_same_endpoint(
    lab: Lab,
) -> None:
    before = lab.status().site("west")
    lab.kill("west")
    with socket.create_server((HOST, _record(lab).site("west").ports.s3)):
        lab.revive("west")
    after = lab.status().site("west")
    assert after.direct_endpoint != before.direct_endpoint
    assert after.endpoint == before.endpoint
    async with client(after) as app:
        assert await app.list_buckets() == ["files"]


def test_a_cut_hides_the_filer_too(lab: Lab) -> None:
    filer = lab.status().site("west").filer + "/buckets/"
    with urllib.request.urlopen(filer, timeout=10) as answer:
        assert answer.status == 200
    lab.link("west", LinkSettings(cut=True))
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(filer, timeout=0.3)


def test_an_unknown_site_is_told_with_those_that_exist(lab: Lab) -> None:
    with pytest.raises(UsageError, match="north") as caught:
        lab.kill("north")
    assert "east, west" in caught.value.hint


async def test_a_second_lab_with_tls_beside_the_first_keeps_its_data(
    lab: Lab, tmp_path: Path
) -> None:
    with Lab(tmp_path) as other:
        first = other.up(("north",), tls=True, buckets=("docs",))
        async with client(first.sites[0], ca_file=first.ca_file) as app:
            await app.put("docs", "k", b"still here")
        async with client(first.sites[0]) as untrusting:
            with pytest.raises(Unreachable):
                await untrusting.list_buckets()
        marked = process.marked(_record(other).lab_id)
        assert len(marked) == 2  # the site and the link
        other.down(keep_data=True)
        assert not any(process.is_running(found) for found in marked)
        assert len(lab.status().sites) == 2

        again = other.up(("north",), tls=True, buckets=("docs",))
        assert again.sites[0].principals == first.sites[0].principals
        async with client(again.sites[0], ca_file=again.ca_file) as app:
            async with app.get("docs", "k") as opened:
                assert await opened.read() == b"still here"
            await app.put("docs", "l", b"room for more")
        runtime = _record(other).runtime
        other.down()
        assert not runtime.exists()
        assert _names(tmp_path) == []
    with pytest.raises(LabError, match="no lab"):
        other.status()


def test_a_foreign_configuration_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "farshore.toml").write_text("# mine\n")
    with pytest.raises(Refused) as caught:
        Lab(tmp_path).up()
    assert "--dir" in caught.value.hint
    assert _names(tmp_path) == ["farshore.toml"]


@pytest.mark.parametrize("sites", [("East",), ("a/b",), ("",), ("east", "east"), ("_tls",)])
def test_bad_names_are_refused_before_anything_is_made(
    tmp_path: Path, sites: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError):
        Lab(tmp_path).up(sites)
    assert _names(tmp_path) == []


class RobbedLab(Lab):
    """Loses a port between finding it and using it."""

    robber: socket.socket | None = None

    def _launch(self, record: LabRecord, site: SiteRecord) -> SiteRecord:
        if self.robber is None:
            self.robber = socket.create_server((HOST, site.ports.s3))
        return super()._launch(record, site)


async def test_a_lost_race_for_a_port_is_run_again(tmp_path: Path) -> None:
    with RobbedLab(tmp_path) as lab:
        found = lab.up(("solo",))
        assert lab.robber is not None
        stolen = lab.robber.getsockname()[1]
        lab.robber.close()
        assert stolen not in _record(lab).site("solo").ports
        async with client(found.site("solo")) as app:
            assert await app.list_buckets() == ["files"]


class FailingLab(Lab):
    """Breaks when the processes run and the lab is not yet up."""

    marked: list[Process]

    def _make_buckets(self, record: LabRecord, site: SiteRecord) -> None:
        self.marked = process.marked(record.lab_id)
        raise LabError("broken on purpose")


def test_a_start_that_fails_leaves_nothing_running(tmp_path: Path) -> None:
    lab = FailingLab(tmp_path)
    with pytest.raises(LabError, match="on purpose"):
        lab.up(("solo",))
    assert len(lab.marked) == 2
    assert not any(process.is_running(found) for found in lab.marked)
    assert not lab.is_up()


DYING = """
import os, signal, sys
from farshore.lab import process
from farshore.lab.regions import Lab

class DyingLab(Lab):
    def _await_ready(self, record, sites):
        print(*(found.pid for found in process.marked(record.lab_id)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

DyingLab(sys.argv[1]).up(("solo",))
"""


def test_a_start_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    died = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path)], stdout=subprocess.PIPE, timeout=60
    )
    assert died.returncode == -signal.SIGKILL
    pids = [int(word) for word in died.stdout.split()]
    assert len(pids) == 2
    for pid in pids:
        _await_end(pid)
    assert not Lab(tmp_path).is_up()
    Lab(tmp_path).down()
    assert _names(tmp_path) == []


def _await_end(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert process.wait_gone(handle)
    finally:
        os.close(handle)


def test_a_recycled_pid_is_never_killed() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        known = process.identify(bystander.pid)
        former = Process(known.pid, known.started - 1)  # the pid's owner before this one
        process.kill(former)
        assert bystander.poll() is None
        assert process.is_running(known)
        assert not process.is_running(former)
    finally:
        bystander.communicate(b"\n", timeout=30)
    assert not process.is_running(known)


def test_a_folder_that_cannot_be_used_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lab = Lab(tmp_path / "file")
    with pytest.raises(LabError, match="cannot be made: Not a directory"):
        lab.up()
    with pytest.raises(LabError, match="cannot be read: Not a directory"):
        lab.status()


def test_a_lab_whose_keys_are_gone_can_be_taken_down(tmp_path: Path) -> None:
    """As one that an older farshore began, with fewer principals."""
    lab = Lab(tmp_path)
    ports = SitePorts(*range(1, len(SitePorts._fields) + 1))
    doors = dict.fromkeys(DOORS, 1)
    site = SiteRecord("east", ports, doors, None)
    record = LabRecord("0" * 32, tmp_path / "run", False, ("files",), None, (site,))
    folder = tmp_path / STATE_FOLDER
    folder.mkdir()
    state.save(folder, record)
    with pytest.raises(LabError, match="was begun by another farshore"):
        SiteFolder(folder / "east").keys()
    lab.down()
    assert not folder.exists()
