"""Notifications: two voices, once, and again when it is over; delivered by Apprise."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from farshore.config import Voice
from farshore.core.verdict import Reason, Verdict
from farshore.errors import ConfigError
from farshore.watch.notify import (
    HOLD_S,
    OVER_S,
    RETRY_S,
    Bell,
    Channel,
    Message,
    Notifier,
    open_notifier,
)
from tests.unit.http_server import Peer, serve
from tests.unit.sites import TOML, config_of

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""Apprise imports it when a plugin is first used, on Pythons that still have it."""

SAFE = Verdict("SAFE", ())
DOWN = Reason("target-silent", "NOT SAFE", "west does not answer: see to it.")
PAUSED = Reason("paused", "AT RISK", "Paused by anna: go on with `farshore resume`.")


def judged(*reasons: Reason) -> Verdict:
    return Verdict(reasons[0].level, reasons) if reasons else SAFE


def told(bell: Bell, days: list[tuple[float, Verdict]]) -> list[tuple[float, str, str]]:
    """(when, title, body) of all that was told."""
    found = []
    for now, verdict in days:
        message = bell.hear(verdict, now)
        if message is not None:
            found.append((now, message.title, message.body))
            bell.told(message)
    return found


def test_a_trouble_is_told_once_and_again_when_it_is_over() -> None:
    days = [(float(s), judged(DOWN) if s < 300 else SAFE) for s in range(0, 600, 5)]
    bell = Bell("east-west", "loud")
    assert told(bell, days) == [
        (15.0, "farshore east-west: NOT SAFE", DOWN.text),
        (360.0, "farshore east-west: SAFE", f"Over after 5 min 0 s: {DOWN.text}"),
    ]
    assert bell.troubles == {}


def test_numbers_that_change_are_no_news() -> None:
    days = [
        (float(s), judged(Reason("exposure", "NOT SAFE", f"Up to {s} s may be lost: look.")))
        for s in range(60, 600, 5)
    ]
    assert [at for at, _, _ in told(Bell("p", "loud"), days)] == [60 + HOLD_S["NOT SAFE"]]


def test_what_passes_quickly_is_told_to_nobody() -> None:
    days = [(float(s), judged(DOWN) if s % 30 < 15 else SAFE) for s in range(0, 300, 5)]
    assert told(Bell("p", "loud"), days) == []


def test_what_comes_back_at_once_has_not_been_gone() -> None:
    gone = OVER_S - 5
    days = [(float(s), SAFE if 100 <= s < 100 + gone else judged(DOWN)) for s in range(0, 400, 5)]
    assert len(told(Bell("p", "loud"), days)) == 1


@pytest.mark.parametrize(("voice", "hears"), [("loud", False), ("gentle", True)])
def test_the_loud_voice_is_for_what_cannot_wait(voice: Voice, hears: bool) -> None:
    days = [(float(s), judged(PAUSED)) for s in range(0, 600, 5)]
    assert bool(told(Bell("p", voice), days)) is hears


def test_the_gentle_voice_does_not_call_over_what_grew_worse() -> None:
    near = Reason("exposure", "AT RISK", "Near: look.")
    past = Reason("exposure", "NOT SAFE", "Past: look.")
    days = [(float(s), judged(near if s < 200 else past)) for s in range(0, 600, 5)]
    assert [at for at, _, _ in told(Bell("p", "gentle"), days)] == [HOLD_S["AT RISK"]]
    assert [at for at, _, _ in told(Bell("p", "loud"), days)] == [200 + HOLD_S["NOT SAFE"]]


async def test_what_was_not_delivered_is_said_and_tried_again() -> None:
    tries: list[float] = []
    now = 0.0

    async def send(message: Message) -> bool:
        assert message.bad
        tries.append(now)
        return len(tries) > 1

    notifier = Notifier([Channel("$PAGER", Bell("p", "loud"), send)])
    trouble: list[str] = []
    for second in range(0, 200, 5):
        now = float(second)
        trouble += await notifier.tell(judged(DOWN), now)
    hold = HOLD_S["NOT SAFE"]
    assert tries == [hold, hold + RETRY_S]
    assert trouble == ["A loud message could not be delivered to $PAGER."]


