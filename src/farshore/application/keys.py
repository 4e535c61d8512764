"""An application's keys, one pair for each site: the active site's sign the next request."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple

from botocore.credentials import Credentials, ReadOnlyCredentials

from farshore.application.endpoint import EndpointFile
from farshore.errors import ConfigError


class Keys(NamedTuple):
    """An application's keys at one site."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"Keys({self.access_key_id!r}, …)"


class SiteKeys(Credentials):  # type: ignore[misc]  # botocore has no types
    """What botocore asks for keys at each signature: those of the site that is active.

    It is botocore's resolver of credentials and the credentials in one.
    """

    def __init__(self, file: EndpointFile, keys: Mapping[str, Keys]) -> None:
        self._file = file
        self._keys = keys
        self._aimed = threading.local()
        now = self.get_frozen_credentials()
        super().__init__(now.access_key, now.secret_key, now.token, method="farshore")

    def load_credentials(self) -> SiteKeys:
        """As botocore's resolver."""
        return self

    def aim(self, site: str) -> None:
        """The request that this thread signs next goes to that site: a flip between the URL and
        the signature must not mix the two."""
        self._aimed.site = site

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """`ConfigError` when the site has no keys."""
        site = getattr(self._aimed, "site", "") or self._file.now().site
        if site not in self._keys:
            raise ConfigError(
                f"There are no keys for the site {site}, which is active now.",
                hint=f"Pass keys for every site; given: {', '.join(sorted(self._keys)) or 'none'}.",
            )
        found = self._keys[site]
        return ReadOnlyCredentials(
            found.access_key_id, found.secret_access_key, found.session_token or None
        )
