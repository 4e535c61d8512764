"""Every example of docs/applications.md, run as it is printed, on two real regions.

Only the daemon's port and the name `farshore` on the PATH are this test's own.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from farshore import ReadYourWrites, daemon_watermark
from farshore.lab.regions import Lab
from farshore.lab.state import STATE_FOLDER
from tests.lab.daemon import Daemon, eventually
from tests.lab.farshore_cli import SITES, Farshore
from tests.lab.runbook_ground import COMMON

PAGE = Path(__file__).parents[2] / "docs" / "applications.md"
EXAMPLE = re.compile(r"^## (.+?)$.*?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {title: (language, code) for title, language, code in EXAMPLE.findall(PAGE.read_text())}

SWITCH = '[[switch.drivers]]\nkind = "file"\npath = "endpoint.json"\n'
DAEMON = '[daemon]\nlisten = "127.0.0.1:0"\nscan_every = "2s"\n'

LINES_MAX = 12
"""An example that is longer is read by nobody."""

SECONDS_MAX = 30.0


class Application(Farshore):
    """Somebody else's application, in a folder with an endpoint file and a farshore.toml."""

    daemon_at = "127.0.0.1:9470"

    def written(self, title: str) -> list[str]:
        """The example, as a file beside farshore.toml; the command that runs it."""
        language, code = EXAMPLES[title]
        code = code.replace("127.0.0.1:9470", self.daemon_at)
        path = self.folder / f"example.{language}"
        path.write_text(code)
        return ["sh", "-e", str(path)] if language == "sh" else [sys.executable, str(path)]

    def environment(self) -> dict[str, str]:
        """The application's own keys, as its SDK finds them, and `farshore` on the PATH."""
        keys = self.lab.status().site("east").principals["app"]
        (self.folder / "bin").mkdir(exist_ok=True)
        for name, words in (("farshore", "-m farshore"), ("python3", "")):
            script = self.folder / "bin" / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            script.chmod(0o755)
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def example(self, title: str) -> str:
        """What the example prints."""
        done = subprocess.run(
            self.written(title),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done
        return done.stdout

    def send_to(self, site: str) -> None:
        """A flip by hand."""
        ended = self.run("switch", "set", site, "--why", "a test", "--confirm", site)
        assert ended.code == 0, ended

    def endpoint_of(self, site: str) -> str:
        return self.lab.status().site(site).endpoint

    def has(self, site: str, key: str) -> bool:
        return any(row[0] == key for row in self.rows(site))


@pytest.fixture
def application(front: Lab, tmp_path: Path) -> Application:
    """In the lab whose application has keys for the bucket `files`, the same everywhere."""
    made = Application(tmp_path, front, COMMON)
    keys = front.folder / STATE_FOLDER
    app = {site: {"app": f'{{ command = "cat {keys / site}/app.json" }}'} for site in SITES}
    made.configure(credentials=app, name=f"apps-{secrets.token_hex(4)}", more=f"{SWITCH}\n{DAEMON}")
    made.send_to("east")
    return made


@pytest.fixture
def daemon(application: Application) -> Iterator[Daemon]:
    with Daemon(application) as running:
        application.daemon_at = running.url.removeprefix("http://")
        eventually(lambda: running.ask("/v1/endpoint").code == 200, SECONDS_MAX, "it knows")
        yield running


def test_the_examples_are_short_and_each_has_a_test() -> None:
    assert set(EXAMPLES) == {
        "A boto3 client that follows",
        "Ask, then connect",
        "An env file",
        "Ask the daemon",
        "A presigned URL",
        "Read your writes",
    }
    for title, (_, code) in EXAMPLES.items():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= LINES_MAX, title


@pytest.mark.parametrize("site", SITES)
def test_a_client_that_follows_goes_where_the_file_says(
    application: Application, site: str
) -> None:
    application.send_to(site)
    read, url = application.example("A boto3 client that follows").splitlines()
    assert read == "b'hello'"
    assert url.startswith(application.endpoint_of(site))
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"hello"
    assert application.has(site, "letters/a.txt")


def test_who_asks_is_told_the_active_site(application: Application) -> None:
    application.send_to("west")
    told = application.example("Ask, then connect").split()
    assert told == ["west", application.endpoint_of("west")]
    assert application.has("west", "letters/b.txt")


def test_an_env_file_leads_an_sdk_that_knows_nothing_of_farshore(
    application: Application,
) -> None:
    application.send_to("west")
    (application.folder / "app").write_text(
        "import boto3, os\n"
        "s3 = boto3.client('s3')\n"
        f"s3.put_object(Bucket={application.bucket!r}, Key='by-env', Body=b'x')\n"
        "print(os.environ['FARSHORE_SITE'])\n"
    )
    assert application.example("An env file").strip() == "west"
    assert application.has("west", "by-env")


def test_who_waits_at_the_daemon_is_told_of_a_flip(
    application: Application, daemon: Daemon
) -> None:
    asking = subprocess.Popen(
        application.written("Ask the daemon"),
        cwd=application.folder,
        env=application.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    told: Queue[str] = Queue()

    def listen() -> None:
        assert asking.stdout is not None
        for line in asking.stdout:
            told.put(line.strip())

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert told.get(timeout=SECONDS_MAX) == application.endpoint_of("east")
        application.send_to("west")
        assert told.get(timeout=SECONDS_MAX) == application.endpoint_of("west")
    finally:
        asking.kill()
        listener.join()
        asking.communicate()


def test_presigned_urls_of_the_active_site(application: Application) -> None:
    application.send_to("west")
    assert application.example("A presigned URL") == "hello\n"
    assert application.has("west", "letters/c.txt")
    assert not application.has("east", "letters/c.txt")


def test_a_write_is_read_where_it_was_written_until_the_watermark_has_passed_it(
    application: Application, daemon: Daemon
) -> None:
    assert application.example("Read your writes").strip() == "east b'hello'"


def test_a_written_key_is_read_near_by_once_the_watermark_has_passed(
    application: Application, daemon: Daemon
) -> None:
    """The daemon's own watermark, as an application asks it."""
    s3 = application.s3("east")
    mine = ReadYourWrites("west", daemon_watermark(daemon.url))
    mine.answered("d", "east", s3.put_object(Bucket=application.bucket, Key="d", Body=b"x"))
    eventually(lambda: mine.where("d") == "west", SECONDS_MAX, "the watermark has passed it")
    assert application.has("west", "d")


def test_a_daemon_that_is_down_leaves_a_key_where_it_was_written(application: Application) -> None:
    mine = ReadYourWrites("west", daemon_watermark("http://127.0.0.1:9"))
    mine.wrote("d", "east", 0.0)
    assert mine.where("d") == "east"
