"""`farshore switch`, `freeze`, `thaw` and `endpoint` on two regions behind HAProxy.

Each test has a pair and a record of its own; the lab and its front door are shared.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from farshore.application.boto import moved
from farshore.faultpoints import PLACES, VARIABLE
from farshore.lab.regions import Lab
from tests.lab.farshore_cli import Ended, Farshore
from tests.lab.runbook_ground import COMMON

SET_PLACES = [name for name in PLACES if name.startswith(("switch.", "haproxy."))]
FREEZE_PLACES = [name for name in PLACES if name.startswith("freeze.")]


class Pair(Farshore):
    """A pair of its own, with the lab's proxy as its switch."""

    def switch(self) -> str:
        """[switch] as the lab's own farshore.toml has it, and a file beside the proxy."""
        whole = (self.lab.folder / "farshore.toml").read_text()
        drivers = whole[whole.index("[[switch.drivers]]") :]
        return f'{drivers}\n[[switch.drivers]]\nkind = "file"\npath = "endpoint.json"\n'

    def set(self, site: str, env: dict[str, str] | None = None) -> Ended:
        return self.run("switch", "set", site, "--why", "a test", "--confirm", site, env=env)

    def show(self) -> dict[str, object]:
        ended = self.run("switch", "show", "--json")
        document: dict[str, object] = json.loads(ended.stdout)
        return {**document, "code": ended.code}


@pytest.fixture
def pair(front: Lab, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, front, COMMON)
    made.configure(name=f"t-{secrets.token_hex(4)}", more=made.switch())
    ended = made.set("east")
    assert ended.code == 0, ended
    yield made
    made.run("thaw")


def test_a_flip_by_hand_is_shown_recorded_and_verified(pair: Pair) -> None:
    plan = pair.json("switch", "plan", "west")
    assert [driver["name"] for driver in plan["drivers"]] == ["haproxy", "file"]
    assert "not the primary" in plan["warnings"][0]
    assert pair.set("west").code == 0
    shown = pair.show()
    assert (shown["code"], shown["state"], shown["site"]) == (0, "settled", "west")
    recorded = shown["recorded"]
    assert isinstance(recorded, dict)
    assert (recorded["active"], recorded["why"], recorded["under_way"]) == ("west", "a test", False)
    assert pair.json("switch", "verify")["verified"]
    where = pair.json("endpoint")
    assert where["endpoint"] == pair.lab.status().site("west").endpoint
    assert json.loads((pair.folder / "endpoint.json").read_text())["site"] == "west"


def test_a_name_that_is_not_the_site_s_changes_nothing(pair: Pair) -> None:
    ended = pair.run("switch", "set", "west", "--why", "x", "--confirm", "wset")
    assert ended.code == 5
    assert "nothing was changed" in ended.stderr
    assert pair.show()["site"] == "east"


def test_without_a_confirmation_nothing_moves(pair: Pair) -> None:
    ended = pair.run("switch", "set", "west", "--why", "x")
    assert ended.code == 2
    assert pair.show()["site"] == "east"


def test_a_site_that_is_none_is_refused(pair: Pair) -> None:
    assert pair.run("switch", "plan", "north").code == 2


@pytest.mark.parametrize("place", SET_PLACES)
def test_killed_anywhere_in_a_flip_show_tells_the_truth_and_the_next_flip_ends_it(
    pair: Pair, place: str
) -> None:
    killed = pair.set("west", env={VARIABLE: place})
    assert killed.code == -signal.SIGKILL, killed
    shown = pair.show()
    recorded = shown["recorded"]
    assert isinstance(recorded, dict)
    if place == "switch.recorded":
        assert (shown["state"], recorded["under_way"]) == ("settled", False)
    else:
        assert recorded["under_way"], "the record says that a flip to west was begun"
        assert recorded["wanted"] == "west"
    if place == "switch.intended":
        assert shown["site"] == "east"
    assert pair.set("west").code == 0
    after = pair.show()
    assert (after["state"], after["site"]) == ("settled", "west")
    assert pair.run("audit", "verify").code == 0


