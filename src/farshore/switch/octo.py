"""A record at any provider of the user's own octoDNS configuration. Needs octodns.

octoDNS is used as a library, in a thread, and only its targets of the one zone: its sources
are not read, and two filters keep every other record of the zone out of its plans. It has no
compare-and-swap: what stands there is read and compared just before the change.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from octodns.manager import Manager, ManagerException
from octodns.processor.filter import NameAllowlistFilter, TypeAllowlistFilter
from octodns.record import Record as OctoRecord
from octodns.secret.exception import SecretsException
from octodns.zone import Zone

from farshore.config.switches import OctodnsSwitch, Record
from farshore.errors import FarshoreError
from farshore.switch.aside import aside
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchError,
    SwitchMoved,
    SwitchUnknown,
    Traits,
)
from farshore.switch.lookup import canonical, presentation, resolver_readings, shown
from farshore.switch.place import (
    ABSENT,
    plan_for,
    require_answer,
    stands_already,
    ttl_findings,
    value_for,
)

CALL_SECONDS_MAX = 20.0
"""How long the provider's API may take for one call, whatever it does by itself."""

_LOGGERS = ("Manager", "EnvironSecrets[env]", "Plan", "Record", "Zone")
"""octoDNS's own, which write tracebacks and answers."""

Result = TypeVar("Result")


class _Found(NamedTuple):
    """`ttl` in seconds, 0.0 when there is no record. `foreign`: it is not ours to replace."""

    raw: str
    ttl: float
    foreign: bool = False


