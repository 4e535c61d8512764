"""Where keys come from, and that nothing ever shows them."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import pytest

from farshore.credentials import Credentials, CredentialSource, resolve
from farshore.errors import ConfigError

ACCESS, SECRET, TOKEN = "AKIDEXAMPLE", "s3cr3t-value", "t0ken-value"


def command(program: str, folder: Path, *arguments: str) -> CredentialSource:
    script = folder / "keys.py"
    script.write_text(program)
    return CredentialSource("command", shlex.join([sys.executable, "keys.py", *arguments]))


def printing(document: object, folder: Path) -> CredentialSource:
    return command(f"print({json.dumps(document)!r})", folder)


def failing(source: CredentialSource, folder: Path, timeout_s: float = 30.0) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(source, who="app at east", folder=folder, environ={}, timeout_s=timeout_s)
    told = f"{caught.value!r} {caught.value} {caught.value.hint} {caught.value.__context__!r}"
    for secret in (ACCESS, SECRET, TOKEN):
        assert secret not in told
    assert "app at east" in told
    return f"{caught.value} {caught.value.hint}"


def test_the_environment(tmp_path: Path) -> None:
    environ = {"X_ACCESS_KEY_ID": ACCESS, "X_SECRET_ACCESS_KEY": SECRET, "X_SESSION_TOKEN": TOKEN}
    source = CredentialSource("env", "X")
    got = resolve(source, who="app at east", folder=tmp_path, environ=environ)
    assert got == Credentials(ACCESS, SECRET, TOKEN)
    del environ["X_SESSION_TOKEN"]
    got = resolve(source, who="app at east", folder=tmp_path, environ=environ)
    assert got.session_token == ""


def test_the_environment_names_what_is_missing(tmp_path: Path) -> None:
    told = failing(CredentialSource("env", "X"), tmp_path)
    assert "X_ACCESS_KEY_ID and X_SECRET_ACCESS_KEY are not set" in told


def test_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[acme]\naws_access_key_id={ACCESS}\naws_secret_access_key={SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    source = CredentialSource("profile", "acme")
    assert resolve(source, who="app at east", folder=tmp_path) == Credentials(ACCESS, SECRET)
    assert "ProfileNotFound" in failing(CredentialSource("profile", "other"), tmp_path)


def test_a_command_runs_in_the_folder(tmp_path: Path) -> None:
    document = {"Version": 1, "AccessKeyId": ACCESS, "SecretAccessKey": SECRET}
    source = printing({**document, "SessionToken": TOKEN}, tmp_path)
    got = resolve(source, who="app at east", folder=tmp_path)
    assert got == Credentials(ACCESS, SECRET, TOKEN)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"AccessKeyId": ACCESS, "SecretAccessKey": SECRET}, 'without "Version": 1'),
        ({"Version": 1, "SecretAccessKey": SECRET}, 'without "AccessKeyId"'),
        (
            {
                "Version": 1,
                "AccessKeyId": ACCESS,
                "SecretAccessKey": SECRET,
                "Expiration": "2001-01-01T00:00:00Z",
            },
            "already expired",
        ),
        ([ACCESS, SECRET], "not a JSON object"),
    ],
)
def test_a_command_that_prints_something_else(document: object, words: str, tmp_path: Path) -> None:
    assert words in failing(printing(document, tmp_path), tmp_path)


def test_output_that_is_no_json_is_not_repeated(tmp_path: Path) -> None:
    assert "not JSON" in failing(command(f"print({SECRET!r})", tmp_path), tmp_path)


def test_a_command_that_fails(tmp_path: Path) -> None:
    program = f"import sys; print({SECRET!r}, file=sys.stderr); sys.exit(3)"
    told = failing(command(program, tmp_path, f"--token={TOKEN}"), tmp_path)
    assert "ended with exit code 3" in told
    assert str(tmp_path) in told


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    assert "could not be started" in failing(CredentialSource("command", "./none x"), tmp_path)


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    for first in ("", "import os; os.close(1); "):  # its output may end before it does
        source = command(
            f"{first}import signal; signal.pause()", tmp_path, f"--token={TOKEN}{first}"
        )
        assert "did not end within 0.3 s" in failing(source, tmp_path, timeout_s=0.3)


def test_a_command_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    """It was listened to for 30 s: gigabytes."""
    source = command("import os\nwhile True: os.write(1, bytes(65536))", tmp_path)
    began = time.monotonic()
    assert "its output is too long" in failing(source, tmp_path)
    assert time.monotonic() - began < 5


def test_nothing_is_shown() -> None:
    keys = Credentials(ACCESS, SECRET, TOKEN)
    source = CredentialSource("command", f"vault read --token {TOKEN}")
    for text in (repr(keys), str(keys), f"{keys}", repr(source), source.label()):
        assert SECRET not in text
        assert TOKEN not in text
    assert source.label() == 'the command "vault …"'
