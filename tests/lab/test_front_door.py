"""Two regions behind HAProxy: S3 passes unchanged, and a flip under load fails nobody."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import ssl
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from farshore.clock import SystemClock
from farshore.config.load import load as load_config
from farshore.config.switches import HaproxySwitch
from farshore.errors import LabError, UsageError
from farshore.lab.front_door import VARIABLE
from farshore.lab.odd_keys import ODD_KEYS
from farshore.lab.regions import Lab
from farshore.lab.state import LabState
from farshore.switch.freezing import drain, freeze, thaw
from farshore.switch.haproxy import HaproxyDriver
from tests.debian import server
from tests.lab.clients import BUCKET, SEED, Load, app, load
from tests.lab.runbook_ground import until_found

EAST, WEST = "east", "west"
DIRECT = "direct"
"""A bucket that is reached past the front door, to compare with."""

PART_BYTES = 5 * 1024 * 1024
FREEZE_S = 5.5
"""Clients of boto3 give up after some eight seconds."""

LOOK_S = 0.02
LOOKS_MAX = 1500


@pytest.fixture(scope="module", params=[False, True], ids=["http", "https"])
def fronted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """Two versioned regions behind HAProxy, and one object that both have."""
    with pytest.MonkeyPatch.context() as patch, Lab(tmp_path_factory.mktemp("door")) as lab:
        patch.setenv(VARIABLE, server("haproxy"))
        state = lab.up(tls=request.param, buckets=(BUCKET, DIRECT), front_door=True)
        for site in state.sites:
            client = app(state, site.endpoint)
            for bucket in (BUCKET, DIRECT):
                client.put_bucket_versioning(
                    Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
                )
            client.put_object(Bucket=BUCKET, Key=SEED, Body=b"seed")
        yield lab


@pytest.fixture
async def driver(fronted: Lab) -> HaproxyDriver:
    """The driver of the lab's own farshore.toml, thawed and at east."""
    config = load_config(fronted.folder / "farshore.toml")
    (source,) = config.switch.drivers
    assert isinstance(source, HaproxySwitch)
    made = HaproxyDriver(source, (EAST, WEST))
    await made.thaw()
    await flip(made, EAST)
    return made


async def flip(driver: HaproxyDriver, to: str) -> None:
    await driver.apply(await driver.plan(to))


def door_of(lab: Lab) -> str:
    door = lab.status().front_door
    assert door
    return door.endpoint


def trust(state: LabState) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=state.ca_file)


