"""One place that is written to, as most drivers have it: its plan, and what is held against it.

Pure: readings go in, plans and refusals come out.
"""

from __future__ import annotations

from collections.abc import Mapping

from farshore.switch.driver import DriverPlan, Reading, SwitchError, SwitchMoved


def site_of(value: str, values: Mapping[str, str]) -> str:
    """The site that a value stands for; "" when it is none of ours."""
    return next((site for site, known in values.items() if known == value), "")


def value_for(driver: str, to: str, values: Mapping[str, str]) -> str:
    """What must stand there to send clients to `to`. `SwitchError` when nothing is configured."""
    if to in values:
        return values[to]
    raise SwitchError(
        f"The driver {driver} has no value for {to}: it knows {', '.join(sorted(values))}.",
        hint="Write one under `values` of that driver in farshore.toml, or name another site.",
    )


def require_answer(place: Reading, driver: str) -> Reading:
    """The reading, when there is one. `SwitchError` otherwise: nothing may be decided."""
    if not place.error:
        return place
    raise SwitchError(
        f"{driver}: {place.vantage} cannot be used: {place.error}.",
        hint=f"Nothing was changed. Bring {place.vantage} back, then run the same command again.",
    )


def plan_for(
    driver: str,
    place: Reading,
    to: str,
    wanted: str,
    *,
    propagation_s: float = 0.0,
    findings: tuple[str, ...] = (),
) -> DriverPlan:
    """The plan of a driver with one place that answered. `wanted`: the value as people read it."""
    require_answer(place, driver)
    stands = place.site == to
    lines = () if stands else (f"{place.vantage}: {place.raw or 'nothing'} becomes {wanted}",)
    return DriverPlan(
        driver=driver,
        to=to,
        expect=((place.vantage, place.raw),),
        lines=lines,
        propagation_s=0.0 if stands else propagation_s,
        findings=findings,
    )


def expected_at(plan: DriverPlan, vantage: str) -> str:
    """What the plan saw at that place. `SwitchError` when it is a plan of something else."""
    for known, raw in plan.expect:
        if known == vantage:
            return raw
    raise SwitchError(
        f"The plan of {plan.driver} was made for another place than {vantage}.",
        hint="The configuration was changed since: run `farshore switch plan SITE` again.",
    )


def stands_already(plan: DriverPlan, place: Reading) -> bool:
    """Whether the place shows what the plan wants, so that nothing is left to do.

    `SwitchMoved` when it shows neither that nor what the plan expects; `SwitchError` when it
    did not answer.
    """
    require_answer(place, plan.driver)
    expected = expected_at(plan, place.vantage)
    if place.site == plan.to:
        return True
    if place.raw != expected:
        raise SwitchMoved(
            f"{plan.driver}: {place.vantage} shows {place.raw or 'nothing'}, and the plan was "
            f"made when it showed {expected or 'nothing'}: somebody else changed it. "
            "Nothing was changed."
        )
    return False


ABSENT = (
    "there is no record yet: resolvers that were asked for it keep that answer for as long as the "
    "zone's SOA record says"
)
"""A finding of drivers that cannot see how long that is."""


def ttl_findings(stands_s: float, configured_s: float, most_s: float) -> tuple[str, ...]:
    """What a person should know about a record's TTL before a flip. Seconds.

    `stands_s` is how long resolvers keep what they know now; `most_s` is `propagation_max`.
    """
    found = []
    if stands_s > most_s:
        found.append(
            f"resolvers may keep the old answer for {stands_s:g} s, and {most_s:g} s are wanted at "
            f"most ([switch] propagation_max): set the record's TTL to {configured_s:g} s now, and "
            f"flip {stands_s:g} s later"
        )
    if configured_s > most_s:
        found.append(
            f"this flip would write a TTL of {configured_s:g} s, and {most_s:g} s are wanted at "
            "most ([switch] propagation_max): write a smaller `ttl`"
        )
    return tuple(found)
