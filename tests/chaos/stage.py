"""A lab, a pair on it, and its daemon: put up for one run, and taken down whatever happens."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farshore.lab.regions import Lab
from farshore.lab.seaweed import SiteFolder
from farshore.lab.settings import PERFECT
from farshore.lab.state import STATE_FOLDER
from tests.chaos import wire
from tests.chaos.daemon import Runner
from tests.chaos.diary import Diary
from tests.lab.daemon import configure
from tests.lab.farshore_cli import SITES, Farshore

BUCKET = "chaos"
SOURCE, TARGET = SITES
THREADS_MAX = 24
END_SECONDS_MAX = 90.0
"""Threads end soon after they are told; one that revives a site takes longest."""

TELL_S = 60.0
READY_SECONDS_MAX = 60.0
LOOK_S = 0.2


class NotReady(Exception):
    """The run could not begin, or broke off: it says nothing about farshore."""


class Sites:
    """Clients of the sites themselves, wherever they are now."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._found = {name: self._made(name) for name in SITES}

    def s3(self, site: str) -> Any:
        """The owner's client, no link in between."""
        return self._found[site]

    def revived(self, site: str) -> None:
        """It may have other ports than before."""
        self._found[site] = self._made(site)

    def _made(self, site: str) -> Any:
        state = self._lab.status().site(site)
        return wire.client(state.direct_endpoint, state.principals["owner"])


@dataclass(frozen=True, slots=True)
class Stage:
    """What is up. `over` ends all threads."""

    folder: Path
    lab: Lab
    sites: Sites
    farshore: Farshore
    runner: Runner
    diary: Diary
    over: threading.Event

    def heal(self) -> None:
        """Both sites up, both lines perfect, a daemon that runs."""
        for site in SITES:
            self.lab.link(site, PERFECT)
            self.lab.revive(site)
            self.sites.revived(site)
        if self.runner.process is None:
            self.runner.start()


Prepare = Callable[[Path, Lab], Farshore]
"""Puts the lab up and prepares a pair of it in that folder."""


def plain(**daemon: object) -> Prepare:
    """A pair of buckets with nothing before them. `daemon`: keys of farshore.toml."""

    def prepare(folder: Path, lab: Lab) -> Farshore:
        lab.up(granted=(BUCKET,))
        farshore = Farshore(folder, lab, BUCKET)
        configure(farshore, **daemon)  # type: ignore[arg-type]  # keys of the file, not its own
        farshore.make_buckets()
        farshore.json("apply", "--yes")
        return farshore

    return prepare


@contextmanager
def raised(folder: Path, diary: Diary, prepare: Prepare) -> Iterator[Stage]:
    """Two regions, a prepared pair, a daemon; all of it gone at the end."""
    lab = Lab(folder / "lab")
    pair = folder / "pair"
    for made in (lab.folder, pair):
        made.mkdir()
    runner = Runner(pair, diary)
    try:
        farshore = prepare(pair, lab)
        runner.start()
        yield Stage(folder, lab, Sites(lab), farshore, runner, diary, threading.Event())
    finally:
        with _deaf():
            runner.kill()
            _keep_logs(lab, folder)
            lab.down()


def _keep_logs(lab: Lab, folder: Path) -> None:
    """What the sites said, before the lab takes it away."""
    for site in SITES:
        said = SiteFolder(lab.folder / STATE_FOLDER / site).log
        if said.exists():
            shutil.copyfile(said, folder / f"{site}.log")


@contextmanager
def at_work(stage: Stage) -> Iterator[Callable[..., Future[None]]]:
    """Threads that work until the block ends. `spawn(function, *arguments)` begins one."""
    futures: list[Future[None]] = []
    with ThreadPoolExecutor(THREADS_MAX) as hands:

        def spawn(function: Callable[..., None], *given: object) -> Future[None]:
            futures.append(hands.submit(function, *given))
            return futures[-1]

        try:
            yield spawn
        finally:
            with _deaf():
                stage.over.set()
                wait(futures, END_SECONDS_MAX)
    for future in futures:
        future.result()


def until(futures: Sequence[Future[None]], seconds: float, tell: Callable[[], None]) -> None:
    """So long, or until one of them fails: then its error. Tells how it stands each minute."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        done, _ = wait(futures, min(left, TELL_S), FIRST_EXCEPTION)
        for future in done:
            future.result()
        if len(done) == len(futures):
            return
        tell()


def again_and_again(every_s: float, over: threading.Event, act: Callable[[], None]) -> None:
    """Until it is over."""
    while not over.wait(every_s):
        act()


def until_ready(runner: Runner) -> None:
    """Until the daemon knows how far it is. Raises `NotReady`."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        report = runner.report()
        if report is not None and report["watermark"] is not None:
            return
        time.sleep(LOOK_S)  # its report tells nobody when it changes
    raise NotReady(f"farshore run was not ready within {READY_SECONDS_MAX:g} s: see {runner.log}")


@contextmanager
def _deaf() -> Iterator[None]:
    """What is being taken down is taken down to its end: a second Ctrl-C does not stop it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
