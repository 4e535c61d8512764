"""A lab: real S3 regions on loopback, each behind a link that can be made bad.

    with Lab(folder) as lab:
        state = lab.up()
        lab.link("west", LinkSettings(latency_ms=40))
        lab.kill("east")

All methods block (`up` for some seconds): from asyncio call them in `asyncio.to_thread`.
A folder has one lab; labs in different folders know nothing of each other.
"""

from __future__ import annotations

import fcntl
import http
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from farshore.errors import LabError
from farshore.lab import front_door as door
from farshore.lab import pairfile, process, seaweed, shape, state
from farshore.lab.control import Control, start_link
from farshore.lab.link import UP
from farshore.lab.ports import all_free, held_ports
from farshore.lab.principals import OWNER
from farshore.lab.seaweed import Certificates, SiteFolder, SitePorts
from farshore.lab.settings import LinkSettings
from farshore.lab.state import STATE_FOLDER, LabRecord, LabState, SiteRecord
from farshore.switch.export_haproxy import BackSite

SITES = ("east", "west")
BUCKETS = ("files",)

START_SECONDS_MAX = 60.0
"""How long the sites may take to answer."""

START_TRIES_MAX = 3
"""Starts of one site; a port can be lost to somebody else between finding and using it."""

RUNTIME_ROOT_LENGTH_MAX = 60
"""A unix socket's path holds 108 bytes at most (unix(7)); ours add some 40."""

_POLL_SECONDS = 0.05
_CERTIFICATES = "_tls"
"""No site's name: those have no underscore."""


