"""Secrets are looked for in everything that the tests' commands say: here, that one is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

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
