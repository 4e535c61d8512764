"""What a lab knows of itself: the record on disk, and the view that callers get."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from farshore.config import FilerTls
from farshore.credentials import Credentials
from farshore.errors import LabError, UsageError
from farshore.lab.front_door import DoorFolder, DoorRecord, DoorState
from farshore.lab.ports import HOST
from farshore.lab.principals import write_secret
from farshore.lab.process import Process, is_running
from farshore.lab.seaweed import Certificates, SiteFolder, SitePorts
from farshore.lab.settings import LinkSettings

STATE_FOLDER = ".farshore-lab"
RECORD_FILE = "lab.json"


@dataclass(frozen=True, slots=True)
class SiteState:
    """One site as it is now.

    `endpoint`, `filer` and `filer_grpc` (host:port) lead through the link,
    `direct_endpoint` to SeaweedFS itself.
    `pid` is None while the site is dead. `link` is None when the link does not answer.
    """

    name: str
    endpoint: str
    direct_endpoint: str
    filer: str
    filer_grpc: str
    pid: int | None
    principals: dict[str, Credentials]
    link: LinkSettings | None = None

    def to_json(self) -> dict[str, Any]:
        """The form of `lab status --json`. It holds the secrets of this lab."""
        return {
            "name": self.name,
            "endpoint": self.endpoint,
            "direct_endpoint": self.direct_endpoint,
            "filer": self.filer,
            "filer_grpc": self.filer_grpc,
            "pid": self.pid,
            "principals": {
                name: {"access_key": keys.access_key, "secret_key": keys.secret_key}
                for name, keys in self.principals.items()
            },
            "link": self.link.to_json() if self.link else None,
        }


@dataclass(frozen=True, slots=True)
class LabState:
    """A lab as it is now. `folder` holds farshore.toml; `ca_file` and `filer_tls` (of every site)
    are None without TLS, `front_door` where there is none."""

    folder: Path
    sites: tuple[SiteState, ...]
    buckets: tuple[str, ...]
    ca_file: Path | None = None
    front_door: DoorState | None = None
    filer_tls: FilerTls | None = None

    def site(self, name: str) -> SiteState:
        """One site. Raises `UsageError` for a name that is not in this lab."""
        return _named(self.sites, name)

    def to_json(self) -> dict[str, Any]:
        return {
            "sites": [site.to_json() for site in self.sites],
            "buckets": list(self.buckets),
            "ca_file": str(self.ca_file) if self.ca_file else None,
            "front_door": self.front_door.to_json() if self.front_door else None,
            "filer_tls": tls_table(self.filer_tls) if self.filer_tls else None,
        }


def tls_table(tls: FilerTls) -> dict[str, str]:
    """A site's `filer_tls`, as in farshore.toml."""
    return {
        "ca_file": str(tls.ca_file),
        "cert_file": str(tls.cert_file),
        "key_file": str(tls.key_file),
    }


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """One site on disk. `doors` are the ports of its link, by name (`link.DOORS`)."""

    name: str
    ports: SitePorts
    doors: dict[str, int]
    process: Process | None

    @property
    def is_running(self) -> bool:
        return self.process is not None and is_running(self.process)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ports": self.ports._asdict(),
            "doors": self.doors,
            "process": self.process and self.process._asdict(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> SiteRecord:
        ports = SitePorts(**document["ports"])
        return cls(document["name"], ports, document["doors"], _process(document["process"]))


@dataclass(frozen=True, slots=True)
class LabRecord:
    """A lab on disk. `lab_id` marks its processes; `runtime` holds its sockets; in buckets that
    are `granted` principals have rights beside those in the lab's own."""

    lab_id: str
    runtime: Path
    tls: bool
    buckets: tuple[str, ...]
    link: Process | None
    sites: tuple[SiteRecord, ...]
    front_door: DoorRecord | None = None
    granted: tuple[str, ...] = ()

    @property
    def is_up(self) -> bool:
        """A lab is up while its link runs, even with every site dead."""
        return self.link is not None and is_running(self.link)

    def site(self, name: str) -> SiteRecord:
        return _named(self.sites, name)

    def to_json(self) -> dict[str, Any]:
        return {
            "lab_id": self.lab_id,
            "runtime": str(self.runtime),
            "tls": self.tls,
            "buckets": self.buckets,
            "link": self.link and self.link._asdict(),
            "sites": [site.to_json() for site in self.sites],
            "front_door": self.front_door and self.front_door.to_json(),
            "granted": self.granted,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> LabRecord:
        return cls(
            lab_id=document["lab_id"],
            runtime=Path(document["runtime"]),
            tls=document["tls"],
            buckets=tuple(document["buckets"]),
            link=_process(document["link"]),
            sites=tuple(SiteRecord.from_json(site) for site in document["sites"]),
            front_door=DoorRecord.from_json(document.get("front_door")),  # an older lab has none
            granted=tuple(document.get("granted", ())),
        )


def _process(document: dict[str, int] | None) -> Process | None:
    return Process(**document) if document else None


S = TypeVar("S", SiteState, SiteRecord)


def _named(sites: tuple[S, ...], name: str) -> S:
    for site in sites:
        if site.name == name:
            return site
    known = ", ".join(site.name for site in sites) or "none"
    raise UsageError(f"this lab has no site {name!r}", hint=f"its sites are: {known}")


def load(state_folder: Path) -> LabRecord | None:
    """The record in a state folder; None when there is no lab."""
    path = state_folder / RECORD_FILE
    try:
        return LabRecord.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabError(
            f"{path} cannot be read: {error.strerror}",
            hint="a lab belongs to the user who started it, and to its folder: name it with --dir",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{path} cannot be read as a lab's record: {type(error).__name__}",
            hint=f"look for processes of it with `ps`, then remove {state_folder}",
        ) from error


def save(state_folder: Path, record: LabRecord) -> None:
    """Write the record in one step."""
    write_secret(state_folder / RECORD_FILE, json.dumps(record.to_json(), indent=1) + "\n")


def view(
    folder: Path,
    record: LabRecord,
    links: dict[str, LinkSettings],
    certificates: Certificates | None,
) -> LabState:
    """The callers' view of a record."""
    door = record.front_door
    return LabState(
        folder=folder,
        sites=tuple(
            _site_view(folder, record, site, links.get(site.name)) for site in record.sites
        ),
        buckets=record.buckets,
        ca_file=certificates.ca if certificates else None,
        front_door=door and door_folder(folder, record).state(door, tls=record.tls),
        filer_tls=certificates.client if certificates else None,
    )


def door_folder(folder: Path, record: LabRecord) -> DoorFolder:
    """Where the front door of a lab keeps its files."""
    return DoorFolder(folder / STATE_FOLDER / "_front-door", record.runtime)


def _site_view(
    folder: Path, record: LabRecord, site: SiteRecord, link: LinkSettings | None
) -> SiteState:
    scheme = "https" if record.tls else "http"
    grpc_door = site.doors.get("filer_grpc")  # a lab of an older farshore has none
    return SiteState(
        name=site.name,
        endpoint=f"{scheme}://{HOST}:{site.doors['s3']}",
        direct_endpoint=f"{scheme}://{HOST}:{site.ports.entrance(tls=record.tls)}",
        filer=f"{scheme}://{HOST}:{site.doors['filer']}",
        filer_grpc=f"{HOST}:{grpc_door}" if grpc_door else "",
        pid=site.process.pid if site.process and site.is_running else None,
        principals=SiteFolder(folder / STATE_FOLDER / site.name).keys(),
        link=link,
    )
