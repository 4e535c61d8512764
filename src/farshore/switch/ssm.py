"""A parameter of AWS Systems Manager, which applications read. Needs aiobotocore.

SSM has no conditional write. A parameter that is there is compared first, and the version of
our write must be the next one: otherwise somebody else wrote in between, and it is told. A
parameter that is not there is made without `Overwrite`, which two cannot do at once.
"""

from __future__ import annotations

from typing import NamedTuple

from farshore.config.switches import SsmSwitch
from farshore.switch.aws import Api, ApiRefused, ApiSilent, ApiUnclear
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchError,
    SwitchUnknown,
    Traits,
)
from farshore.switch.place import plan_for, site_of, stands_already, value_for


class _Parameter(NamedTuple):
    """`version` is 0 where there is no parameter."""

    value: str
    version: int


class SsmDriver:
    """A `SwitchDriver` of one parameter."""

    def __init__(self, source: SsmSwitch, api: Api) -> None:
        self._source = source
        self._api = api
        self._vantage = f"parameter {source.parameter}"

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def traits(self) -> Traits:
        return Traits(cas=False, moves_live_clients=False)

    async def current(self) -> Position:
        return Position(((await self._look())[0],))

    async def plan(self, to: str) -> DriverPlan:
        wanted = value_for(self.name, to, self._source.values)
        return plan_for(self.name, (await self._look())[0], to, wanted)

    async def apply(self, plan: DriverPlan) -> None:
        wanted = value_for(self.name, plan.to, self._source.values)
        reading, found = await self._look()
        if stands_already(plan, reading):
            return
        try:
            version = await self._put(wanted, found)
        except ApiUnclear as error:
            raise SwitchUnknown(f"{self.name}: {error.message}. The change may stand.") from None
        except ApiRefused as error:
            if error.code == "ParameterAlreadyExists":  # made by somebody since we looked
                stands_already(plan, (await self._look())[0])
                return
            raise self._untouched(error) from None
        except ApiSilent as error:
            raise self._untouched(error) from None
        if version != found.version + 1:
            raise SwitchUnknown(
                f"{self.name}: {self._vantage} was at version {found.version}, and our write "
                f"became version {version}: somebody else wrote in between."
            )

    async def verify(self, to: str) -> Position:
        return await self.current()

    async def aclose(self) -> None:
        await self._api.aclose()

    async def _look(self) -> tuple[Reading, _Parameter]:
        nothing = _Parameter("", 0)
        try:
            answer = await self._api.call("get_parameter", Name=self._source.parameter)
        except ApiRefused as error:
            if error.code == "ParameterNotFound":
                return Reading(self._vantage, "", ""), nothing
            return Reading(self._vantage, "", "", error.message), nothing
        except SwitchError as error:
            return Reading(self._vantage, "", "", error.message), nothing
        found = answer["Parameter"]
        if found["Type"] != "String":
            # What is encrypted is meant to be secret: it is never shown, nor replaced.
            wrong = f"it is a {found['Type']}; an endpoint needs a plain String"
            return Reading(self._vantage, "", "", wrong), nothing
        value = str(found["Value"])
        site = site_of(value, self._source.values)
        return Reading(self._vantage, site, value), _Parameter(value, int(found["Version"]))

    async def _put(self, value: str, found: _Parameter) -> int:
        """The version that our write became."""
        how = {"Overwrite": True} if found.version else {"Overwrite": False, "Type": "String"}
        answer = await self._api.call(
            "put_parameter", Name=self._source.parameter, Value=value, **how
        )
        return int(answer["Version"])

    def _untouched(self, error: SwitchError) -> SwitchError:
        return SwitchError(f"{self.name}: {error.message}. Nothing was changed.", hint=error.hint)
