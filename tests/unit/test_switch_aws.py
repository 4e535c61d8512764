"""What AWS may say that its stand-in does not say on demand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from farshore.config.switches import Record, Route53Switch, SsmSwitch
from farshore.credentials import Credentials, CredentialSource
from farshore.lab.ports import held_ports
from farshore.switch.aws import ApiRefused, ApiSilent, ApiUnclear, AwsApi
from farshore.switch.driver import DriverPlan, SwitchError, SwitchMoved, SwitchUnknown
from farshore.switch.route53 import Route53Driver
from farshore.switch.ssm import SsmDriver

from .http_server import Peer, serve

EAST, WEST = "east.example.net", "west.example.net"
VALUES = {"east": EAST, "west": WEST}
SOURCE = CredentialSource("env", "A_VARIABLE")

THROTTLED = ApiRefused("throttled", code="Throttling")
UNCLEAR = ApiUnclear("the connection broke")
SILENT = ApiSilent("no connection")


class FakeApi:
    """Answers of each action, in order; the last one is repeated. Errors are raised."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = answers
        self.asked: dict[str, list[dict[str, Any]]] = defaultdict(list)

    async def call(self, action: str, **parameters: Any) -> Any:
        self.asked[action].append(parameters)
        left = self._answers[action]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        return


# -- Route 53 ----------------------------------------------------------------------


def stands(value: str, ttl: int = 5) -> dict[str, Any]:
    values = [{"Value": f"{value}."}]
    ours = {"Name": "s3.example.net.", "Type": "CNAME", "TTL": ttl, "ResourceRecords": values}
    other = {"Name": "www.example.net.", "Type": "A", "TTL": 5, "ResourceRecords": []}
    return {"ResourceRecordSets": [ours, other]}


def change(status: str) -> dict[str, Any]:
    return {"ChangeInfo": {"Id": "C1", "Status": status}}


def route53(**answers: list[Any]) -> tuple[FakeApi, Route53Driver]:
    api = FakeApi(**answers)
    record = Record("s3.example.net", "CNAME", 5, VALUES, ())
    source = Route53Switch("route53", "Z1", record, "us-east-1", SOURCE, "", None)
    return api, Route53Driver(source, api, 60.0, insync_s_max=0.01)


def to_west(vantage: str) -> DriverPlan:
    return DriverPlan("any", "west", ((vantage, EAST),), ("a line",))


ROUTE53_PLAN = to_west("hosted zone Z1")


async def test_the_batch_deletes_exactly_what_stands() -> None:
    api, driver = route53(
        list_resource_record_sets=[stands(EAST, 3600)],
        change_resource_record_sets=[change("PENDING")],
        get_change=[change("INSYNC")],
    )
    await driver.apply(ROUTE53_PLAN)
    (sent,) = api.asked["change_resource_record_sets"]
    delete, create = sent["ChangeBatch"]["Changes"]
    assert delete == {
        "Action": "DELETE",
        "ResourceRecordSet": stands(EAST, 3600)["ResourceRecordSets"][0],
    }
    assert create == {
        "Action": "CREATE",
        "ResourceRecordSet": stands(WEST)["ResourceRecordSets"][0],
    }


@pytest.mark.parametrize("answer", [change("PENDING"), THROTTLED, UNCLEAR])
async def test_a_change_that_does_not_reach_all_servers_is_unknown(answer: Any) -> None:
    _, driver = route53(
        list_resource_record_sets=[stands(EAST)],
        change_resource_record_sets=[change("PENDING")],
        get_change=[answer],
    )
    with pytest.raises(SwitchUnknown, match="not all of its servers"):
        await driver.apply(ROUTE53_PLAN)


@pytest.mark.parametrize(
    ("answer", "kind"), [(THROTTLED, SwitchError), (SILENT, SwitchError), (UNCLEAR, SwitchUnknown)]
)
async def test_what_a_failed_change_of_a_record_means(answer: Any, kind: type) -> None:
    api, driver = route53(
        list_resource_record_sets=[stands(EAST)], change_resource_record_sets=[answer]
    )
    with pytest.raises(SwitchError) as caught:
        await driver.apply(ROUTE53_PLAN)
    assert type(caught.value) is kind
    assert len(api.asked["change_resource_record_sets"]) == 1


REFUSED = ApiRefused("refused", code="InvalidChangeBatch")


async def test_a_refused_batch_is_read_again() -> None:
    for after, kind in (("elsewhere.example.org", SwitchMoved), (EAST, SwitchError)):
        _, driver = route53(
            list_resource_record_sets=[stands(EAST), stands(after)],
            change_resource_record_sets=[REFUSED],
        )
        with pytest.raises(kind):
            await driver.apply(ROUTE53_PLAN)
    _, driver = route53(
        list_resource_record_sets=[stands(EAST), stands(WEST)],
        change_resource_record_sets=[REFUSED],
    )
    await driver.apply(ROUTE53_PLAN)  # somebody else did the same


