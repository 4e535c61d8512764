"""`farshore export haproxy`: every shape of it is taken by HAProxy's own check."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from farshore.cli import main
from farshore.lab.seaweed import Certificates
from farshore.lab.tls import make_certificates
from farshore.switch.export_haproxy import BackSite, FrontDoor, map_text, render
from tests.contract.haproxy_server import is_valid

FILE = """
[sites.east]
endpoint = "http://127.0.0.1:8333"
[sites.east.credentials]
operator = { env = "E" }
replicator = { env = "E" }

[sites.west]
endpoint = "https://s3.west.example.net"
[sites.west.credentials]
operator = { env = "W" }
replicator = { env = "W" }

[pair]
source = "east"
target = "west"
[[pair.buckets]]
source = "files"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "farshore.toml").write_text(FILE)
    (tmp_path / "site.map").write_text(map_text("east"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    made = Certificates.of(tmp_path / "tls")
    make_certificates(made)
    both = tmp_path / "both.pem"
    both.write_text(made.certificate.read_text() + made.key.read_text())
    return made._replace(certificate=both)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main.run(["export", "haproxy", *words]) == 0
    return capsys.readouterr().out


def test_what_is_printed_is_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--map", str(folder / "site.map"), "--socket", str(folder / "api.sock"))
    valid, said = is_valid(text, folder)
    assert valid, said
    for name in ("east-r", "east-w", "west-r", "west-w"):
        assert f"\nbackend {name}\n" in text
    assert "verify required ca-file @system-ca sni str(s3.west.example.net)" in text


def test_with_tls_and_a_private_ca(
    folder: Path, certificates: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--listen", "127.0.0.1:8443", "--tls-cert", str(certificates.certificate)]
    words += ["--ca", str(certificates.ca), "--map", str(folder / "site.map"), "--hold", "0.25"]
    text = printed(capsys, *words, "--socket", "127.0.0.1:9999", "--user", "root")
    valid, said = is_valid(text, folder)
    assert valid, said
    assert f"ca-file {certificates.ca}" in text
    assert "timeout tarpit 250ms" in text
    assert "stats socket ipv4@127.0.0.1:9999 level admin" in text


def test_socket_and_map_are_those_of_the_switch(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = (
        '\n[[switch.drivers]]\nkind = "haproxy"\n'
        'proxies = [{ socket = "/run/one.sock", map = "/etc/one.map" }]\n'
    )
    (folder / "farshore.toml").write_text(FILE + driver)
    found = json.loads(printed(capsys, "--json"))
    assert "stats socket /run/one.sock " in found["configuration"]
    assert "map(/etc/one.map,nowhere)" in found["configuration"]
    assert found["map"] == map_text("east")


def test_the_comment_about_the_map_is_the_map(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = printed(capsys).split("\nglobal\n")[0]
    lines = re.findall(r"^#   ((?:active|frozen-until|retry-after-ms) .*)$", head, re.MULTILINE)
    assert "\n".join(lines) + "\n" == map_text("east")


def test_a_name_that_cannot_be_resolved_keeps_no_proxy_from_starting(tmp_path: Path) -> None:
    (tmp_path / "m").write_text(map_text("east"))
    sites = (BackSite("east", "https://east.invalid"), BackSite("west", "http://[::1]:8333"))
    text = render(FrontDoor(sites, map_path=str(tmp_path / "m"), socket=str(tmp_path / "s")))
    valid, said = is_valid(text, tmp_path)
    assert valid, said
    assert "server west [::1]:8333 check" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--listen", "9000"), "--listen '9000' is not HOST:PORT"),
        (("--listen", "0.0.0.0:0x"), "is not HOST:PORT"),
        (("--socket", "here"), "--socket 'here' is not HOST:PORT"),
        (("--map", "/etc/two words"), "cannot stand in a configuration"),
        (("--tls-cert", 'a"b'), "cannot stand in a configuration"),
        (("--map", "/etc/a\nb"), "cannot stand in a configuration"),
    ],
)
def test_words_that_haproxy_could_not_read_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert main.run(["export", "haproxy", *words]) == 2
    assert said in capsys.readouterr().err


def test_aws_cannot_stand_behind_a_proxy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aws = FILE.replace("s3.west.example.net", "s3.eu-west-1.amazonaws.com")
    (folder / "farshore.toml").write_text(aws)
    assert main.run(["export", "haproxy"]) == 2
    assert "west is AWS S3" in capsys.readouterr().err
