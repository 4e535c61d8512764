"""Roles on real sites: who is not primary is not copied, and every change is in the audit log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial

import pytest

from farshore.clock import SystemClock
from farshore.config.load import load
from farshore.control.audit import entry_name
from farshore.control.ledger import pair_key
from farshore.control.mandate import LOOK_EVERY_S
from farshore.control.record import open_plane
from farshore.core.record import ControlRecord
from farshore.core.roles import Event
from farshore.lab.pairfile import CONTROL_BUCKET
from farshore.lab.regions import Lab
from tests.lab.daemon import Daemon, configure, eventually, settle
from tests.lab.farshore_cli import Farshore
from tests.lab.fences import forget_record

REFUSED = 5
DIFFERENT = 4

STOPS_WITHIN_S = LOOK_EVERY_S + 10.0
"""A look, and what two shared cores may add."""


@pytest.fixture
def pair(farshore: Farshore) -> Iterator[Farshore]:
    """A pair of which nothing is recorded, neither before nor afterwards."""
    configure(farshore)
    forget_record(farshore)
    yield farshore
    for site in ("east", "west"):
        farshore.lab.revive(site)
    forget_record(farshore)


def stepped(record: ControlRecord, event: Event, primary: str) -> ControlRecord:
    return record.stepped(event, primary=primary)


def records(pair: Farshore, *events: tuple[Event, str]) -> ControlRecord:
    """The events, one after the other, each with the primary that it names ("": none)."""

    async def change() -> ControlRecord:
        async with open_plane(load(pair.config), SystemClock()) as plane:
            for event, primary in events:
                decide = partial(stepped, event=event, primary=primary)
                record = await plane.change(decide, by="ann@desk", why="east is gone", action=event)
        return record

    return asyncio.run(change())


def test_a_daemon_stops_when_another_site_becomes_primary(pair: Farshore) -> None:
    pair.put_all({"before": [b"1"]})
    with Daemon(pair) as daemon:
        daemon.until_ready()
        settle(pair)
        record = records(pair, ("give_up", ""), ("flip", "west"))
        assert (record.epoch, record.primary) == (5, "west")
        eventually(
            lambda: any("not the primary" in line for line in daemon.said),
            STOPS_WITHIN_S,
            "the daemon reads who is primary",
        )
        pair.put_all({"after": [b"2"]})
        ended = pair.run("backfill", "--json")
        assert ended.code == REFUSED
        assert "while the pair is switched" in ended.error["message"]
        assert "ann@desk" in ended.error["message"]
        assert [key for key, _, _ in pair.rows("west")] == ["before"]


def test_apply_records_who_is_primary_and_leaves_what_stands(pair: Farshore) -> None:
    """A file that was turned round by mistake copies nothing backwards: the record counts."""
    before = json.loads(pair.run("status", "--json").stdout)
    assert before["roles"]["recorded"] is False
    roles = pair.json("apply", "--yes")["roles"]
    assert (roles["primary"], roles["revision"], roles["agree"]) == ("east", 1, True)
    assert pair.json("apply", "--yes")["roles"]["revision"] == 1
    pair.put_all({"backwards": [b"1"]}, "west")
    text = pair.config.read_text()
    turned = text.replace('source = "east"', 'source = "?"').replace(
        'target = "west"', 'target = "east"'
    )
    pair.config.write_text(turned.replace('source = "?"', 'source = "west"'))
    assert pair.json("backfill")["source"] == "east"
    assert pair.rows("east") == []


def test_the_old_primary_learns_of_the_failover_when_it_comes_back(
    pair: Farshore, lab: Lab
) -> None:
    pair.put_all({"before": [b"1"]})
    lab.kill("east")
    assert records(pair, ("give_up", ""), ("flip", "west")).epoch == 4
    document = pair.json("audit", "list")
    assert list(document["not_read"]) == ["east"]
    assert [entry["action"] for entry in document["entries"]] == ["give_up"] * 2 + ["flip"] * 2
    assert pair.json("audit", "verify")["whole"] is True
    lab.revive("east")
    assert pair.run("backfill").code == REFUSED
    document = pair.json("audit", "list")
    assert document["not_read"] == {}
    assert {tuple(entry["sites"]) for entry in document["entries"]} == {("east", "west")}
    assert pair.run("audit", "verify").stdout.count("all as they were written") == 2


def test_an_audit_entry_that_was_changed_or_taken_out_is_named(pair: Farshore) -> None:
    records(pair, ("freeze", ""), ("thaw", ""))
    west, name = pair.s3("west"), entry_name(pair_key("east", "west"), (2, "east"))
    body = json.loads(west.get_object(Bucket=CONTROL_BUCKET, Key=name)["Body"].read())
    west.put_object(
        Bucket=CONTROL_BUCKET, Key=name, Body=json.dumps({**body, "actor": "nobody"}).encode()
    )
    ended = pair.run("audit", "verify")
    assert ended.code == DIFFERENT
    assert "west: audit entry 2 (numbered by east) was changed" in ended.stdout
    assert "east: 4 entries, all as they were written." in ended.stdout
    west.delete_object(Bucket=CONTROL_BUCKET, Key=name)
    document = json.loads(pair.run("audit", "verify", "--json").stdout)
    assert document["whole"] is False
    assert document["sites"]["west"]["finding"]["kind"] == "missing"
    assert document["sites"]["east"]["finding"] is None