def test_two_operators_at_once_one_wins_or_both_in_turn_and_nobody_is_fooled(pair: Pair) -> None:
    with ThreadPoolExecutor(2) as hands:
        one, other = hands.map(pair.set, ("west", "west"))
    codes = sorted((one.code, other.code))
    assert codes[0] == 0
    assert codes[1] in (0, 5), (one, other)
    if codes[1] == 5:
        loser = one if one.code else other
        assert "was first" in loser.stderr
    assert pair.show()["site"] == "west"


def test_a_proxy_that_is_silent_forbids_the_flip_before_anything_is_changed(pair: Pair) -> None:
    text = pair.config.read_text().replace(
        "[[switch.drivers.proxies]]",
        '[[switch.drivers.proxies]]\nsocket = "127.0.0.1:9"\nmap = "/nowhere/farshore.map"\n'
        "remote = true\n\n[[switch.drivers.proxies]]",
    )
    pair.config.write_text(text)
    ended = pair.set("west")
    assert ended.code == 1, ended
    assert "127.0.0.1:9" in ended.stderr
    shown = pair.show()
    assert (shown["code"], shown["state"]) == (6, "unknown")
    pair.config.write_text(
        text.replace(
            'socket = "127.0.0.1:9"\nmap = "/nowhere/farshore.map"\n'
            "remote = true\n\n[[switch.drivers.proxies]]\n",
            "",
        )
    )
    assert pair.show()["site"] == "east"


def test_a_file_that_somebody_else_changed_stops_a_flip_half_way_and_it_is_said(pair: Pair) -> None:
    (pair.folder / "endpoint.json").write_text('{"endpoint_url": "https://old.example.net"}')
    shown = pair.show()
    assert (shown["code"], shown["state"]) == (6, "foreign")


def test_a_file_that_was_never_written_is_told_as_such_and_made(pair: Pair) -> None:
    (pair.folder / "endpoint.json").unlink(missing_ok=True)
    shown = pair.show()
    assert (shown["code"], shown["state"]) == (3, "unset")
    assert "`farshore switch set east` writes it" in pair.run("switch", "show").stdout
    ended = pair.run("switch", "set", "east", "--why", "at last", "--confirm", "east")
    assert ended.code == 0, ended
    assert (pair.show()["code"], pair.show()["site"]) == (0, "east")
    assert json.loads((pair.folder / "endpoint.json").read_text())["epoch"] >= 1


def test_a_freeze_ends_by_itself_when_the_one_who_asked_is_killed(pair: Pair) -> None:
    for place in FREEZE_PLACES:
        killed = pair.run("freeze", "--why", "x", "--for", "2s", env={VARIABLE: place})
        assert killed.code == -signal.SIGKILL, killed
        app = pair.s3("east", "app")
        app.meta.events.register("before-sign.s3", _through(pair))
        app.put_object(Bucket="files", Key=f"after-{place}", Body=b"x")  # or it gives up, frozen
        frozen = pair.json("switch", "show")
        assert frozen["site"] == "east"


def _through(pair: Pair) -> Callable[..., None]:
    """Requests go by the front door."""
    door = pair.lab.status().front_door
    assert door
    endpoint = door.endpoint

    def by_the_door(request: Any, **_: object) -> None:
        request.url = moved(request.url, request.url.split("/")[2], endpoint)

    return by_the_door


def test_freeze_and_thaw_say_what_they_found(pair: Pair) -> None:
    frozen = pair.json("freeze", "--why", "a look", "--for", "5s")
    assert (frozen["frozen"], frozen["in_flight"]) == ("east", 0)
    assert pair.json("thaw")["was_frozen"]
    assert not pair.json("thaw")["was_frozen"]
    too_long = pair.run("freeze", "--why", "x", "--for", "1h")
    assert too_long.code == 2


def test_both_regions_dead_is_said_and_not_guessed(pair: Pair) -> None:
    for site in ("east", "west"):
        pair.lab.kill(site)
    try:
        ended = pair.run("endpoint")
        assert ended.code == 1
        assert "not known" in ended.stderr
    finally:
        for site in ("east", "west"):
            pair.lab.revive(site)


def test_with_one_region_dead_the_other_s_record_is_enough(pair: Pair) -> None:
    pair.lab.kill("east")
    try:
        assert pair.set("west").code == 0
        assert pair.json("endpoint")["site"] == "west"
    finally:
        pair.lab.revive("east")