class Lab:
    """The lab of one folder. As a context manager it is taken down at the end."""

    def __init__(self, folder: Path | str = ".") -> None:
        self.folder = Path(folder).resolve()
        self._state_folder = self.folder / STATE_FOLDER

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def is_up(self) -> bool:
        """Whether a lab runs in this folder."""
        record = state.load(self._state_folder)
        return record is not None and record.is_up

    def up(
        self,
        sites: Sequence[str] | None = None,
        *,
        tls: bool | None = None,
        buckets: Sequence[str] | None = None,
        front_door: bool | None = None,
        granted: Sequence[str] = (),
    ) -> LabState:
        """Start the sites, make the buckets, write farshore.toml.

        None is the default: `SITES`, no TLS, `BUCKETS`, no front door. The principals have the
        rights that the pair needs in `BUCKETS`; operator and replicator in those that are
        `granted`, too: names, or patterns with one *. A lab that is up is
        left as it is; asking for one of another shape is a `LabError`. Data that
        `down(keep_data=True)` left are used again. After an error, nothing runs.
        """
        shape.check_names(sites or SITES, buckets or BUCKETS)
        if front_door:
            shape.check_front_door(sites or SITES)
        pairfile.refuse_foreign(self.folder)
        self._make_state_folder()
        with self._locked():
            found = state.load(self._state_folder)
            if found is not None and found.is_up:
                shape.check_same(found, sites, tls, buckets, front_door)
                return self.status()
            if found is not None:
                self._stop(found)
            record = _new_record(bool(tls), tuple(buckets or BUCKETS), tuple(granted))
            return self._start(record, tuple(sites or SITES), bool(front_door))

    def down(self, *, keep_data: bool = False) -> None:
        """End every process, and remove the lab's files; `keep_data` leaves the sites' data
        and keys for the next `up`. A lab that is not there is no error."""
        if not self._state_folder.exists():
            return
        with self._locked():
            record = state.load(self._state_folder)
            if record is not None:
                if all(site.doors for site in record.sites):
                    with suppress(LabError):  # without its keys, farshore.toml stays as it is
                        pairfile.remove(self._view(record))
                self._stop(record)
            if not keep_data:
                shutil.rmtree(self._state_folder)

    def _make_state_folder(self) -> None:
        try:
            self._state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LabError(
                f"{self._state_folder} cannot be made: {error.strerror}",
                hint="start the lab in a folder that you may write to, or name one with --dir",
            ) from error

    def status(self) -> LabState:
        """The lab as it is now. Raises `LabError` when there is none."""
        record = self._up_record()
        control = Control(record.runtime)
        return self._view(record, {site.name: control.get(site.name) for site in record.sites})

    def kill(self, name: str) -> None:
        """SIGKILL a site, as a power cut would. Its data stay. A dead one is no error."""
        with self._locked():
            record = self._up_record()
            site = record.site(name)
            if site.process is not None:
                process.kill(site.process)
            self._save_site(record, replace(site, process=None))
            Control(record.runtime).aim(name, None)

    def revive(self, name: str) -> None:
        """Start a dead site over its data, behind the same endpoint. A live one is no error."""
        with self._locked():
            record = self._up_record()
            site = record.site(name)
            if site.is_running:
                return
            if not all_free(site.ports):
                site = replace(site, ports=_free_ports())
            before = process.marked(record.lab_id)
            try:
                (revived,) = self._await_ready(record, [self._launch(record, site)])
            except BaseException:
                _end_others(record, before)
                raise
            self._save_site(record, revived)
            self._aim(record, revived)

    def link(self, name: str, settings: LinkSettings) -> None:
        """Replace the settings of a site's link; they hold from now on."""
        record = self._up_record()
        Control(record.runtime).set(record.site(name).name, settings)

    def link_settings(self, name: str) -> LinkSettings:
        """The settings of a site's link now."""
        record = self._up_record()
        return Control(record.runtime).get(record.site(name).name)

    # -- starting -----------------------------------------------------------------

    def _start(self, record: LabRecord, names: tuple[str, ...], with_door: bool) -> LabState:
        state.save(self._state_folder, record)
        lifeline_end, lifeline = os.pipe()
        try:
            if record.tls:
                self._make_certificates()
            record = self._start_processes(record, names, lifeline_end)
            record = self._start_front_door(record) if with_door else record
            pairfile.write(self._view(record))
            os.write(lifeline, UP)
        except BaseException:
            self._stop(state.load(self._state_folder) or record)
            raise
        finally:
            os.close(lifeline_end)
            os.close(lifeline)
        return self.status()

    def _start_processes(
        self, record: LabRecord, names: tuple[str, ...], lifeline_end: int
    ) -> LabRecord:
        seaweed.share_app_keys([self._site_folder(name) for name in names])
        control = Control(record.runtime)
        link = start_link(record.lab_id, record.runtime, self._link_log, lifeline_end)
        launched = [
            self._launch(record, SiteRecord(name, _free_ports(), {}, None)) for name in names
        ]
        control.wait(link)
        launched = [replace(site, doors=control.open(site.name)) for site in launched]
        record = replace(record, link=link, sites=tuple(launched))
        state.save(self._state_folder, record)
        record = replace(record, sites=tuple(self._await_ready(record, launched)))
        state.save(self._state_folder, record)
        for site in record.sites:
            self._aim(record, site)
            self._make_buckets(record, site)
        return record

    def _start_front_door(self, record: LabRecord) -> LabRecord:
        """HAProxy before the first two sites, which it reaches through their links."""
        folder = state.door_folder(self.folder, record)
        view = self._view(record)
        first, second = (BackSite(s.name, s.endpoint, view.ca_file) for s in view.sites[:2])
        with held_ports(1) as (port,):
            folder.prepare((first, second), port, self._certificates(record))
        started = door.start(folder, record.lab_id)
        record = replace(record, front_door=door.DoorRecord(port, started))
        state.save(self._state_folder, record)
        return record

    def _launch(self, record: LabRecord, site: SiteRecord) -> SiteRecord:
        """Start a site's process on its ports; it is not ready yet."""
        folder = self._site_folder(site.name)
        folder.prepare(record.buckets, record.granted)
        certificates = self._certificates(record)
        line = seaweed.command(folder, site.ports, record.runtime, certificates)
        environment = seaweed.environment(record.lab_id, folder, certificates)
        return replace(site, process=process.spawn(line, environment, folder.log))

    def _await_ready(self, record: LabRecord, sites: list[SiteRecord]) -> list[SiteRecord]:
        """Until every site answers. One that ends at once is started again, on other ports."""
        deadline = time.monotonic() + START_SECONDS_MAX
        tries = dict.fromkeys((site.name for site in sites), 1)
        ready: dict[str, SiteRecord] = {}
        waiting = {site.name: site for site in sites}
        while waiting:
            for site in list(waiting.values()):
                if self._is_ready(record, site):
                    ready[site.name] = waiting.pop(site.name)
                elif not site.is_running:
                    tries[site.name] += 1
                    self._check_may_wait(site, deadline, tries[site.name])
                    waiting[site.name] = self._launch(record, replace(site, ports=_free_ports()))
                else:
                    self._check_may_wait(site, deadline, tries[site.name])
            time.sleep(_POLL_SECONDS if waiting else 0)
        return [ready[site.name] for site in sites]

    def _check_may_wait(self, site: SiteRecord, deadline: float, tries: int) -> None:
        if tries > START_TRIES_MAX:
            why = f"ended by itself {START_TRIES_MAX} times"
        elif time.monotonic() > deadline:
            why = f"did not answer within {START_SECONDS_MAX:.0f} s"
        else:
            return
        words = seaweed.last_words(self._site_folder(site.name))
        raise LabError(f"site {site.name} did not start: SeaweedFS {why}", hint=words)

    def _is_ready(self, record: LabRecord, site: SiteRecord) -> bool:
        port = site.ports.entrance(tls=record.tls)
        return (
            seaweed.is_listening(port)
            and seaweed.can_store(site.ports, record.buckets[0])
            and self._ask(record, site, "GET", "") == http.HTTPStatus.OK
        )

    def _ask(self, record: LabRecord, site: SiteRecord, method: str, bucket: str) -> int:
        """A signed request of the owner's, straight to the site."""
        return seaweed.ask_s3(
            method,
            bucket,
            site.ports.entrance(tls=record.tls),
            self._site_folder(site.name).keys()[OWNER],
            self._certificates(record),
        )

    def _make_buckets(self, record: LabRecord, site: SiteRecord) -> None:
        for bucket in record.buckets:
            status = self._ask(record, site, "PUT", bucket)
            if status not in (http.HTTPStatus.OK, http.HTTPStatus.CONFLICT):  # 409: it is there
                raise LabError(f"site {site.name} did not make bucket {bucket}: HTTP {status}")

    def _aim(self, record: LabRecord, site: SiteRecord) -> None:
        """Point a site's link at its ports."""
        targets = {
            "s3": site.ports.entrance(tls=record.tls),
            "filer": site.ports.filer,
            "filer_grpc": site.ports.filer_grpc,
        }
        Control(record.runtime).aim(site.name, targets)

    # -- stopping -----------------------------------------------------------------

    def _stop(self, record: LabRecord) -> None:
        """End every process of the lab, recorded or not, and what they leave in /tmp."""
        if record.front_door is not None and record.front_door.process is not None:
            process.kill(record.front_door.process)
        for site in record.sites:
            if site.process is not None:
                process.kill(site.process)
        if record.link is not None:
            process.kill(record.link)
        process.sweep(record.lab_id)
        for site in record.sites:
            seaweed.remove_sockets(site.ports)
        shutil.rmtree(record.runtime, ignore_errors=True)
        (self._state_folder / state.RECORD_FILE).unlink(missing_ok=True)

    # -- the record and the folder ------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time changes a lab."""
        handle = os.open(self._state_folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise LabError(
                f"another command is changing the lab in {self.folder}",
                hint="wait until it has ended, then try again",
            ) from error
        finally:
            os.close(handle)

    def _up_record(self) -> LabRecord:
        record = state.load(self._state_folder)
        if record is None:
            raise LabError(
                f"there is no lab in {self.folder}", hint="start one with: farshore lab up"
            )
        if not record.is_up:
            raise LabError(
                f"the lab in {self.folder} is broken: its link process is gone",
                hint="end what is left with `farshore lab down`, then start it again",
            )
        return record

    def _save_site(self, record: LabRecord, changed: SiteRecord) -> None:
        sites = tuple(changed if site.name == changed.name else site for site in record.sites)
        state.save(self._state_folder, replace(record, sites=sites))

    def _view(self, record: LabRecord, links: dict[str, LinkSettings] | None = None) -> LabState:
        certificates = self._certificates(record)
        return state.view(self.folder, record, links or {}, certificates)

    def _site_folder(self, name: str) -> SiteFolder:
        return SiteFolder(self._state_folder / name)

    @property
    def _link_log(self) -> Path:
        return self._state_folder / "link.log"

    def _certificates(self, record: LabRecord) -> Certificates | None:
        return Certificates.of(self._state_folder / _CERTIFICATES) if record.tls else None

    def _make_certificates(self) -> None:
        try:
            from farshore.lab.tls import make_certificates  # an optional dependency
        except ImportError as error:
            raise LabError(
                "TLS needs the package cryptography, which is not installed",
                hint="install it with: pip install 'farshore[lab]'",
            ) from error
        make_certificates(Certificates.of(self._state_folder / _CERTIFICATES))


def _end_others(record: LabRecord, before: list[process.Process]) -> None:
    """End what was started since, and is in no record: a start that failed half-way."""
    for found in process.marked(record.lab_id):
        if found not in before:
            process.kill(found)


def _new_record(tls: bool, buckets: tuple[str, ...], granted: tuple[str, ...]) -> LabRecord:
    """A lab that has not been started. A missing program is told before anything is made."""
    seaweed.binary()
    return LabRecord(
        secrets.token_hex(16), _runtime_folder(), tls, buckets, None, (), granted=granted
    )


def _free_ports() -> SitePorts:
    with held_ports(len(SitePorts._fields)) as found:
        return SitePorts(*found)


def _runtime_folder() -> Path:
    """A private folder with a short path, for unix sockets."""
    root = tempfile.gettempdir()
    short = root if len(root) <= RUNTIME_ROOT_LENGTH_MAX else "/tmp"
    return Path(tempfile.mkdtemp(prefix="farshore-lab-", dir=short))