def fetched(state: LabState, url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    asked = urllib.request.Request(url, data=body, method=method)
    with urllib.request.urlopen(asked, context=trust(state), timeout=30) as answer:
        read: bytes = answer.read()
    return read


# -- unchanged ---------------------------------------------------------------------------


def tried(client: Any, bucket: str, key: str) -> tuple[str, ...]:
    """What becomes of a key: its ETag and body, or how each request is refused."""
    return (
        outcome(lambda: client.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"]),
        outcome(lambda: client.get_object(Bucket=bucket, Key=key)["Body"].read().decode()),
        outcome(lambda: str(client.head_object(Bucket=bucket, Key=key)["ContentLength"])),
    )


def outcome(request: Any) -> str:
    try:
        return str(request())
    except ClientError as error:
        return f"refused: {error.response['Error']['Code']}"


def listed(client: Any, bucket: str) -> set[str]:
    """Every name that one page shows; odd keys are few."""
    found = client.list_objects_v2(Bucket=bucket).get("Contents", ())
    return {entry["Key"] for entry in found} - {SEED}


async def test_odd_keys_are_the_same_through_the_door(fronted: Lab, driver: HaproxyDriver) -> None:
    state = fronted.status()
    through = app(state, door_of(fronted))
    past = app(state, state.site(EAST).endpoint)
    for odd in ODD_KEYS:
        assert tried(through, BUCKET, odd.key) == tried(past, DIRECT, odd.key), odd
    names = listed(past, BUCKET)
    assert names == listed(through, BUCKET) == listed(past, DIRECT)
    assert len(names) > len(ODD_KEYS) / 2
    in_xml = {name for name in names if name.isprintable()}
    gone = through.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": n} for n in in_xml]})
    assert "Errors" not in gone
    assert len(gone["Deleted"]) == len(in_xml) > len(names) / 2
    assert listed(past, BUCKET) == names - in_xml


async def test_a_presigned_url_works_before_and_after_a_flip(
    fronted: Lab, driver: HaproxyDriver
) -> None:
    state = fronted.status()
    client = app(state, door_of(fronted))
    key = "presigned ü+%&=/x"
    put, get = (
        client.generate_presigned_url(name, Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=300)
        for name in ("put_object", "get_object")
    )
    for site in (EAST, WEST):
        await flip(driver, site)
        await asyncio.to_thread(fetched, state, put, "PUT", site.encode())
        assert await asyncio.to_thread(fetched, state, get) == site.encode()
    for site in (EAST, WEST):
        past = app(state, state.site(site).endpoint)
        assert past.get_object(Bucket=BUCKET, Key=key)["Body"].read() == site.encode()


async def test_multipart_ranges_metadata_and_conditions(
    fronted: Lab, driver: HaproxyDriver
) -> None:
    state = fronted.status()
    client = app(state, door_of(fronted))
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="large", Metadata={"a": "b c"})
    names = {"Bucket": BUCKET, "Key": "large", "UploadId": upload["UploadId"]}
    bodies = [os.urandom(PART_BYTES), os.urandom(PART_BYTES // 5)]
    parts = [
        {"PartNumber": n, "ETag": client.upload_part(**names, PartNumber=n, Body=body)["ETag"]}
        for n, body in enumerate(bodies, 1)
    ]
    client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    found = client.get_object(Bucket=BUCKET, Key="large")
    assert found["Body"].read() == b"".join(bodies)
    assert found["Metadata"] == {"a": "b c"}
    tail = client.get_object(Bucket=BUCKET, Key="large", Range="bytes=-7")
    assert tail["Body"].read() == bodies[1][-7:]
    again = outcome(
        lambda: client.put_object(Bucket=BUCKET, Key="large", Body=b"", IfNoneMatch="*")
    )
    assert again == "refused: PreconditionFailed"


# -- under load --------------------------------------------------------------------------


async def landed(lab: Lab, name: str) -> dict[str, set[str]]:
    """The keys of a load that each site has, read past the door."""
    state = lab.status()
    found = {}
    for site in state.sites:
        pages = app(state, site.endpoint).get_paginator("list_objects_v2")
        entries = pages.paginate(Bucket=BUCKET, Prefix=name)
        found[site.name] = {e["Key"] for page in entries for e in page.get("Contents", ())}
    return found


async def until_busy(running: Load, more: int) -> None:
    """Until so many further writes and reads have ended well."""
    wanted = len(running.written) + more, len(running.read) + more
    for _ in range(LOOKS_MAX):
        if len(running.written) >= wanted[0] and len(running.read) >= wanted[1]:
            return
        await asyncio.sleep(LOOK_S)  # the clients are threads: there is no event to wait for
    raise AssertionError(f"the clients came to a halt: {running.failed[:3]}")


async def test_flips_under_load_fail_nobody(fronted: Lab, driver: HaproxyDriver) -> None:
    with load(fronted.status(), door_of(fronted), 4, 2, "flips") as running:
        for site in (WEST, EAST, WEST, EAST, WEST):
            await until_busy(running, 20)
            await flip(driver, site)
            assert (await driver.current()).shows(site)
        await until_busy(running, 20)
    assert running.failed == []
    found = await landed(fronted, "flips")
    assert {span.key for span in running.written} == found[EAST] | found[WEST]
    assert found[EAST]
    assert found[WEST]


async def test_a_freeze_below_eight_seconds_fails_nobody(
    fronted: Lab, driver: HaproxyDriver
) -> None:
    """freeze, drain, flip, thaw: no write lands at the old site after the drain."""
    with load(fronted.status(), door_of(fronted), 4, 2, "freeze") as running:
        await until_busy(running, 20)
        await freeze([driver], time.time() + 60)
        drained = await drain([driver], EAST, time.time() + 5, SystemClock())
        empty = time.time()
        before = await landed(fronted, "freeze")
        reads = len(running.read)
        await asyncio.sleep(FREEZE_S)  # the clients must bear it, and a slow moment besides
        await flip(driver, WEST)
        assert await landed(fronted, "freeze") == before
        thawing = time.time()
        await thaw([driver])
        await until_busy(running, 20)
    assert drained.is_empty
    assert running.failed == []
    assert len(running.read) > reads + 20
    assert not [span for span in running.written if empty < span.began and span.ended < thawing]
    after = await landed(fronted, "freeze")
    assert after[EAST] == before[EAST]
    assert {span.key for span in running.written} == after[EAST] | after[WEST]


async def test_a_reload_under_load_fails_nobody_and_keeps_the_side(
    fronted: Lab, driver: HaproxyDriver
) -> None:
    state = fronted.status()
    assert state.front_door
    assert state.front_door.pid
    await flip(driver, WEST)
    with load(state, door_of(fronted), 2, 2, "reload") as running:
        for _ in range(3):
            await until_busy(running, 20)
            os.kill(state.front_door.pid, signal.SIGUSR2)
        await until_busy(running, 50)
    assert running.failed == []
    assert (await driver.current()).shows(WEST)
    assert (await landed(fronted, "reload"))[EAST] == set()


# -- writes in flight --------------------------------------------------------------------


class SlowWrite:
    """A PUT whose head and first half are sent, and whose second half waits."""

    def __init__(self, lab: Lab, key: str) -> None:
        state = lab.status()
        names = {"Bucket": BUCKET, "Key": key}
        url = app(state, door_of(lab)).generate_presigned_url("put_object", names, ExpiresIn=300)
        parts = urlsplit(url)
        self._body = os.urandom(256 * 1024)
        self._connection = (
            http.client.HTTPSConnection(parts.netloc, timeout=30, context=trust(state))
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.netloc, timeout=30)
        )
        self._connection.putrequest("PUT", f"{parts.path}?{parts.query}")
        self._connection.putheader("content-length", str(len(self._body)))
        self._connection.endheaders()
        self._connection.send(self._body[: len(self._body) // 2])

    def ended_badly(self) -> bool:
        """Whether it is refused, or its connection gone."""
        try:
            return self.finish() >= 500
        except (OSError, http.client.HTTPException):
            return True

    def finish(self) -> int:
        """The status; `OSError` or `HTTPException` when the connection was cut."""
        try:
            self._connection.send(self._body[len(self._body) // 2 :])
            return self._connection.getresponse().status
        finally:
            self._connection.close()


async def in_flight(driver: HaproxyDriver, site: str, wanted: int) -> None:
    for _ in range(LOOKS_MAX):
        if await driver.writes_in_flight(site) == wanted:
            return
        await asyncio.sleep(LOOK_S)  # the proxy tells nobody
    raise AssertionError(f"there never were {wanted} writes in flight")


async def test_a_drain_waits_for_the_write_in_flight(fronted: Lab, driver: HaproxyDriver) -> None:
    slow = await asyncio.to_thread(SlowWrite, fronted, "slow")
    await in_flight(driver, EAST, 1)
    assert await driver.writes_in_flight(WEST) == 0
    await freeze([driver], time.time() + 60)
    short = await drain([driver], EAST, time.time() + 0.2, SystemClock())
    assert (short.at_first, short.left) == (1, 1)
    waiting = asyncio.create_task(drain([driver], EAST, time.time() + 30, SystemClock()))
    assert await asyncio.to_thread(slow.finish) == 200
    assert (await waiting).is_empty
    await thaw([driver])


async def test_cut_writes_are_gone(fronted: Lab, driver: HaproxyDriver) -> None:
    slow = await asyncio.to_thread(SlowWrite, fronted, "cut")
    await in_flight(driver, EAST, 1)
    await freeze([driver], time.time() + 60)
    assert await driver.cut_writes(EAST) == 1
    await in_flight(driver, EAST, 0)
    assert await asyncio.to_thread(slow.ended_badly)
    await thaw([driver])
    state = fronted.status()
    past = app(state, state.site(EAST).endpoint)
    assert outcome(lambda: past.head_object(Bucket=BUCKET, Key="cut")) == "refused: 404"


# -- a dead site, and the lab itself -----------------------------------------------------


async def test_a_dead_site_is_left_by_a_flip(fronted: Lab, driver: HaproxyDriver) -> None:
    state = fronted.status()
    client = app(state, door_of(fronted))
    fronted.kill(EAST)
    await flip(driver, WEST)
    assert client.get_object(Bucket=BUCKET, Key=SEED)["Body"].read() == b"seed"
    fronted.revive(EAST)
    await until_found(driver, EAST)
    await flip(driver, EAST)
    assert client.get_object(Bucket=BUCKET, Key=SEED)["Body"].read() == b"seed"


def test_up_with_a_front_door_is_the_same_lab_again(fronted: Lab) -> None:
    before = fronted.status()
    assert fronted.up(front_door=True) == before
    assert fronted.up() == before
    with pytest.raises(LabError, match="another shape"):
        fronted.up(front_door=False)


def test_a_missing_haproxy_is_said_before_anything_starts(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    lab = Lab(tmp_path / "lab")
    with pytest.raises(LabError, match="is no program") as caught:
        lab.up(front_door=True)
    assert "apt-get install haproxy" in caught.value.hint
    assert not lab.is_up()
    with pytest.raises(UsageError, match="two sites"):
        lab.up(("east",), front_door=True)


def test_down_ends_the_front_door_and_keeps_the_side(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, server("haproxy"))
    with Lab(tmp_path) as lab:
        door = lab.up(front_door=True).front_door
        assert door
        assert door.pid
        door.map_path.write_text("active west\n")
        lab.down(keep_data=True)
        assert not os.path.exists(f"/proc/{door.pid}/fd/0")
        again = lab.up(front_door=True).front_door
        assert again
        assert again.map_path.read_text() == "active west\n"
    assert list(tmp_path.iterdir()) == []
