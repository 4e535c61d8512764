"""TLS to a site's SeaweedFS filer: the files of one connection.

Both sides show a certificate (SeaweedFS asks every client for one), and the filer's is always
verified: authority, name and time. There is no way to leave that out.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from farshore.config import FilerTls
from farshore.errors import ConfigError, Denied

FILE_BYTES_MAX = 2**20
"""A file of certificates that is larger is something else."""

_MISMATCH = "KEY_VALUES_MISMATCH"


@dataclass(frozen=True, slots=True)
class Seal:
    """The files as they were read: for gRPC as bytes, for everybody else as a `context`."""

    authorities: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    server_name: str
    context: ssl.SSLContext


def read(tls: FilerTls, site: str) -> Seal:
    """The files as they are now. `ConfigError` for one that cannot be used: which, and why."""
    files = _Files(tls, site)
    authorities, certificate = files.content("ca_file"), files.content("cert_file")
    key = files.content("key_file")
    if b"PRIVATE KEY-----" not in key:
        raise files.wrong("key_file", "holds no private key in PEM")
    if b"ENCRYPTED" in key:
        raise files.wrong("key_file", "is locked by a password, and there is nobody to ask for it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    _trust(context, authorities, files)
    _sign(context, files)
    return Seal(authorities, certificate, key, tls.server_name, context)


def renewed(tls: FilerTls, site: str) -> Callable[[], ssl.SSLContext]:
    """A context of the files as they are whenever it is called; `Denied` for one that cannot be
    used: who runs goes on, and reads it again."""

    def context() -> ssl.SSLContext:
        try:
            return read(tls, site).context
        except ConfigError as error:
            raise Denied(error.message, hint=error.hint) from None

    return context


def _trust(context: ssl.SSLContext, authorities: bytes, files: _Files) -> None:
    try:
        # Outside of its blocks a PEM file may say anything, in any letters.
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise files.wrong("ca_file", "holds no certificate in PEM that can be read") from None


def _sign(context: ssl.SSLContext, files: _Files) -> None:
    cert_file, key_file = files.tls.cert_file, files.tls.key_file
    try:
        context.load_cert_chain(cert_file, key_file, password="")  # never asks at a screen
    except ssl.SSLError as error:
        if error.reason == _MISMATCH:
            raise files.wrong("key_file", "belongs to another certificate than cert_file") from None
        raise files.wrong("cert_file", "is, with key_file, no certificate and its key") from None
    except OSError as error:  # gone since it was read
        raise files.wrong("cert_file", f"cannot be read: {error.strerror}") from None


class _Files(NamedTuple):
    tls: FilerTls
    site: str

    def content(self, name: FileName) -> bytes:
        try:
            with self._path(name).open("rb") as opened:
                found = opened.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise self.wrong(name, f"cannot be read: {error.strerror}") from None
        if len(found) > FILE_BYTES_MAX:
            raise self.wrong(name, f"has more than {FILE_BYTES_MAX} bytes: no certificate, no key")
        return found

    def wrong(self, name: FileName, what: str) -> ConfigError:
        return ConfigError(
            f"TLS to the filer of {self.site}: {name} {self._path(name)} {what}.",
            hint=f"See to that file, or to [sites.{self.site}.filer_tls]. The files are read anew "
            "for every connection: a daemon that runs needs no restart.",
        )

    def _path(self, name: FileName) -> Path:
        return {
            "ca_file": self.tls.ca_file,
            "cert_file": self.tls.cert_file,
            "key_file": self.tls.key_file,
        }[name]


FileName = Literal["ca_file", "cert_file", "key_file"]
