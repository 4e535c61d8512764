"""A record of a Route 53 hosted zone. Needs aiobotocore, and dnspython for resolvers.

One batch deletes exactly what was seen and creates what is wanted: Route 53 takes all of it
or nothing, and nothing when the old record is not that one any more (API reference,
ChangeResourceRecordSets). Then the change is waited for until every server of AWS has it.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from farshore.config.switches import Route53Switch
from farshore.switch.aws import Api, ApiRefused, ApiSilent, ApiUnclear
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchError,
    SwitchUnknown,
    Traits,
)
from farshore.switch.lookup import canonical, presentation, resolver_readings, shown
from farshore.switch.place import ABSENT, plan_for, stands_already, ttl_findings, value_for

INSYNC_SECONDS_MAX = 90.0
"""AWS says that changes generally reach every server within 60 seconds."""

INSYNC_PAUSE_S = 1.0

SETS_MAX = 100
"""Record sets at one name that are looked at; more than one is not ours to replace."""


class _Found(NamedTuple):
    """`exact`: our record set as the API says it, None when there is none. `foreign`: what
    stands there is not a plain record."""

    raw: str
    exact: dict[str, Any] | None
    foreign: bool = False

    @property
    def ttl(self) -> float:
        return float(self.exact["TTL"]) if self.exact and not self.foreign else 0.0


class Route53Driver:
    """A `SwitchDriver` of one record. `insync_s_max`: how long the servers of AWS may take."""

    def __init__(
        self,
        source: Route53Switch,
        api: Api,
        propagation_max_s: float,
        *,
        insync_s_max: float = INSYNC_SECONDS_MAX,
    ) -> None:
        self._source = source
        self._record = source.record
        self._api = api
        self._propagation_max_s = propagation_max_s
        self._insync_s_max = insync_s_max
        self._vantage = f"hosted zone {source.hosted_zone}"

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def traits(self) -> Traits:
        return Traits(cas=True, moves_live_clients=False)

    async def current(self) -> Position:
        return Position(((await self._look())[0],))

    async def plan(self, to: str) -> DriverPlan:
        wanted = canonical(value_for(self.name, to, self._record.values), self._record.type)
        reading, found = await self._look()
        if found.foreign:
            raise SwitchError(
                f"{self.name}: {self._record.name} is {found.raw}, not one plain "
                f"{self._record.type} record.",
                hint="Remove the alias or the routing policy by hand, or correct `record` and "
                "`type` of this driver.",
            )
        findings = ttl_findings(found.ttl, self._record.ttl, self._propagation_max_s)
        return plan_for(
            self.name,
            reading,
            to,
            f"{wanted} (TTL {self._record.ttl})",
            propagation_s=found.ttl,
            findings=findings if found.raw else (ABSENT, *findings),
        )

    async def apply(self, plan: DriverPlan) -> None:
        value_for(self.name, plan.to, self._record.values)
        reading, found = await self._look()
        if stands_already(plan, reading):
            return
        change = await self._change(plan, found)
        if change is not None:
            await self._await_insync(change)

    async def verify(self, to: str) -> Position:
        """The API, and every resolver."""
        (reading, _), others = await asyncio.gather(self._look(), resolver_readings(self._record))
        return Position((reading, *others))

    async def aclose(self) -> None:
        await self._api.aclose()

    async def _look(self) -> tuple[Reading, _Found]:
        try:
            answer = await self._api.call(
                "list_resource_record_sets",
                HostedZoneId=self._source.hosted_zone,
                StartRecordName=f"{self._record.name}.",
                MaxItems=str(SETS_MAX),
            )
        except SwitchError as error:
            return Reading(self._vantage, "", "", error.message), _Found("", None)
        found = self._worth(answer["ResourceRecordSets"])
        return shown(self._vantage, found.raw, self._record), found

    def _worth(self, sets: list[dict[str, Any]]) -> _Found:
        """The one set that is ours among those from our name on."""
        here = [one for one in sets if canonical(one["Name"], "CNAME") == self._record.name]
        kind = self._record.type
        rivals = [s for s in here if s["Type"] != kind and "CNAME" in (s["Type"], kind)]
        ours = [one for one in here if one["Type"] == kind]
        if rivals:
            return _Found(" and ".join(f"{s['Type']} {_values(s)}" for s in rivals), None, True)
        if not ours:
            return _Found("", None)
        if len(ours) > 1 or "SetIdentifier" in ours[0] or "AliasTarget" in ours[0]:
            word = "an alias to" if "AliasTarget" in ours[0] else "under a routing policy:"
            return _Found(f"{word} {', '.join(map(_values, ours))}", None, True)
        return _Found(_values(ours[0]), ours[0])

    async def _change(self, plan: DriverPlan, found: _Found) -> str | None:
        """The id of the change; None when somebody else was faster with the same one."""
        changes = [{"Action": "CREATE", "ResourceRecordSet": self._wanted(plan.to)}]
        if found.exact is not None:
            changes.insert(0, {"Action": "DELETE", "ResourceRecordSet": found.exact})
        try:
            answer = await self._api.call(
                "change_resource_record_sets",
                HostedZoneId=self._source.hosted_zone,
                ChangeBatch={"Comment": f"farshore: to {plan.to}", "Changes": changes},
            )
        except ApiUnclear as error:
            raise self._unknown(error.message) from None
        except ApiRefused as error:
            if error.code == "InvalidChangeBatch" and stands_already(plan, (await self._look())[0]):
                return None
            raise self._untouched(error) from None
        except ApiSilent as error:
            raise self._untouched(error) from None
        return str(answer["ChangeInfo"]["Id"])

    def _wanted(self, to: str) -> dict[str, Any]:
        kind = self._record.type
        value = presentation(kind, canonical(self._record.values[to], kind))
        return {
            "Name": f"{self._record.name}.",
            "Type": kind,
            "TTL": self._record.ttl,
            "ResourceRecords": [{"Value": value}],
        }

    async def _await_insync(self, change: str) -> None:
        """A question that fails is asked again: the change itself has been taken."""
        why = "it is still PENDING"
        try:
            async with asyncio.timeout(self._insync_s_max):
                while True:
                    try:
                        answer = await self._api.call("get_change", Id=change)
                        if answer["ChangeInfo"]["Status"] == "INSYNC":
                            return
                    except SwitchError as error:
                        why = error.message
                    await asyncio.sleep(INSYNC_PAUSE_S)
        except TimeoutError:
            raise self._unknown(
                f"Route 53 took it, and not all of its servers have it after "
                f"{self._insync_s_max:g} s ({why})"
            ) from None

    def _unknown(self, why: str) -> SwitchUnknown:
        return SwitchUnknown(
            f"{self.name}: the change of {self._record.name} was sent: {why}. It may stand."
        )

    def _untouched(self, error: SwitchError) -> SwitchError:
        return SwitchError(f"{self.name}: {error.message}. Nothing was changed.", hint=error.hint)


def _values(record_set: dict[str, Any]) -> str:
    if "AliasTarget" in record_set:
        return canonical(str(record_set["AliasTarget"]["DNSName"]), "CNAME")
    kind = str(record_set["Type"])
    values = (str(one["Value"]) for one in record_set.get("ResourceRecords", ()))
    return " ".join(sorted(canonical(value, kind) for value in values))
