"""The form of `[sites.NAME.filer_tls]`: how a filer is verified, and who we are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from farshore.config.fields import Form, RecordName
from farshore.config.values import FilerTls

File = Annotated[str, Field(min_length=1)]


class FilerTlsForm(Form):
    """TLS to the filer. Both sides are verified. The files are read for every connection."""

    ca_file: File = Field(
        description="Certificates (PEM) of the authorities that the filer's is verified by, beside "
        "the file; no others are trusted. In SeaweedFS' security.toml: `ca` of [grpc]."
    )
    cert_file: File = Field(
        description="Our certificate (PEM), good for clients (`clientAuth`), by an authority that "
        "SeaweedFS knows: it wants one from everybody."
    )
    key_file: File = Field(description="The key of `cert_file` (PEM), without a password.")
    server_name: RecordName | None = Field(
        None,
        description="The name that the filer's certificate is for, where it is not the host of "
        "the address: SeaweedFS itself checks no names, so it may be any.",
    )

    def values(self, folder: Path) -> FilerTls:
        """With absolute paths."""
        return FilerTls(
            folder / self.ca_file,
            folder / self.cert_file,
            folder / self.key_file,
            self.server_name or "",
        )
