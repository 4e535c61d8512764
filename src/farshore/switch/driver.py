"""The driver protocol: one thing that tells clients where to go. Several form one switch.

    current ──> plan ──> apply(plan) ──> verify
       │                    │
       │                    ├── what stood there was not what the plan expects: `SwitchMoved`
       │                    └── no answer came, or not from everywhere: `SwitchUnknown`; read again
       └── one reading from each vantage: a proxy, an authority, a resolver, a file

The docstrings are the contract; `tests/contract/switch_suite.py` is its proof, run on every
driver with "applied, but the answer was lost" injected. No driver decides anything: who may
flip, when and why is the caller's. No driver tries again by itself. Blocking libraries are
called in threads, so that a driver never stops the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from farshore.errors import FarshoreError, Refused


class SwitchError(FarshoreError):
    """A driver could not do its work, and nothing was changed by this call."""

    cause_word = "Switch"
    usual_hint = "Nothing was changed. Check that it runs and can be reached from here."


class SwitchUnknown(SwitchError):
    """A change was sent and not confirmed everywhere: it may stand. Read again, then decide."""

    exit_code = 6
    cause_word = "SwitchUnknown"
    usual_hint = "Run `farshore switch show`: it reads what stands everywhere."


class SwitchMoved(Refused):
    """Somebody else changed it: what stands is not what the plan expects. Nothing was changed."""

    cause_word = "SwitchMoved"
    usual_hint = "Run `farshore switch plan SITE` again and look at what it finds."


@dataclass(frozen=True, slots=True)
class Traits:
    """What a driver declares about itself.

    `cas`: the changed thing itself refuses a change from another value than expected; where
    it does not, the driver compares first and the control record's lock keeps others out.
    `moves_live_clients`: clients with open connections follow without a restart.
    `freezes`: the driver is a `Freezer`, too. `counts`: it is a `traffic.Counter`, too.
    `keeps_epoch`: it is an `epochs.EpochKeeper`, too. `watches`: a `watched.Watcher`, too.
    """

    cas: bool
    moves_live_clients: bool
    freezes: bool = False
    counts: bool = False
    keeps_epoch: bool = False
    watches: bool = False


class Reading(NamedTuple):
    """What one vantage shows.

    `vantage` names the place for people and stays the same between calls: "proxy
    127.0.0.1:9999", "authority 10.0.0.2:53", "resolver 10.0.0.3:53", "file /etc/app.env".
    `site`: the site that it sends clients to; "" when what stands there is no site of ours.
    `raw`: what stands there, as it is written. `error`: why it could not be asked; then
    nothing is known, and `site` and `raw` are "".
    """

    vantage: str
    site: str
    raw: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """All vantages of one driver at one moment, in a fixed order."""

    readings: tuple[Reading, ...]

    @property
    def site(self) -> str:
        """The one site that every vantage shows; "" when they differ or one is not known."""
        sites = {reading.site for reading in self.readings}
        return sites.pop() if len(sites) == 1 else ""

    @property
    def unknown(self) -> tuple[Reading, ...]:
        """Vantages that could not be asked."""
        return tuple(reading for reading in self.readings if reading.error)

    def shows(self, site: str) -> bool:
        """Whether every vantage answered and shows that site."""
        return bool(self.readings) and all(reading.site == site for reading in self.readings)


@dataclass(frozen=True, slots=True)
class DriverPlan:
    """One driver's change, as data. Empty `before` means: nothing stands there yet.

    `expect`: (vantage, raw) of every place that is written to, as it was read: `apply` holds
    it against what stands there then. `lines`: what will change, one sentence each, for
    people. `propagation_s`: how long after the change a client may still be sent to the old
    site (a TTL); 0 where it is at once. `findings`: what a person should know before.
    """

    driver: str
    to: str
    expect: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    propagation_s: float = 0.0
    findings: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """It stands already."""
        return not self.lines


class SwitchDriver(Protocol):
    """One way to send clients to a site.

    Every method is bounded in time and safe to call again. Secrets never appear in readings,
    plans or errors.
    """

    @property
    def name(self) -> str:
        """Unique within the switch; stands in records and messages."""
        ...

    @property
    def traits(self) -> Traits: ...

    async def current(self) -> Position:
        """Ask every vantage that can be written to. A place that does not answer is a reading
        with `error`; `SwitchError` only for what no vantage can be asked about (a missing
        package, a wrong key)."""
        ...

    async def plan(self, to: str) -> DriverPlan:
        """What `apply` would do to send clients to `to`, from what stands there now.

        `SwitchError` when a place cannot be asked, or `to` has no value here. Places that
        show `to` already are not in `lines`, but are in `expect`.
        """
        ...

    async def apply(self, plan: DriverPlan) -> None:
        """Change every place. Done when all places show `plan.to`, also when they did before.

        A place that shows neither what the plan expects nor the wanted value:
        `SwitchMoved`, before anything is changed. A place that cannot be reached before
        anything is changed: `SwitchError`. Anything unclear after the first change was
        sent: `SwitchUnknown`. So `SwitchMoved` and `SwitchError` promise: untouched.
        """
        ...

    async def verify(self, to: str) -> Position:
        """Read again, from further places too (resolvers, further proxies): what clients see."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class Frozen(NamedTuple):
    """What one vantage says about the freeze. `error` as in `Reading`; then nothing is known."""

    vantage: str
    frozen: bool
    error: str = ""


class Freezer(Protocol):
    """A driver that can ask clients' writes to wait; reads go on."""

    async def freeze(self, until: float, retry_after_ms: int) -> None:
        """Until `until` (Unix seconds) writes are answered `503 SlowDown` with
        `x-amz-retry-after`; then the proxies let them through again by themselves, also when
        whoever froze them has died (a map value that is compared with the proxy's clock).

        Frozen everywhere, or `SwitchError`/`SwitchUnknown`. Freezing again moves the limit.
        """
        ...

    async def thaw(self) -> None:
        """Let writes through again, everywhere. Thawing again is no error."""
        ...

    async def frozen(self) -> tuple[Frozen, ...]:
        """What each vantage says."""
        ...

    async def writes_in_flight(self, site: str) -> int:
        """Writes on their way to that site now, at all vantages. `SwitchError` when one vantage
        cannot say."""
        ...

    async def cut_writes(self, site: str) -> int:
        """End the connections of the writes still in flight; answers how many."""
        ...
