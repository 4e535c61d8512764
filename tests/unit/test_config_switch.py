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
        (FILE + 'values = { east = "a", west = "a" }\n', "two sites have one value"),
        (FILE + 'values = { east = "a", west = "b", mars = "c" }\n', "there is no such site"),
    ],
)
def test_a_driver_that_could_not_flip(text: str, said: str) -> None:
    assert said in problems(text)
