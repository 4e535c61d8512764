"""The switch contract on a file of applications, in both of its forms."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from farshore.config.switches import FileSwitch
from farshore.core import whereabouts
from farshore.switch.driver import SwitchError, SwitchUnknown
from farshore.switch.epochs import note_epoch
from farshore.switch.file import FileDriver

from .switch_suite import EAST, WEST, SwitchSuite, applied

VALUES = {EAST: "https://s3.east.example.net", WEST: "http://10.0.0.2:8333"}
STRANGE = "https://s3.elsewhere.example.org"

APPLY = """
import asyncio, sys
from pathlib import Path
from farshore.config.switches import FileSwitch
from farshore.switch.file import FileDriver

async def main():
    values = {"east": sys.argv[2], "west": sys.argv[3]}
    driver = FileDriver(FileSwitch("file", Path(sys.argv[1]), "json", values))
    await driver.apply(await driver.plan("west"))

asyncio.run(main())
"""


class FileBench:
    """One file with more in it than our entry."""

    secrets = ("hunter2",)

    def __init__(self, path: Path, form: Literal["json", "env"]) -> None:
        self.path = path
        self.form = form
        self._aside = path.with_name("aside")

    def driver(self, **options: float) -> FileDriver:
        return FileDriver(FileSwitch("file", self.path, self.form, VALUES), **options)

    def text(self, value: str, site: str) -> str:
        if self.form == "json":
            document: dict[str, object] = {
                "password": "hunter2",
                "endpoint_url": value,
                "site": site,
                "n": 1,
            }
            document["sites"] = VALUES
            return json.dumps(document, indent=2) + "\n"
        lines = ["# ours", "PASSWORD=hunter2", f"AWS_ENDPOINT_URL_S3={value}", "OTHER=1"]
        return "\n".join([*lines, f"FARSHORE_SITE={site}\n"])

    async def put(self, site: str) -> None:
        self.path.write_text(self.text(VALUES[site], site))

    async def put_strange(self) -> None:
        self.path.write_text(self.text(STRANGE, "elsewhere"))

    async def truth(self) -> str:
        text = self.path.read_text()
        return next((s for s, v in VALUES.items() if text == self.text(v, s)), "")

    async def cut(self) -> None:
        self.path.rename(self._aside)
        self.path.mkdir()

    async def heal(self) -> None:
        if self._aside.exists():
            self.path.rmdir()
            self._aside.rename(self.path)


class TestJson(SwitchSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path) -> FileBench:
        made = FileBench(tmp_path / "endpoint.json", "json")
        await made.put(EAST)
        return made


class TestEnv(SwitchSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path) -> FileBench:
        made = FileBench(tmp_path / "app.env", "env")
        await made.put(EAST)
        return made


@pytest.fixture
async def bench(tmp_path: Path) -> FileBench:
    made = FileBench(tmp_path / "endpoint.json", "json")
    await made.put(EAST)
    return made


@pytest.mark.parametrize("form", ["json", "env"])
async def test_a_file_that_is_not_there_is_made(
    tmp_path: Path, form: Literal["json", "env"]
) -> None:
    """Made so that an application of ours reads it."""
    path = tmp_path / "new"
    driver = FileBench(path, form).driver()
    plan = await driver.plan(WEST)
    assert plan.expect == ((f"file {path}", ""),)
    await driver.apply(plan)
    found = whereabouts.read(path.read_bytes())
    assert (found.site, found.endpoint) == (WEST, VALUES[WEST])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


async def test_the_epoch_is_noted_beside_the_site_that_it_belongs_to(bench: FileBench) -> None:
    driver = bench.driver()
    await driver.apply(await driver.plan(WEST))
    assert whereabouts.read(bench.path.read_bytes()).epoch == 0, "not known yet"
    assert await note_epoch([driver], WEST, 6) == ()
    assert whereabouts.read(bench.path.read_bytes()).epoch == 6
    assert await note_epoch([driver], EAST, 8) == ()
    found = whereabouts.read(bench.path.read_bytes())
    assert (found.site, found.epoch) == (WEST, 6), "it shows another site than that epoch's"
    await bench.cut()
    (trouble,) = await note_epoch([driver], WEST, 8)
    assert trouble.startswith("epoch 8 was not written: ")


async def test_mode_and_link_stay(bench: FileBench, tmp_path: Path) -> None:
    bench.path.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(bench.path.name)
    driver = FileBench(link, "json").driver()
    await driver.apply(await driver.plan(WEST))
    assert link.is_symlink()
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o640
    assert await bench.truth() == WEST
    assert sorted(os.listdir(tmp_path)) == ["endpoint.json", "link.json"]


async def test_a_process_killed_before_the_rename_leaves_the_old_file(bench: FileBench) -> None:
    program = [sys.executable, "-c", APPLY, str(bench.path), VALUES[EAST], VALUES[WEST]]
    environment = {**os.environ, "FARSHORE_DIE_AT": "file.written"}
    killed = await asyncio.create_subprocess_exec(*program, env=environment)
    assert await killed.wait() == -signal.SIGKILL
    assert await bench.truth() == EAST
    assert (bench.path.parent / ".endpoint.json.farshore").exists()
    driver = bench.driver()
    await driver.apply(await driver.plan(WEST))
    assert await bench.truth() == WEST
    assert os.listdir(bench.path.parent) == ["endpoint.json"]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond one byte: the write fails, as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_full_disk_leaves_the_old_file(bench: FileBench) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    with full_disk(), pytest.raises(SwitchError, match="cannot be written") as caught:
        await driver.apply(plan)
    assert not isinstance(caught.value, SwitchUnknown)
    assert "space" in caught.value.hint
    assert await bench.truth() == EAST
    assert os.listdir(bench.path.parent) == ["endpoint.json"]


async def test_a_folder_that_takes_no_files_is_told() -> None:
    driver = FileBench(Path("/proc/endpoint.json"), "json").driver()
    with pytest.raises(SwitchError, match="cannot be written"):
        await driver.apply(await driver.plan(WEST))


async def test_a_folder_that_is_not_there_is_told_by_the_plan(tmp_path: Path) -> None:
    driver = FileBench(tmp_path / "nowhere" / "endpoint.json", "json").driver()
    with pytest.raises(SwitchError, match="folder is not there"):
        await driver.plan(WEST)


async def test_a_writer_that_does_not_end_is_not_waited_for(bench: FileBench) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    holder = os.open(bench.path.parent, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(SwitchError, match="another process"):
            await driver.apply(plan)
    finally:
        os.close(holder)
    await driver.apply(plan)
    assert await bench.truth() == WEST


async def test_a_file_system_that_does_not_answer_is_unknown(bench: FileBench) -> None:
    """As seen from here: the lock stands for a write that hangs."""
    driver = bench.driver(call_s_max=0.2)
    plan = await driver.plan(WEST)
    holder = os.open(bench.path.parent, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(SwitchUnknown, match=r"not written within 0\.2 s"):
            await driver.apply(plan)
    finally:
        os.close(holder)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[1]", "not a JSON object"),
        (b"{", "not JSON"),
        (b'{"endpoint_url": 7}', "is not text"),
        (b"\xff\xfe", "not UTF-8"),
        (b" " * (64 * 1024 + 1), "larger than"),
    ],
)
async def test_what_cannot_be_read_is_told_and_never_overwritten(
    bench: FileBench, data: bytes, words: str
) -> None:
    driver = bench.driver()
    plan = await driver.plan(WEST)
    bench.path.write_bytes(data)
    (reading,) = (await driver.current()).readings
    assert words in reading.error
    assert await applied(driver, plan) == "error"
    assert bench.path.read_bytes() == data


async def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (reading,) = (await FileBench(tmp_path / "pipe", "env").driver().current()).readings
    assert reading.error == "it is no file"


async def test_a_site_that_contradicts_its_url_is_no_site(bench: FileBench) -> None:
    bench.path.write_text(bench.text(VALUES[EAST], WEST))
    (reading,) = (await bench.driver().current()).readings
    assert reading.site == ""
    assert reading.raw == f"{VALUES[EAST]} as west"