async def test_an_alias_of_route53_is_not_replaced() -> None:
    alias = {"Name": "s3.example.net.", "Type": "A", "AliasTarget": {"DNSName": "lb.example.net."}}
    api = FakeApi(list_resource_record_sets=[{"ResourceRecordSets": [alias]}])
    record = Record("s3.example.net", "A", 5, {"east": "10.0.0.1", "west": "10.0.0.2"}, ())
    source = Route53Switch("route53", "Z1", record, "us-east-1", SOURCE, "", None)
    with pytest.raises(SwitchError, match="an alias to lb"):
        await Route53Driver(source, api, 60.0).plan("west")


# -- SSM ---------------------------------------------------------------------------


def parameter(value: str, version: int) -> dict[str, Any]:
    return {"Parameter": {"Type": "String", "Value": value, "Version": version}}


def ssm(**answers: list[Any]) -> tuple[FakeApi, SsmDriver]:
    api = FakeApi(**answers)
    source = SsmSwitch("ssm", "/app", VALUES, "eu-west-1", SOURCE, "", None)
    return api, SsmDriver(source, api)


SSM_PLAN = to_west("parameter /app")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (THROTTLED, SwitchError),
        (SILENT, SwitchError),
        (UNCLEAR, SwitchUnknown),
        ({"Version": 5}, SwitchUnknown),
    ],
)
async def test_what_a_failed_change_of_a_parameter_means(answer: Any, kind: type) -> None:
    """A version that is not the next one: somebody wrote between our look and our write."""
    api, driver = ssm(get_parameter=[parameter(EAST, 3)], put_parameter=[answer])
    with pytest.raises(SwitchError) as caught:
        await driver.apply(SSM_PLAN)
    assert type(caught.value) is kind
    assert len(api.asked["put_parameter"]) == 1


async def test_a_parameter_that_was_made_meanwhile_is_not_overwritten() -> None:
    absent = ApiRefused("there is none", code="ParameterNotFound")
    exists = ApiRefused("there is one", code="ParameterAlreadyExists")
    plan = DriverPlan("ssm", "west", (("parameter /app", ""),), ("a line",))
    api, driver = ssm(get_parameter=[absent, parameter(EAST, 1)], put_parameter=[exists])
    with pytest.raises(SwitchMoved):
        await driver.apply(plan)
    assert api.asked["put_parameter"][0]["Overwrite"] is False


# -- the SDK -----------------------------------------------------------------------


def says(status: str, code: str) -> Callable[[Peer], Any]:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(f'{{"__type": "{code}"}}'.encode(), status)

    return script


async def breaks(peer: Peer) -> None:
    await peer.request()


class Keys:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.fetched = 0

    async def __call__(self) -> Credentials:
        self.fetched += 1
        return Credentials("test", "hunter2")


def client(port: int, keys: Keys) -> AwsApi:
    endpoint = f"http://127.0.0.1:{port}"
    return AwsApi("ssm", region="eu-west-1", endpoint=endpoint, ca_file=None, keys=keys)


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (says("400 Bad Request", "ThrottlingException"), ApiRefused, "throttled"),
        (says("400 Bad Request", "AccessDeniedException"), ApiRefused, "denied"),
        (says("400 Bad Request", "ValidationException"), ApiRefused, "refused"),
        (says("500 Internal Server Error", "InternalServerError"), ApiUnclear, "HTTP 500"),
        (breaks, ApiUnclear, "no answer|broke"),
    ],
)
async def test_the_sdk_s_errors_are_told_once(script: Any, kind: type, words: str) -> None:
    async with serve(script) as server:
        api = client(server.port, Keys())
        with pytest.raises(SwitchError, match=words) as caught:
            await api.call("get_parameter", Name="/app")
        await api.aclose()
    assert type(caught.value) is kind
    assert server.accepted == 1
    assert "hunter2" not in f"{caught.value!r} {caught.value.hint}"


async def test_nobody_there_is_silent() -> None:
    with held_ports(1) as (port,):
        api = client(port, Keys())
        with pytest.raises(ApiSilent):
            await api.call("get_parameter", Name="/app")
        await api.aclose()


async def test_keys_are_fetched_anew_after_a_refusal() -> None:
    denied = says("400 Bad Request", "ExpiredTokenException")
    keys = Keys()
    async with serve(denied, denied) as server:
        api = client(server.port, keys)
        for _ in range(2):
            with pytest.raises(ApiRefused, match="denied"):
                await api.call("get_parameter", Name="/app")
        await api.aclose()
    assert keys.fetched == 2
