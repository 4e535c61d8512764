"""From `[[switch.drivers]]` to drivers: their order, and what is found wrong without a network."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import ConfigError
from farshore.switch.driver import SwitchDriver
from farshore.switch.open import open_drivers
from tests.unit.sites import TOML, config_of

SECRET = "c2VjcmV0IG9mIHRoZSBzd2l0Y2g="

HAPROXY = """
kind = "haproxy"
proxies = [{ socket = "127.0.0.1:9999", map = "/etc/haproxy/farshore.map" }]
"""
RECORD = """
zone = "example.net"
record = "s3.example.net"
values = { east = "east.example.net", west = "west.example.net" }
"""
DNS = f"""
kind = "dns"
server = "127.0.0.1:53"
tsig_name = "switch"
tsig_secret = {{ env = "TSIG" }}
{RECORD}"""
OCTODNS = f'kind = "octodns"\nconfig_file = "octodns.yaml"\n{RECORD}'
ROUTE53 = f"""
kind = "route53"
hosted_zone = "Z1"
credentials = {{ env = "AWS" }}
{RECORD.replace('zone = "example.net"', "")}"""
SSM = """
kind = "ssm"
parameter = "/app/endpoint"
region = "eu-west-1"
credentials = { env = "AWS" }
"""
FILE = 'kind = "file"\npath = "app.env"\nformat = "env"\n'
HTTP = 'kind = "http"\n'
COMMAND = 'kind = "command"\nargv = ["./switch.sh"]\n'

ALL = (HAPROXY, DNS, OCTODNS, ROUTE53, SSM, FILE, HTTP, COMMAND)
VARIABLES = {"TSIG": SECRET, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "hunter2"}


def opened(*tables: str, more: str = "", **changed: str) -> tuple[SwitchDriver, ...]:
    drivers = "".join(f"\n[[switch.drivers]]\n{table}" for table in tables)
    config = config_of(TOML + more + drivers, Path("/etc/farshore/farshore.toml"))
    return open_drivers(config, environ={**VARIABLES, **changed})


async def test_every_kind_is_opened_in_the_order_of_the_file() -> None:
    drivers = opened(*ALL)
    kinds = ["haproxy", "dns", "octodns", "route53", "ssm", "file", "http", "command"]
    assert [driver.name for driver in drivers] == kinds
    shown = " ".join(map(repr, drivers))
    assert SECRET not in shown
    assert "hunter2" not in shown
    for driver in drivers:
        await driver.aclose()


async def test_the_order_is_the_file_s() -> None:
    assert [driver.name for driver in opened(FILE, COMMAND, DNS)] == ["file", "command", "dns"]


@pytest.mark.parametrize(
    ("table", "changed", "words"),
    [
        (DNS, {"TSIG": ""}, "TSIG is not set"),
        (DNS, {"TSIG": "not base64!"}, "is not base64"),
        (ROUTE53, {"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID is not set"),
        (SSM, {"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY is not set"),
    ],
)
def test_a_variable_that_is_missing_is_told_at_once(
    table: str, changed: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        opened(table, **changed)
    assert caught.value.hint
    assert not any(value and value in str(caught.value) for value in changed.values())


def test_a_daemon_on_any_port_cannot_be_asked() -> None:
    with pytest.raises(ConfigError, match="any free port"):
        opened(HTTP, more='[daemon]\nlisten = "127.0.0.1:0"\n')


def _without(package: str) -> Callable[..., Any]:
    def find(name: str, *more: object) -> object:
        return None if name == package else importlib.util.find_spec(name)

    return find


@pytest.mark.parametrize(
    ("table", "module", "extra"),
    [
        (DNS, "dns", "dns"),
        (OCTODNS, "octodns", "octodns"),
        (OCTODNS, "dns", "octodns"),
        (ROUTE53, "aiobotocore", "aws"),
        (ROUTE53, "dns", "aws"),
        (SSM, "aiobotocore", "aws"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, table: str, module: str, extra: str
) -> None:
    monkeypatch.setattr("farshore.switch.open.find_spec", _without(module))
    with pytest.raises(ConfigError) as caught:
        opened(table)
    assert f"farshore[{extra}]" in caught.value.hint
