"""One pair of keys, and where it comes from. Never shown: not by repr, log or error.

A `CredentialSource` names where keys come from; `resolve` fetches them:

    env       NAME_ACCESS_KEY_ID, NAME_SECRET_ACCESS_KEY, NAME_SESSION_TOKEN (optional)
    profile   a profile of the AWS shared credentials and config files
    command   a program that prints AWS `credential_process` JSON

Source of the JSON's form: the AWS SDK reference, "Process credential provider".
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from farshore.errors import ConfigError

HUNG_AGAIN_S = 30.0
"""A command that hung is not waited for again this soon."""

COMMAND_TIMEOUT_S = 30.0
"""How long a credentials command may take."""

COMMAND_OUTPUT_MAX = 64 * 1024
"""More output than this, in bytes, is not the JSON that we asked for."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of one principal. The secret and the token are left out of `repr`.

    `expires_at`: Unix seconds, None where no end is known.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where one principal's keys come from. `value` is left out of `repr`: a command may
    carry a token among its arguments."""

    kind: Literal["env", "profile", "command"]
    value: str = field(repr=False)

    def label(self) -> str:
        """For messages: what may be shown of this source."""
        if self.kind == "env":
            return f"the environment variables {self.value}_*"
        if self.kind == "profile":
            return f'the AWS profile "{self.value}"'
        return f'the command "{_program(self.value)}"'


def resolve(
    source: CredentialSource,
    *,
    who: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> Credentials:
    """Fetch the keys. `who` is "app at east", for messages; commands run in `folder`.

    `ConfigError` when the keys are not there; no message holds what was read.
    """
    if source.kind == "env":
        return _from_environment(source, who, os.environ if environ is None else environ)
    if source.kind == "profile":
        return _from_profile(source, who)
    return _from_command(source, who, folder, timeout_s)


def _from_environment(
    source: CredentialSource, who: str, environ: Mapping[str, str]
) -> Credentials:
    name = source.value
    wanted = (f"{name}_ACCESS_KEY_ID", f"{name}_SECRET_ACCESS_KEY")
    missing = [w for w in wanted if not environ.get(w)]
    if missing:
        raise ConfigError(
            f"The credentials of {who} are not in the environment: "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            hint=f"Export {' and '.join(missing)}, then run the command again.",
        )
    token = environ.get(f"{name}_SESSION_TOKEN", "")
    return Credentials(environ[wanted[0]], environ[wanted[1]], token)


def _from_profile(source: CredentialSource, who: str) -> Credentials:
    # botocore takes half a second to import: only those who use profiles pay for it.
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        found = Session(profile=source.value).get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise ConfigError(
            f"The credentials of {who} could not be read from {source.label()}: "
            f"{type(error).__name__}.",
            hint=f"Try: aws sts get-caller-identity --profile {shlex.quote(source.value)}",
        ) from None
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        raise ConfigError(
            f"{_capital(source.label())} has no keys for {who}.",
            hint="Look at ~/.aws/credentials and ~/.aws/config, or name another profile.",
        )
    # botocore renews such keys by itself, and tells the time of their end to nobody else.
    end: datetime | None = getattr(found, "_expiry_time", None)
    expires_at = end.timestamp() if end else None
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "", expires_at)


def _from_command(
    source: CredentialSource, who: str, folder: Path, timeout_s: float
) -> Credentials:
    output = _run(source, who, folder, timeout_s)
    problem = "not JSON" if len(output) <= COMMAND_OUTPUT_MAX else "too long"
    try:
        document = json.loads(output) if len(output) <= COMMAND_OUTPUT_MAX else None
        if isinstance(document, dict):
            return _from_process_json(document)
        problem = "not a JSON object" if document is not None else problem
    except _BadDocument as bad:
        problem = str(bad)
    except (ValueError, RecursionError):
        pass
    raise ConfigError(
        f"{_capital(source.label())} gave no usable credentials for {who}: "
        f"its output is {problem}.",
        hint='It must print {"Version": 1, "AccessKeyId": "…", "SecretAccessKey": "…"} '
        'and, for temporary keys, "SessionToken" and "Expiration".',
    )


_hung: dict[tuple[str, Path], float] = {}
"""(command, folder) to when it may be tried again: a site is opened more than once."""


def _run(source: CredentialSource, who: str, folder: Path, timeout_s: float) -> bytes:
    """The command's standard output. What it printed never enters a message."""
    label = _capital(source.label())
    again = f"Run it yourself in {folder} to see what it says."
    late = ConfigError(
        f"{label} for the credentials of {who} did not end within {timeout_s:g} s.", hint=again
    )
    if time.monotonic() < _hung.get((source.value, folder), 0.0):
        raise late
    try:
        ended = _ended(shlex.split(source.value), folder, timeout_s)
    except OSError as error:
        raise ConfigError(
            f"{label} for the credentials of {who} could not be started: {error.strerror}.",
            hint="Commands run without a shell, in the folder of farshore.toml.",
        ) from None
    if ended is None:
        _hung[source.value, folder] = time.monotonic() + HUNG_AGAIN_S
        raise late
    code, output = ended
    if code:
        raise ConfigError(
            f"{label} for the credentials of {who} ended with exit code {code}.",
            hint=again,
        )
    return output


def _ended(words: Sequence[str], folder: Path, seconds_max: float) -> tuple[int, bytes] | None:
    """Exit code and standard output; None for one that does not end in time. One that says too
    much is ended, and its code is 0. No error of `subprocess`: those hold the arguments."""
    end = time.monotonic() + seconds_max
    with subprocess.Popen(
        words,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            output = _output(process, end)
            if output is None or len(output) > COMMAND_OUTPUT_MAX:
                return None if output is None else (0, output)
            return process.wait(max(0.0, end - time.monotonic())), output
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()


def _output(process: subprocess.Popen[bytes], end: float) -> bytes | None:
    """All that it prints, or a little more than the bound; None when that is not over in time."""
    assert process.stdout is not None
    found = bytearray()
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while len(found) <= COMMAND_OUTPUT_MAX:
            if not ready.select(max(0.0, end - time.monotonic())):
                return None
            piece = os.read(process.stdout.fileno(), COMMAND_OUTPUT_MAX)
            if not piece:
                break
            found += piece
    return bytes(found)


class _BadDocument(Exception):
    """What is wrong with the JSON, in words that hold none of it."""


def _from_process_json(document: dict[str, object]) -> Credentials:
    if document.get("Version") != 1:
        raise _BadDocument('without "Version": 1')
    access, secret = document.get("AccessKeyId"), document.get("SecretAccessKey")
    token = document.get("SessionToken") or ""
    if not (isinstance(access, str) and access and isinstance(secret, str) and secret):
        raise _BadDocument('without "AccessKeyId" and "SecretAccessKey"')
    if not isinstance(token, str):
        raise _BadDocument('with a "SessionToken" that is not text')
    return Credentials(access, secret, token, _expires_at(document.get("Expiration")))


def _expires_at(expiration: object) -> float | None:
    if expiration is None:
        return None
    try:
        moment = datetime.fromisoformat(str(expiration))
    except ValueError:
        raise _BadDocument('with an "Expiration" that is not an ISO 8601 time') from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment <= datetime.now(UTC):
        raise _BadDocument("already expired")
    return moment.timestamp()


def _program(command: str) -> str:
    """The first word: arguments may hold tokens and are not shown."""
    words = shlex.split(command)
    return f"{words[0]} …" if len(words) > 1 else words[0]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
