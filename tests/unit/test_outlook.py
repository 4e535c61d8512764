"""What `farshore config check` says of variables that are missing, and of an objective."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.cli import main
from farshore.daemon.outlook import outlook
from tests.unit.sites import TOML, config_of

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""Apprise imports it when a plugin is first used, on Pythons that still have it."""

SQS = (
    '[[feeds]]\nkind = "sqs"\nqueue_url = "https://sqs.eu-west-1.amazonaws.com/1/q"\n'
    'region = "eu-west-1"\ncredentials = { env = "Q" }\n'
)
WEBHOOK = '[[feeds]]\nkind = "webhook"\ntoken = { env = "HOOK" }\n'
NATS = (
    '[[feeds]]\nkind = "nats"\nservers = ["nats://n:4222"]\nstream = "s"\nconsumer = "c"\n'
    'token = { env = "NATS" }\n'
)
NOTIFY = '[[notify]]\nurl = { env = "PAGER" }\nvoice = "loud"\n'
SET = {"HOOK": "t", "NATS": "t", "PAGER": "json://127.0.0.1:1/x"}


def said(more: str, environment: dict[str, str] | None = None) -> list[str]:
    return list(outlook(config_of(TOML + more), SET if environment is None else environment))


@pytest.mark.parametrize(
    ("more", "why", "wanted"),
    [
        ("", "there is no feed, and scans are 5 min 0 s apart", "610 s"),
        (SQS, "may be 2 min 30 s late", "310 s"),
        (NATS, "may be 2 min 0 s late", "250 s"),
        (SQS + WEBHOOK, "may be 1 min 0 s late", "130 s"),
        (SQS + '[daemon]\nscan_every = "1m"\n', "scans are 1 min 0 s apart", "130 s"),
    ],
)
def test_an_objective_that_feeds_and_scans_cannot_meet(more: str, why: str, wanted: str) -> None:
    (sentence,) = said(more)
    assert "objectives.rpo is 60 s" in sentence
    assert why in sentence
    assert f"Set rpo to {wanted} or more" in sentence
    enough = f"[objectives]\nrpo = {wanted.split()[0]}\n"
    assert said(f"{enough}{more}") == []


def test_behind_a_filer_a_minute_is_enough() -> None:
    assert said('[[feeds]]\nkind = "filer"\n') == []


def test_variables_that_are_missing_here() -> None:
    rpo = "[objectives]\nrpo = 3600\n"
    found = said(f"{rpo}{WEBHOOK}{NATS}{NOTIFY}", {})
    assert ["PAGER" in found[0], "HOOK" in found[1], "NATS" in found[2]] == [True] * 3
    assert "[[notify]] is not set. Without it `farshore run` does not start." in found[0]
    assert said(f"{rpo}{WEBHOOK}{NATS}{NOTIFY}") == []
    (wrong,) = said(f"{rpo}{NOTIFY}", {"PAGER": "hunter2"})
    assert "holds no URL that Apprise understands" in wrong
    assert "hunter2" not in wrong


def test_the_command_shows_them_and_is_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAGER", raising=False)
    file = tmp_path / "farshore.toml"
    file.write_text(TOML + NOTIFY)
    assert main.run(["--config", str(file), "config", "check"]) == 0
    told = capsys.readouterr().out
    assert "doubtful The environment variable PAGER of [[notify]] is not set." in told
    assert "doubtful objectives.rpo is 60 s" in told
