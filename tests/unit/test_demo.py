"""The demo's parts: clients that remember, the front that they come in by, the report."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from farshore.config.load import load
from farshore.config.switches import FileSwitch
from farshore.credentials import Credentials
from farshore.demo import front, report
from farshore.demo.front import Front
from farshore.demo.storm import Storm
from farshore.demo.story import Line, Story
from farshore.demo.workload import Ack, Workload
from farshore.errors import LabError
from farshore.lab import pairfile
from farshore.lab.front_door import VARIABLE
from farshore.lab.regions import Lab
from farshore.lab.state import LabState, SiteState

GOOD = b"as written"
PATIENCE_S = 10.0


class Client:
    """A boto3 client that takes everything, or nothing."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.held: dict[str, bytes] = {}
        self.asked = threading.Event()

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        self.asked.set()
        if self.down:
            raise EndpointConnectionError(endpoint_url="http://east")
        self.held[Key] = Body

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": self}

    def read(self) -> bytes:
        return GOOD


def workload(client: Client) -> Workload:
    return Workload(Front("a fake", lambda: client), "files", [("known", "another MD5")])


def test_what_is_acknowledged_is_remembered_through_both_rounds() -> None:
    client = Client()
    work = workload(client)
    for _ in range(2):
        with work.at_work():
            work.wait_for(5, PATIENCE_S)
    assert len(work.acks) >= 10
    assert {ack.key for ack in work.acks} == client.held.keys()
    assert all(ack.began <= ack.ended for ack in work.acks)
    assert work.refused == []


def test_a_read_with_other_bytes_is_noticed() -> None:
    work = workload(Client())
    with work.at_work():
        work.wait_for(10, PATIENCE_S)
    assert set(work.wrong) == {"known"}
    assert len(work.wrong) == work.reads > 0


def test_refused_requests_are_counted_and_a_halt_is_told() -> None:
    client = Client(down=True)
    work = workload(client)
    with work.at_work():
        assert client.asked.wait(PATIENCE_S)
        with pytest.raises(LabError, match="came to a halt"):
            work.wait_for(1, 0.2)
        with pytest.raises(LabError, match="no client could write"):
            work.first_after(0.0, 0.1)
    assert work.acks == []
    assert "http://east" in work.refused[0]


def test_the_first_write_after_a_moment_is_the_one_that_ended_first() -> None:
    work = workload(Client())
    work.acks = [Ack("a", 1, 9, ""), Ack("b", 5, 8, ""), Ack("c", 6, 7, "")]
    assert work.first_after(4, PATIENCE_S).key == "c"


# -- the front ---------------------------------------------------------------------------


def state_in(folder: Path) -> LabState:
    keys = Credentials("app", "secret")
    principals = dict.fromkeys(("operator", "replicator", "app"), keys)
    sites = tuple(
        SiteState(
            name,
            f"http://127.0.0.1:{n}",
            "",
            f"http://127.0.0.1:{n + 2}",
            f"127.0.0.1:{n + 4}",
            1,
            principals,
        )
        for n, name in enumerate(("east", "west"), 9000)
    )
    return LabState(folder, sites, ("files",), None, None)


def test_without_haproxy_clients_follow_a_file_that_the_switch_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    assert not front.has_haproxy()
    state = state_in(tmp_path)
    pairfile.write(state)
    built = front.build(state)
    assert "farshore.boto3_client" in built.how
    config = load(tmp_path / pairfile.FILE_NAME)
    (driver,) = config.switch.drivers
    assert isinstance(driver, FileSwitch)
    assert driver.path == tmp_path / front.ENDPOINT_FILE
    assert config.daemon.port == 0


# -- the story and its report ------------------------------------------------------------


def test_a_command_that_ends_otherwise_stops_the_story(tmp_path: Path) -> None:
    story = Story(tmp_path, lambda _: None)
    with pytest.raises(LabError, match="`farshore status` ended with 2"):
        story.command("status")
    assert story.command("status", exits=(2,))["error"]["kind"] == "Config"


def test_the_report_has_every_step_and_what_was_measured(tmp_path: Path) -> None:
    story = Story(tmp_path, lambda _: None)
    story.lines.append(Line(1, "two regions", 2.5, "up"))
    story.object_to(["something is odd"])
    storm = Storm(Lab(tmp_path), story, state_in(tmp_path), workload(Client()))
    storm.rto_s, storm.lost = 4.04, ["live/1"]
    text = report.render(story, storm)
    assert "RTO 4.0 s" in text
    assert "| 1 | two regions | 2.5 | up |" in text
    assert "- something is odd" in text
    assert storm.to_json()["writes_not_at_west_after_the_failover"] == 1
