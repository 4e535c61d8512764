"""Signing with keys that may be renewed: what signs now, and what a refusal says of the keys."""

from __future__ import annotations

from farshore.credentials import Credentials
from farshore.errors import KeysEnded, StoreError
from farshore.keyring import ENDED, Keyring
from farshore.s3.sigv4 import Signer


class Signing:
    """The signer of one principal at one site, made anew when its keys are."""

    def __init__(self, keys: Credentials | Keyring, region: str) -> None:
        self._ring = keys if isinstance(keys, Keyring) else Keyring.fixed(keys)
        self._region = region
        self.latest = Signer(self._ring.keys, region)

    async def signer(self, now: float) -> Signer:
        """What signs at `now`. `Denied` when the keys have ended and no others can be had."""
        if now >= self._ring.good_until:
            await self._ring.current()
        if self.latest.credentials is not self._ring.keys:
            self.latest = Signer(self._ring.keys, self._region)
        return self.latest

    async def require_lasting(self, error: StoreError, method: str, used: Signer) -> None:
        """`KeysEnded` when a request was refused because its keys had ended, and others are there.

        A refused HEAD has no body, and so no code.
        """
        untold = method == "HEAD" and error.status == 400 and not error.code
        if not (error.code in ENDED or (untold and self._ring.is_temporary)):
            return
        if await self._ring.replace(used.credentials):
            raise KeysEnded(
                f"{error.message}; newer keys have been read",
                hint="Run the same command again: nothing was done.",
                status=error.status,
                code=error.code,
                action=error.action,
            ) from error
