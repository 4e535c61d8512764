"""The keys of one principal for as long as a program runs: temporary ones are read again.

Keys that end are fetched anew some minutes before, beside the requests, which go on with
the old ones meanwhile. A server that says they have ended already (its clock, or a token
taken back) has them fetched at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from farshore.clock import Clock, SystemClock
from farshore.credentials import Credentials
from farshore.errors import ConfigError, Denied

RENEW_BEFORE_S = 300.0
"""Temporary keys are fetched again this long before they end, or half-way if that is later."""

TRY_AGAIN_S = 10.0
"""Pause after keys could not be fetched or came back unchanged, and between two fetches for
keys that a server refuses."""

ENDED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
"""S3's codes for temporary keys that have ended."""


class Keyring:
    """What signs now. `fetch` reads the keys, and may take its time: it runs in a thread."""

    def __init__(self, fetch: Callable[[], Credentials], *, clock: Clock | None = None) -> None:
        """Fetches once, here and now. Raises what `fetch` raises: `ConfigError`."""
        self._fetch = fetch
        self._clock = clock or SystemClock()
        self._fetching: asyncio.Task[None] | None = None
        self._trouble: ConfigError | None = None
        self._refetch_at = -math.inf
        self.keys = fetch()
        self._plan()

    @classmethod
    def fixed(cls, keys: Credentials) -> Keyring:
        """Keys that somebody else looks after."""
        return cls(lambda: keys)

    @property
    def is_temporary(self) -> bool:
        """Whether the keys may end."""
        return bool(self.keys.session_token) or self.keys.expires_at is not None

    def serves(self, keys: Credentials, now: float) -> bool:
        """Whether to sign with these, without asking for `current`."""
        return keys is self.keys and now < self.good_until

    async def current(self) -> Credentials:
        """Keys to sign with. `Denied` when they have ended and no others can be had."""
        now = self._clock.now()
        if now < self.good_until:
            return self.keys
        if now >= self._fetch_at:
            self._begin()
        if self._has_ended():
            if self._fetching is not None:
                await asyncio.shield(self._fetching)
            self._require_good()
        return self.keys

    async def replace(self, refused: Credentials) -> bool:
        """A server says that these have ended: whether there are others to try with now."""
        may_fetch = self._fetching is not None or self._clock.now() >= self._refetch_at
        if self.keys == refused and may_fetch:
            await asyncio.shield(self._begin())
        return self.keys != refused

    def _begin(self) -> asyncio.Task[None]:
        """One fetch at a time, whoever asks."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        before, self._trouble = self.keys, None
        try:
            self.keys = await asyncio.to_thread(self._fetch)
        except ConfigError as error:
            self._trouble = error
        finally:
            self._fetching = None
        self._refetch_at = self._clock.now() + TRY_AGAIN_S
        self._plan(not_before=self._refetch_at if self.keys == before else -math.inf)

    def _plan(self, not_before: float = -math.inf) -> None:
        """`good_until`: before that, `keys` can be used without asking."""
        now, end = self._clock.now(), self.keys.expires_at
        ahead = 0.0 if end is None else min(RENEW_BEFORE_S, max(end - now, 0.0) / 2)
        self._end = math.inf if end is None else end
        self._fetch_at = max(self._end - ahead, not_before)
        self.good_until = min(self._fetch_at, self._end)

    def _has_ended(self) -> bool:
        return self._clock.now() >= self._end

    def _require_good(self) -> None:
        if not self._has_ended():
            return
        trouble = self._trouble
        raise Denied(
            trouble.message if trouble else "The keys have ended, and no newer ones came.",
            hint=trouble.hint if trouble else "See to what gives the keys: it repeats old ones.",
            code="ExpiredToken",
        )