# -- Apprise ---------------------------------------------------------------------


class Post(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, PostOffice)
        self.server.received.append({"path": self.path, **json.loads(body)})
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are quiet."""


class PostOffice(HTTPServer):
    """A web hook on loopback."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.received: list[dict[str, Any]] = []


@pytest.fixture
def office() -> Iterator[PostOffice]:
    server = PostOffice()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


CONFIG = (
    TOML
    + """
[[notify]]
url = { env = "PAGER_URL" }
[[notify]]
url = { env = "CHANNEL_URL" }
voice = "gentle"
"""
)


async def test_both_voices_arrive_by_apprise(office: PostOffice) -> None:
    at = f"json://127.0.0.1:{office.server_port}"
    urls = {"PAGER_URL": f"{at}/pager", "CHANNEL_URL": f"{at}/channel"}
    notifier = open_notifier(config_of(CONFIG), urls)
    for second in range(0, 500, 10):
        verdict = judged(DOWN, PAUSED) if second < 200 else SAFE
        assert await notifier.tell(verdict, float(second)) == ()
    found = [(m["path"], m["title"].rpartition(": ")[2], m["type"]) for m in office.received]
    assert [f for f in found if f[0].startswith("/pager")] == [
        ("/pager", "NOT SAFE", "failure"),
        ("/pager", "SAFE", "success"),
    ]
    assert [f for f in found if f[0].startswith("/channel")] == [
        ("/channel", "NOT SAFE", "failure"),
        ("/channel", "NOT SAFE", "failure"),
        ("/channel", "SAFE", "success"),
    ]
    assert DOWN.text in office.received[0]["message"]


async def test_a_dead_receiver_is_told_without_its_url(caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(TOML + '[[notify]]\nurl = { env = "PAGER_URL" }\n')
    notifier = open_notifier(config, {"PAGER_URL": "json://user:hidden@127.0.0.1:1/x"})
    await notifier.tell(judged(DOWN), 0.0)
    (said,) = await notifier.tell(judged(DOWN), 20.0)
    assert said == "A loud message could not be delivered to $PAGER_URL."
    assert caplog.text == ""


async def test_a_receiver_that_redirects_gets_nothing_sent_elsewhere(office: PostOffice) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(
            b"", "307 Temporary", Location=f"http://127.0.0.1:{office.server_port}/elsewhere"
        )

    async with serve(script) as server:
        urls = {"PAGER_URL": f"json://127.0.0.1:{server.port}/?%2BX-Token=hidden"}
        config = config_of(TOML + '[[notify]]\nurl = { env = "PAGER_URL" }\n')
        notifier = open_notifier(config, urls)
        await notifier.tell(judged(DOWN), 0.0)
        said = await notifier.tell(judged(DOWN), 20.0)
    assert office.received == []
    assert said == ("A loud message could not be delivered to $PAGER_URL.",)


@pytest.mark.parametrize("scheme", ["jsons", "slack", "mailtos"])
def test_a_url_that_trusts_everybody_is_refused(scheme: str) -> None:
    rest = {"slack": "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23c"}.get(
        scheme, "u:p@h.example"
    )
    with pytest.raises(ConfigError, match="verify=no"):
        open_notifier(config_of(CONFIG), {"PAGER_URL": f"{scheme}://{rest}?verify=no"})


@pytest.mark.parametrize("url", ["", "nonsense", "nosuch://hidden-token"])
def test_a_url_that_cannot_be_used_is_refused_and_not_repeated(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="PAGER_URL") as caught:
        open_notifier(config_of(CONFIG), {"PAGER_URL": url} if url else {})
    assert "hidden-token" not in str(caught.value) + caught.value.hint + caplog.text
