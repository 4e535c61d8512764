"""Preflight: everything that must be so before writes are frozen, each with its remedy."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from farshore.control.contact import make_contact
from farshore.control.sites import open_store
from farshore.control.status import StatusDocument, StatusReport
from farshore.core.aftermath import HALF_WAY
from farshore.core.record import ControlRecord
from farshore.core.roles import Phase
from farshore.errors import FarshoreError, Refused, StoreError
from farshore.fence.opening import open_fence, require_fence
from farshore.fence.site import Toothless
from farshore.runbook.ground import Ground
from farshore.runbook.step import Found, StepFailed
from farshore.switch.flip import survey
from farshore.switch.watched import shut_to

CONTACT_SECONDS_MAX = 5.0
REPORT_AGE_MAX_S = 30.0
"""A daemon that is at work reports every few seconds."""

DAEMON_LOOK_S = 1.0
SILENT_LOOKS_MAX = 8
"""A daemon reports every 5 seconds: one that has not by then is not there."""

BACKEND_LOOK_S = 0.5
BACKEND_LOOKS_MAX = 12
"""A proxy that checks every second finds a site up after two good checks."""

BEHIND_LOOKS_MAX = 60
"""Who has just turned round needs a scan, and the time to copy what it found."""

EXPOSURE_MAX_S = 30.0
"""With more than this still to copy, the freeze would end before the copying does."""

RULES = {
    "sites": "both sites answer",
    "record": "the control record stands on both sides and allows it",
    "switch": "the switch is settled on the site that is left",
    "backends": "every proxy finds the site that takes over up",
    "fence": "a fence at the site that is left would bite",
    "daemon": "a daemon replicates and is nearly caught up",
}
"""The safety rules that preflight keeps. An override names one of them, and a reason."""


@dataclass(slots=True)
class Preflight:
    """`rules`: those that hold for this runbook. `overridden`: set aside by a person.

    `one_side_is_enough`: the site that is left need not answer (failover).
    """

    ground: Ground
    rules: Sequence[str] = tuple(RULES)
    phases: tuple[Phase, ...] = ("protected",)
    one_side_is_enough: bool = False
    overridden: frozenset[str] = frozenset()
    id: str = "preflight"
    lapses: bool = False
    _passed: dict[str, str] | None = field(default=None, init=False)

    @property
    def what(self) -> str:
        return f"Check that nothing stands in the way: {', '.join(self.rules)}."

    async def look(self) -> Found:
        if self._passed is not None:
            return Found(True, "", {"checked": self._passed})
        return Found(False, "not checked")

    async def act(self) -> None:
        kept = [rule for rule in self.rules if rule not in self.overridden]
        await self._require([rule for rule in kept if rule != "daemon"])
        await self._require([rule for rule in kept if rule == "daemon"])  # it may take a minute
        passed = dict.fromkeys(kept, "ok")
        self._passed = passed | dict.fromkeys(self.overridden, "set aside by a person")

    async def _require(self, rules: Sequence[str]) -> None:
        results = await asyncio.gather(*(self._check(rule) for rule in rules))
        wrong = [f"{rule}: {why}" for rule, why in zip(rules, results, strict=True) if why]
        if wrong:
            raise StepFailed("; ".join(wrong), hint="Mend it, and plan again.")

    async def _check(self, rule: str) -> str:
        """Why the rule does not hold; "" when it does."""
        checks = {
            "sites": self._sites,
            "record": self._record,
            "switch": self._switch,
            "backends": self._backends,
            "fence": self._fence,
            "daemon": self._daemon,
        }
        try:
            return await checks[rule]()
        except FarshoreError as error:
            return error.message

    async def _sites(self) -> str:
        config = self.ground.config
        for name in (self.ground.old, self.ground.new):
            async with aclosing(open_store(config, name, "replicator")) as store:
                site = config.site(name)
                await make_contact(store, site, "replicator", seconds_max=CONTACT_SECONDS_MAX)
        return ""

    async def _record(self) -> str:
        view = await self.ground.plane.read()
        if not self.one_side_is_enough and not view.agree and view.written:
            return view.sentence
        if not view.of(self.ground.new).answers:
            return f"{self.ground.new} does not show its control record: {view.sentence}"
        return refusal(view.record, self.ground, self.phases)

    async def _switch(self) -> str:
        view = await survey(self.ground.drivers)
        if view.state == "none":
            return "no switch is configured: clients cannot be sent anywhere"
        return "" if view.site == self.ground.old else view.sentence()

    async def _backends(self) -> str:
        """A site that is back is found up after a few checks of the proxy: it is waited for."""
        for _ in range(BACKEND_LOOKS_MAX):
            shut = await shut_to(self.ground.drivers, self.ground.new)
            if not shut:
                return ""
            await self.ground.sleep(BACKEND_LOOK_S)
        return f"{'; '.join(shut)}; look whether that proxy can reach {self.ground.new}"

    async def _fence(self) -> str:
        ground = self.ground
        if self.one_side_is_enough:  # a dead site cannot be tried: its fence will be pending
            require_fence(ground.config, ground.old)
            return ""
        try:
            async with open_fence(ground.config, ground.old, ground.clock) as fence:
                bites = await fence.check()
        except (Toothless, Refused) as error:
            return error.message
        unproved = [f"{bite.bucket}: {bite.why}" for bite in bites if bite.word == "unproved"]
        return "; ".join(unproved)

    async def _daemon(self) -> str:
        """A daemon that has just started or turned round is waited for, one that is not there
        is not."""
        for look in range(BEHIND_LOOKS_MAX):
            report = await read_report(self.ground)
            age = self._age(report)
            why = self._silent(age) or self._behind(report)
            if not why or (age > REPORT_AGE_MAX_S and look >= SILENT_LOOKS_MAX):
                return why
            await self.ground.sleep(DAEMON_LOOK_S)
        return why

    def _age(self, report: StatusReport | None) -> float:
        """Seconds since the daemon reported; infinite if it never has."""
        return math.inf if report is None else self.ground.clock.now() - report.written_at

    def _silent(self, age: float) -> str:
        if age == math.inf:
            return "no daemon has ever reported; start `farshore run`"
        if age > REPORT_AGE_MAX_S:
            return f"the daemon reported {age:.0f} s ago; start `farshore run`"
        return ""

    def _behind(self, report: StatusReport | None) -> str:
        if report is None or report.watermark is None:
            return "the daemon has no watermark yet; wait for its first scan"
        exposure = self.ground.clock.now() - report.watermark
        if exposure > EXPOSURE_MAX_S:
            return f"the exposure is {exposure:.0f} s; wait until it is below {EXPOSURE_MAX_S:g} s"
        return ""

    async def undo(self) -> None:
        """Nothing was changed."""


def refusal(record: ControlRecord, ground: Ground, phases: Sequence[Phase]) -> str:
    """A failover goes on with the flip of a run that was ended in the middle of it."""
    if record.primary != ground.old:
        return f"{record.primary} is the primary, not {ground.old}"
    if record.phase not in phases:
        return f"the pair is {record.phase.replace('_', ' ')}, not {' or '.join(phases)}"
    goes_on = record.phase in HALF_WAY and record.switch.wanted == ground.new
    if record.switch.under_way and not goes_on:
        return f"a flip to {record.switch.wanted} is not finished; see `farshore switch show`"
    return ""


async def read_report(ground: Ground) -> StatusReport | None:
    """The daemon's last report, from the site that receives; None where there is none."""
    bucket = ground.config.target.control_bucket
    async with aclosing(open_store(ground.config, ground.new, "replicator")) as store:
        try:
            return await StatusDocument(store, bucket, ground.config.pair.name).read()
        except StoreError:
            return None