class OctodnsDriver:
    """A `SwitchDriver` of one record, at every target of its zone. `call_s_max`: how long the
    provider may take for one call."""

    def __init__(
        self,
        source: OctodnsSwitch,
        propagation_max_s: float,
        *,
        call_s_max: float = CALL_SECONDS_MAX,
    ) -> None:
        self._call_s_max = call_s_max
        self._source = source
        self._record = source.record
        self._propagation_max_s = propagation_max_s
        self._label = source.record.name.removesuffix(source.zone).rstrip(".")

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def traits(self) -> Traits:
        return Traits(cas=False, moves_live_clients=False)

    async def current(self) -> Position:
        """What each target's API says. `SwitchError` when the configuration cannot be used."""
        looked = await self._in_time(self._look_everywhere)
        if looked is None:
            late = f"its API did not answer within {self._call_s_max:g} s"
            names = await self._in_time(self._targets)
            if names is None:  # not even the configuration: no vantage can be told
                raise self._late()
            return Position(tuple(Reading(_vantage(name), "", "", late) for name in names))
        return Position(tuple(reading for reading, _ in looked))

    async def plan(self, to: str) -> DriverPlan:
        value_for(self.name, to, self._record.values)
        looked = await self._in_time(self._look_everywhere)
        if looked is None:
            raise self._late()
        plans = [self._plan(to, reading, found) for reading, found in looked]
        return DriverPlan(
            self.name,
            to,
            tuple(pair for plan in plans for pair in plan.expect),
            tuple(line for plan in plans for line in plan.lines),
            max(plan.propagation_s for plan in plans),
            tuple(dict.fromkeys(text for plan in plans for text in plan.findings)),
        )

    async def apply(self, plan: DriverPlan) -> None:
        given_up, sent = threading.Event(), threading.Event()
        done = await self._in_time(partial(self._apply, plan, given_up, sent))
        if done is None:
            given_up.set()
            if not sent.is_set():
                raise self._late()
            raise self._unknown(f"it took longer than {self._call_s_max:g} s")

    async def verify(self, to: str) -> Position:
        """Every target, and every resolver."""
        found, others = await asyncio.gather(self.current(), resolver_readings(self._record))
        return Position((*found.readings, *others))

    async def aclose(self) -> None:
        """Every call opens what it needs and lets it go."""

    # -- in a thread -----------------------------------------------------------------

    async def _in_time(self, work: Callable[[], Result]) -> Result | None:
        """None when it takes too long. The thread goes on; nothing waits for it."""
        try:
            return await aside(work, self._call_s_max)
        except TimeoutError:
            return None

    def _targets(self) -> Mapping[str, Any]:
        """Name to provider of every target of the zone."""
        for logger in _LOGGERS:
            _keep_quiet(logging.getLogger(logger))
        with self._told(f"{self.name}: the configuration of octoDNS cannot be used"):
            manager = Manager(str(self._source.config_file))
            zones = manager.config["zones"]
            zone = zones.get(f"{self._source.zone}.") or {}
            names = list(zone.get("targets") or ())
            if names:
                targets = {name: manager.providers[name] for name in names}
                for provider in targets.values():
                    _keep_quiet(provider.log)
                return targets
        raise SwitchError(
            f"{self.name}: {self._source.config_file} has no zone {self._source.zone}. with "
            "`targets`.",
            hint="Write the zone with its last dot, and the provider under `targets`.",
        )

    def _look_everywhere(self) -> list[tuple[Reading, _Found]]:
        return [self._look(name, provider) for name, provider in self._targets().items()]

    def _look(self, name: str, provider: Any) -> tuple[Reading, _Found]:
        try:
            found = self._found(provider)
        except SwitchError as error:
            return Reading(_vantage(name), "", "", error.message), _Found("", 0.0)
        return shown(_vantage(name), found.raw, self._record), found

    def _found(self, provider: Any) -> _Found:
        """What stands at the name. octoDNS reads the whole zone; the rest is let go."""
        zone = Zone(f"{self._source.zone}.", [])
        with self._told("it cannot be read"):
            provider.populate(zone, target=True, lenient=True)
            here = [record for record in zone.records if record.name == self._label]
            return _worth(here, self._record)

    def _plan(self, to: str, reading: Reading, found: _Found) -> DriverPlan:
        require_answer(reading, self.name)
        if found.foreign:
            raise SwitchError(
                f"{self.name}: {reading.vantage} has {found.raw} at {self._record.name}, not a "
                f"plain {self._record.type}.",
                hint="Remove it by hand, or correct `record` and `type` of this driver.",
            )
        findings = ttl_findings(found.ttl, self._record.ttl, self._propagation_max_s)
        wanted = canonical(self._record.values[to], self._record.type)
        return plan_for(
            self.name,
            reading,
            to,
            f"{wanted} (TTL {self._record.ttl})",
            propagation_s=found.ttl,
            findings=findings if found.raw else (ABSENT, *findings),
        )

    def _apply(self, plan: DriverPlan, given_up: threading.Event, sent: threading.Event) -> bool:
        """All targets are held against the plan before the first is changed."""
        value_for(self.name, plan.to, self._record.values)
        targets = self._targets()
        left = {
            name: provider
            for name, provider in targets.items()
            if not stands_already(plan, self._look(name, provider)[0])
        }
        for name, provider in left.items():
            try:
                self._change(plan, name, provider, given_up, sent)
            except SwitchUnknown:
                raise
            except (SwitchError, SwitchMoved) as error:
                if sent.is_set():
                    raise self._unknown(error.message) from None
                raise
        return True

    def _change(
        self,
        plan: DriverPlan,
        name: str,
        provider: Any,
        given_up: threading.Event,
        sent: threading.Event,
    ) -> None:
        with self._told(f"{self.name}: {_vantage(name)}: no change can be planned"):
            work = self._plan_of_one(plan, name, provider)
        if work is None or given_up.is_set():
            return
        sent.set()
        with self._told(f"{_vantage(name)} failed"):
            provider.apply(work)
        reading, _ = self._look(name, provider)
        if reading.site != plan.to:
            raise self._unknown(f"{reading.vantage} now shows {reading.error or reading.raw!r}")

    def _plan_of_one(self, plan: DriverPlan, name: str, provider: Any) -> Any:
        """octoDNS's own plan, which holds our record alone; None when it stands already."""
        if provider.apply_disabled:
            raise SwitchError(
                f"{self.name}: {_vantage(name)} has apply_disabled.",
                hint=f"Take it out of {self._source.config_file}.",
            )
        provider.root_ns_warnings = False  # it is about records that are filtered out
        desired = Zone(f"{self._source.zone}.", [])
        desired.add_record(self._wanted(desired, plan.to))
        filters = [
            NameAllowlistFilter("farshore-name", [self._label]),
            TypeAllowlistFilter("farshore-type", [self._record.type]),
        ]
        work = provider.plan(desired, processors=filters)
        if work is None:
            return None
        if len(work.changes) != 1 or work.changes[0].new is None:
            raise SwitchError(
                f"{self.name}: octoDNS would make {len(work.changes)} changes at "
                f"{_vantage(name)} instead of one. Nothing was changed."
            )
        existing = work.changes[0].existing
        found = _worth([existing] if existing else [], self._record)
        stands_already(plan, shown(_vantage(name), found.raw, self._record))
        return work

    def _wanted(self, zone: Any, to: str) -> Any:
        value = presentation(
            self._record.type, canonical(self._record.values[to], self._record.type)
        )
        data = {"type": self._record.type, "ttl": self._record.ttl, "value": value}
        return OctoRecord.new(zone, self._label, data)

    # -- errors ----------------------------------------------------------------------

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """A provider's library raises what it likes, and its words may hold a key: its own kind
        of error is told, the text only of octoDNS's errors about the configuration."""
        try:
            yield
        except FarshoreError:
            raise
        except Exception as error:  # noqa: BLE001 any library may stand behind a provider
            raise SwitchError(
                f"{what}: {_words(error)}",
                hint=f"See it in full: octodns-sync --config-file={self._source.config_file}; "
                "it changes nothing without --doit.",
            ) from None

    def _late(self) -> SwitchError:
        return SwitchError(
            f"{self.name}: the provider's API did not answer within {self._call_s_max:g} s. "
            "Nothing was changed.",
            hint="Look at the provider's status page, then run the same command again.",
        )

    def _unknown(self, why: str) -> SwitchUnknown:
        return SwitchUnknown(
            f"{self.name}: the change of {self._record.name} was sent: {why}. It may stand."
        )


