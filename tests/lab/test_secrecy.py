"""Secrets are looked for in everything that the tests' commands say: here, that one is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest

from farshore.lab.pairfile import CONTROL_BUCKET
from tests.lab.daemon import Daemon, configure, eventually
from tests.lab.farshore_cli import SITES, Farshore
from tests.lab.secrecy import (
    require_none,
    require_none_in_bucket,
    require_none_in_files,
    require_none_in_process,
    secrets_of,
    token_of,
)


def test_a_secret_is_found_wherever_it_is(farshore: Farshore, tmp_path: Path) -> None:
    secrets = secrets_of(farshore.lab.folder)
    assert len(secrets) == 7, "the app has one key for both sites, the others have one for each"
    secret = sorted(secrets)[0]
    with pytest.raises(AssertionError, match="1 secrets of the lab in a log") as found:
        require_none(secrets, f"signed with {secret}.", "a log")
    assert secret not in str(found.value)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "cursor").write_text(json.dumps({"key": secret}))
    with pytest.raises(AssertionError, match="cursor"):
        require_none_in_files(secrets, tmp_path / "kept", set())
    name = {"Bucket": farshore.bucket, "Key": "document"}
    farshore.s3("west").put_object(**name, Body=f"x{secret}x".encode())
    with pytest.raises(AssertionError, match="document"):
        require_none_in_bucket(secrets, farshore.s3("west"), farshore.bucket)


def test_a_secret_among_the_arguments_is_found() -> None:
    wait = [sys.executable, "-c", "print(flush=True); input()", "--key=a-secret-word"]
    with subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # Linux shows no arguments for a moment after exec
        with pytest.raises(AssertionError, match="1 secrets of the lab in the arguments"):
            require_none_in_process({"a-secret-word"}, process.pid)
        require_none_in_process({"another-word"}, process.pid)
        process.communicate(b"\n")


@pytest.mark.parametrize("user", ["", "u", "us", "use"])
def test_a_secret_is_found_however_it_is_written(user: str) -> None:
    secret = 'a/long+secret=with"quotes\u00e9'
    basic = b64encode(f"{user}:{secret}".encode()).decode()
    said = [basic, basic.replace("+", "-").replace("/", "_"), quote(secret, safe="")]
    said += [json.dumps({"key": secret}), repr(secret.encode()), secret.encode().hex()]
    for words in said:
        with pytest.raises(AssertionError, match="1 secrets"):
            require_none({secret}, f"it is {words}!", "a log")
    require_none({secret}, b64encode(f"{user}:another long secret".encode()), "a log")


def test_a_command_that_says_one_fails_its_test(farshore: Farshore) -> None:
    secret = sorted(secrets_of(farshore.lab.folder))[0]
    with pytest.raises(AssertionError, match="secrets of the lab in the output of"):
        farshore.run("switch", "set", "--", secret)  # one in 64 begins with a dash


def test_nothing_that_is_left_behind_holds_a_secret(farshore: Farshore) -> None:
    """State folder, control documents and arguments, after a pair's whole day."""
    secrets = secrets_of(farshore.lab.folder)
    configure(farshore)
    farshore.put_all({"a": [b"1", b"2"], "b": [b"1", None]})
    farshore.json("apply", "--yes")
    with Daemon(farshore, alone=True) as daemon:
        daemon.until_ready()
        require_none_in_process(secrets, daemon.process.pid)
        eventually(lambda: daemon.report()["proved_at"] is not None, 60, "a report")
        farshore.run("status")
        farshore.run("verify")
        for path in ("/metrics", "/v1/status", "/v1/endpoint", "/healthz", "/readyz", "/v1/no"):
            daemon.ask(path, token=daemon.token)  # each answer is searched
    farshore.run("doctor")
    farshore.run("drill", "--why", "a test")
    token = token_of(farshore.state_dir)
    assert len(token) == 1
    require_none_in_files(secrets, farshore.state_dir, token)
    mode = os.stat(farshore.state_dir / "api-token").st_mode
    assert mode & 0o077 == 0
    for site in SITES:
        s3 = farshore.s3(site)
        assert require_none_in_bucket(secrets | token, s3, CONTROL_BUCKET) > 2
