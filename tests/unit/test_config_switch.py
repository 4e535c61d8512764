"""`[switch]`: drivers in their order, what each kind needs, and values that send nobody astray."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.config.load import parse
from farshore.config.switches import FileSwitch, HaproxySwitch, HttpSwitch, Proxy
from farshore.errors import ConfigError
from tests.unit.sites import TOML

HERE = Path("/nowhere/farshore.toml")
HAPROXY = '[[switch.drivers]]\nkind = "haproxy"\n'
FILE = '[[switch.drivers]]\nkind = "file"\npath = "endpoint.json"\n'


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(TOML + text, HERE)
    return "\n".join(caught.value.problems)


def test_without_a_switch_there_are_no_drivers() -> None:
    found = parse(TOML, HERE).switch
    assert (found.drivers, found.freeze_max_s, found.propagation_max_s) == ((), 8.0, 60.0)


def test_drivers_keep_their_order() -> None:
    proxies = """
[[switch.drivers.proxies]]
socket = "/run/haproxy/a.sock"
map = "/etc/haproxy/a.map"
door = "https://10.0.0.4"
ca_file = "ca.pem"

[[switch.drivers.proxies]]
socket = "[::1]:9999"
map = "/etc/haproxy/b.map"
remote = true
"""
    http = '[[switch.drivers]]\nkind = "http"\nname = "for-apps"\n'
    config = parse(TOML + HAPROXY + proxies + FILE + http, HERE)
    endpoints = {site.name: site.endpoint for site in (config.source, config.target)}
    certificates = Path("/nowhere/ca.pem")
    assert config.switch.drivers == (
        HaproxySwitch(
            "haproxy",
            (
                Proxy(
                    "/run/haproxy/a.sock",
                    "/etc/haproxy/a.map",
                    False,
                    "https://10.0.0.4",
                    certificates,
                ),
                Proxy("[::1]:9999", "/etc/haproxy/b.map", True),
            ),
        ),
        FileSwitch("file", Path("/nowhere/endpoint.json"), "json", endpoints),
        HttpSwitch("for-apps"),
    )


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ('{ socket = "haproxy.sock", map = "/m" }', "a path that begins with /, or host:port"),
        ('{ socket = "10.0.0.1:port", map = "/m" }', "a path that begins with /, or host:port"),
        ('{ socket = "10.0.0.1:0", map = "/m" }', "a path that begins with /, or host:port"),
        ('{ socket = "/s", map = "site.map" }', "a path that begins with /"),
        (r'{ socket = "/s\n", map = "/m" }', "a path that begins with /"),
        ('{ socket = "/s" }', "map"),
        ('{ socket = "/s", map = "/m", door = "10.0.0.4" }', "write a URL"),
    ],
)
def test_a_proxy_that_could_not_be_asked(proxy: str, said: str) -> None:
    assert said in problems(f"{HAPROXY}proxies = [{proxy}]\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HAPROXY, 'a driver of kind "haproxy" needs proxies'),
        (HAPROXY + "proxies = []\n", "proxies"),
        (FILE + 'zone = "example.net"\n', 'a driver of kind "file" does not take zone'),
        (FILE + FILE, 'the name "file" is taken above'),
        (FILE + 'values = { east = "http://a" }\n', "has nothing for west"),
        (FILE + 'values = { east = "http://a", west = "http://a" }\n', "two sites have one value"),
        (
            FILE + 'values = { east = "http://a", west = "http://b", mars = "http://c" }\n',
            "there is no such site",
        ),
    ],
)
def test_a_driver_that_could_not_flip(text: str, said: str) -> None:
    assert said in problems(text)


DNS = """[[switch.drivers]]
kind = "dns"
server = "192.0.2.53:53"
zone = "example.net"
tsig_name = "switch"
tsig_secret = { env = "TSIG" }
"""


@pytest.mark.parametrize(
    ("kind", "east", "said"),
    [
        ("CNAME", "192.0.2.1", 'write "east.example.net"'),
        ("CNAME", "https://east.example.net", 'write "east.example.net"'),
        ("CNAME", "a..b", 'write "east.example.net"'),
        ("CNAME", "", 'write "east.example.net"'),
        ("CNAME", "x" * 64, 'write "east.example.net"'),
        ("A", "east.example.net", 'write "192.0.2.1"'),
        ("A", "2001:db8::1", 'write "192.0.2.1"'),
        ("AAAA", "192.0.2.1", 'write "2001:db8::1"'),
    ],
)
def test_a_value_that_is_none_for_its_record(kind: str, east: str, said: str) -> None:
    values = f'values = {{ east = "{east}", west = "west.example.net" }}\n'
    text = f'{DNS}record = "s3.example.net"\ntype = "{kind}"\n{values}'
    found = problems(text)
    assert f"the value of east is none for type {kind}" in found
    assert said in found


@pytest.mark.parametrize(
    ("kind", "east", "west"),
    [
        ("CNAME", "East.example.net.", "_west.example.net"),
        ("A", "192.0.2.1", "192.0.2.2"),
        ("AAAA", "2001:db8::1", "::1"),
    ],
)
def test_values_that_fit_their_record(kind: str, east: str, west: str) -> None:
    values = f'values = {{ east = "{east}", west = "{west}" }}\n'
    (driver,) = parse(
        f'{TOML}{DNS}record = "s3.example.net"\ntype = "{kind}"\n{values}', HERE
    ).switch.drivers
    assert driver.name == "dns"


def test_a_record_outside_of_its_zone() -> None:
    values = 'values = { east = "a.example.net", west = "b.example.net" }\n'
    text = f'{DNS}record = "s3.myexample.net"\n{values}'
    assert "s3.myexample.net is not in the zone example.net" in problems(text)


@pytest.mark.parametrize(
    "url", ["east.example.net", "ftp://a", "http://", "http://u:p@a", "http://a b"]
)
def test_a_url_that_an_application_could_not_use(url: str) -> None:
    text = f'{FILE}values = {{ east = "{url}", west = "http://b" }}\n'
    assert "the value of east: write a URL" in problems(text)