def _keep_quiet(logger: logging.Logger) -> None:
    """Python prints warnings of a logger that nobody handles; whoever sets up logging has them."""
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _vantage(provider: str) -> str:
    return f"provider {provider}"


def _worth(here: list[Any], record: Record) -> _Found:
    """What all records at one name are worth to us."""
    ours = [one for one in here if one._type == record.type]
    rivals = [one for one in here if one not in ours and "CNAME" in (one._type, record.type)]
    if rivals:
        return _Found(" ".join(f"{one._type} {_values(one)}" for one in rivals), 0.0, foreign=True)
    if not ours:
        return _Found("", 0.0)
    if getattr(ours[0], "dynamic", None) or getattr(ours[0], "geo", None):
        return _Found(f"dynamic {_values(ours[0])}", float(ours[0].ttl), foreign=True)
    return _Found(_values(ours[0]), float(ours[0].ttl))


def _values(record: Any) -> str:
    values = getattr(record, "values", None) or [getattr(record, "value", "")]
    return " ".join(sorted(canonical(str(value), record._type) for value in values))


def _words(error: Exception) -> str:
    if isinstance(error, ManagerException | SecretsException | SwitchError | OSError):
        return str(error)
    status = _status(error) or _status(error.__context__)
    return f"{type(error).__name__}{f', HTTP {status}' if status else ''}"


def _status(error: BaseException | None) -> object:
    """The HTTP status that an error of `requests` carries, or None."""
    return getattr(getattr(error, "response", None), "status_code", None)
