"""Every configuration of docs/switch.md, as it stands there, on the server that it is for.

Only addresses, paths and names of the page's example are replaced by those of the test.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from farshore.core.whereabouts import Whereabouts, as_json, read
from farshore.lab.ports import HOST, held_ports
from farshore.switch.driver import SwitchDriver
from farshore.switch.open import open_drivers
from tests.unit.http_server import Peer, serve
from tests.unit.sites import TOML, config_of

from .bind_server import OPTIONS, ZONE, ZONE_FILE, Named, look_up, new_keys
from .powerdns_server import powerdns
from .servers import moto
from .switch_suite import EAST, WEST

PAGE = (Path(__file__).parents[2] / "docs/switch.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SERVER, RESOLVER = "192.0.2.53", "198.51.100.53:53"
"""The page's addresses."""

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def block(section: str, language: str = "toml") -> str:
    """The one block of that language under a heading, in the test's zone."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (found,) = [body for name, body in BLOCK.findall(text) if name == language]
    return str(found).replace("example.net", ZONE)


def replaced(text: str, *words: tuple[str, str]) -> str:
    """Each word must be there: a page that changed is noticed."""
    for old, new in words:
        assert old in text, f"{old} is not on the page any more"
        text = text.replace(old, new)
    return text


def opened(text: str, folder: Path, environ: Mapping[str, str], more: str = "") -> SwitchDriver:
    config = config_of(f"{TOML}{more}{text}", folder / "farshore.toml")
    (driver,) = open_drivers(config, environ=environ)
    return driver


async def flips(driver: SwitchDriver, *sites: str) -> None:
    """To each site and seen from everywhere."""
    for site in sites:
        await driver.apply(await driver.plan(site))
        seen = await driver.verify(site)
        assert seen.shows(site), seen
    await driver.aclose()


def test_every_kind_of_driver_is_on_the_page() -> None:
    kinds = re.findall(r'^kind = "(\w+)"$', PAGE, re.MULTILINE)
    assert kinds == ["dns", "octodns", "route53", "ssm", "file", "http", "command"]
    assert "[haproxy](front-door.md)" in PAGE  # which has the configuration of that one


async def test_dns(tmp_path: Path) -> None:
    with held_ports(1) as (port,):
        pass
    secret = new_keys().switch
    key = f'key "switch" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
    options = OPTIONS.format(folder=tmp_path, port=port, host=HOST, more="recursion no;")
    (tmp_path / f"{ZONE}.zone").write_text(f"{ZONE_FILE}s3 IN CNAME east\n")
    named = Named(tmp_path, port, options + key + block("dns", "named"))
    address = f"{HOST}:{port}"
    text = replaced(block("dns"), (f"{SERVER}:53", address), (RESOLVER, address))
    named.start()
    try:
        await flips(opened(text, tmp_path, {"FARSHORE_TSIG": secret}), WEST, EAST, WEST)
        assert look_up(port) == [f"west.{ZONE}."]
    finally:
        named.kill()


async def test_octodns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with powerdns(tmp_path) as server:
        server.make_zone(ZONE)
        monkeypatch.setenv("POWERDNS_API_KEY", server.key)
        yaml = replaced(block("octodns", "yaml"), (SERVER, HOST), ("8081", str(server.api_port)))
        (tmp_path / "octodns.yaml").write_text(yaml)
        text = replaced(block("octodns"), (RESOLVER, f"{HOST}:{server.port}"))
        await flips(opened(text, tmp_path, {}), WEST, EAST, WEST)
        assert server.read(ZONE)[f"s3.{ZONE}", "CNAME"] == [f"west.{ZONE}."]


async def test_route53(tmp_path: Path) -> None:
    with moto() as server:
        client: Any = boto3.client(
            "route53", endpoint_url=server.endpoint, region_name="us-east-1", **KEYS
        )
        made = client.create_hosted_zone(Name=ZONE, CallerReference="page")
        zone_id = made["HostedZone"]["Id"].rpartition("/")[2]
        text = replaced(
            block("route53"),
            ("Z0123456789ABCDEFGHIJ", zone_id),
            (f'resolvers = ["{RESOLVER}"]', f'api = "{server.endpoint}"'),  # moto serves no DNS
        )
        environ = _aws_variables("FARSHORE_ROUTE53")
        await flips(opened(text, tmp_path, environ), EAST, WEST)
        sets = client.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
        client.close()
    (ours,) = [one for one in sets if one["Name"] == f"s3.{ZONE}."]
    assert ours["ResourceRecords"] == [{"Value": f"west.{ZONE}."}]


async def test_ssm(tmp_path: Path) -> None:
    with moto() as server:
        text = f'{block("ssm")}api = "{server.endpoint}"\n'
        await flips(opened(text, tmp_path, _aws_variables("FARSHORE_SSM")), WEST, EAST, WEST)
        client: Any = boto3.client(
            "ssm", endpoint_url=server.endpoint, region_name="eu-west-1", **KEYS
        )
        found = client.get_parameter(Name="/app/s3-endpoint")["Parameter"]["Value"]
        client.close()
    assert found == "http://127.0.0.1:8334"


def _aws_variables(name: str) -> dict[str, str]:
    return {f"{name}_ACCESS_KEY_ID": "test", f"{name}_SECRET_ACCESS_KEY": "test"}


@pytest.mark.parametrize("more", ["", 'format = "env"\n'])
async def test_file(tmp_path: Path, more: str) -> None:
    path = tmp_path / "endpoint.json"
    text = replaced(block("file"), ("/etc/app/endpoint.json", str(path)))
    await flips(opened(text + more, tmp_path, {}), WEST, EAST, WEST)
    found = read(path.read_bytes())
    assert (found.site, found.endpoint) == (WEST, "http://127.0.0.1:8334")


async def test_http(tmp_path: Path) -> None:
    """What the daemon says when the record has changed between two looks."""

    async def says(peer: Peer) -> None:
        for site in (EAST, EAST, WEST, WEST):
            request = await peer.request()
            assert request.target == "/v1/endpoint"
            await peer.answer(as_json(Whereabouts("pair", site, "http://127.0.0.1:8334")))

    async with serve(says) as server:
        daemon = f'[daemon]\nlisten = "{HOST}:{server.port}"\n'
        await flips(opened(block("http"), tmp_path, {}, daemon), WEST)


async def test_command(tmp_path: Path) -> None:
    program = tmp_path / "switch-clients"
    program.write_text(block("command", "python"))
    program.chmod(0o755)
    await flips(opened(block("command"), tmp_path, {}), WEST, EAST, WEST)
    assert (tmp_path / "upstream.conf").read_text() == "10.2.0.5:443\n"
    asked = {"values": {EAST: "a"}, "to": EAST, "expect": [["upstream.conf", "another"]]}
    assert await _exit_code(program, "apply", asked) == 3
    assert (tmp_path / "upstream.conf").read_text() == "10.2.0.5:443\n"


async def _exit_code(program: Path, verb: str, asked: object) -> int | None:
    process = await asyncio.create_subprocess_exec(
        str(program), verb, cwd=program.parent, stdin=asyncio.subprocess.PIPE
    )
    await process.communicate(json.dumps(asked).encode())
    return process.returncode
