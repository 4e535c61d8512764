"""What the tests of runbooks need: a front door, a pair of its own for each test, clients."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from farshore.config.load import load as load_config
from farshore.config.switches import HaproxySwitch
from farshore.lab.pairfile import CONTROL_BUCKET
from farshore.lab.regions import Lab
from farshore.lab.settings import PERFECT
from farshore.switch.haproxy import HaproxyDriver
from farshore.switch.haproxy_map import ACTIVE, MapFile
from tests.lab.clients import Load, app, load
from tests.lab.daemon import Daemon, eventually
from tests.lab.farshore_cli import SITES, Ended, Farshore
from tests.lab.fences import credentials, impatient_app, policy

BUCKETS = tuple(f"files-{number:02}" for number in range(90))
"""Buckets in which the lab's application may work; a test has one for itself."""

COMMON = "files"
"""One more, for the tests that can share it."""

NOBODY_MADE = "nobody-made-it"
"""A bucket that is not there, and that farshore may use."""

SEEDS = {f"seed/{number}": b"seed %d" % number for number in range(5)}
"""Objects that both sides have from the beginning."""

STEPS = {
    "switchover": (
        "preflight",
        "freeze",
        "drain",
        "catch_up",
        "fence",
        "last_look",
        "flip",
        "open",
        "probe",
        "thaw",
        "front",
    ),
    "failover": ("preflight", "give_up", "fence", "flip", "open", "probe", "thaw", "front"),
}
"""What a run of each runbook is made of, in order."""

LARGE_BYTES = 1 << 20
PAUSE_S = 0.02
"""The clients leave some of the machine to what is tested."""

BUSY_S = 60.0

LOOK_S, LOOKS_MAX = 0.05, 1200

_numbers = itertools.count()


def raise_lab(folder: Path) -> Lab:
    """Two regions behind HAProxy; the caller leaves it."""
    lab = Lab(folder)
    lab.up(buckets=(COMMON, *BUCKETS), granted=(NOBODY_MADE,), front_door=True)
    return lab


class Pair(Farshore):
    """A pair of buckets behind the front door, under a name of its own: nothing was recorded.

    Objects of `SEEDS` are on both sides, clients go to east, nothing is fenced or frozen.
    """

    def __init__(self, folder: Path, lab: Lab, bucket: str) -> None:
        super().__init__(folder, lab, bucket)
        self.renew()

    def renew(self, *, more: str = "") -> None:
        """Begin anew under another name, in the same bucket."""
        self.name = f"pair-{next(_numbers)}"
        door = self.lab.status().front_door
        assert door
        lines = (
            "[daemon]",
            'listen = "127.0.0.1:0"',
            'scan_every = "2s"',
            "deletes_count = 100000",
            "[switch]",
            f'endpoint = "{door.endpoint}"',
            "[[switch.drivers]]",
            'kind = "haproxy"',
            "[[switch.drivers.proxies]]",
            f"socket = {json.dumps(str(door.socket))}",
            f"map = {json.dumps(str(door.map_path))}",
            f'door = "{door.endpoint}"',
            more,
        )
        grpc = {site: {"filer_grpc": self.lab.status().site(site).filer_grpc} for site in SITES}
        self.configure(
            sites=grpc, name=self.name, credentials=credentials(self), more="\n".join(lines)
        )

    # -- clients -----------------------------------------------------------------------

    @property
    def door(self) -> str:
        """The URL that applications use."""
        door = self.lab.status().front_door
        assert door
        return door.endpoint

    @property
    def active(self) -> str:
        """The site that the front door's map names."""
        door = self.lab.status().front_door
        assert door
        (site,) = MapFile(str(door.map_path)).read()[ACTIVE]
        return site

    @contextmanager
    def load(self, writers: int = 3, readers: int = 1, pause_s: float = PAUSE_S) -> Iterator[Load]:
        """Live clients through the front door."""
        state = self.lab.status()
        with load(
            state,
            self.door,
            writers,
            readers,
            f"load-{next(_numbers)}",
            bucket=self.bucket,
            seed="seed/0",
            large=LARGE_BYTES,
            pause_s=pause_s,
        ) as running:
            until_busy(running, 10)
            yield running

    def at_the_door(self) -> Any:
        """A client of the application, as it works: through the front door."""
        return app(self.lab.status(), self.door)

    def may_write(self, site: str) -> bool:
        """Whether the application's write is taken at the site itself; no more than one try."""
        s3 = impatient_app(self, site)
        try:
            s3.put_object(Bucket=self.bucket, Key="canary", Body=b"may it?")
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True

    def write(self, key: str, body: bytes, site: str) -> None:
        """As the application, past the front door."""
        self.s3(site, "app").put_object(Bucket=self.bucket, Key=key, Body=body)

    # -- runs --------------------------------------------------------------------------

    def order(self, *words: str, env: Mapping[str, str] | None = None) -> Ended:
        """A command with its reason."""
        return self.run(*words, "--why", "a test", "--json", env=env)

    def done(self, *words: str) -> dict[str, Any]:
        """The document of a run, or an order, that ended well."""
        ended = self.order(*words)
        assert ended.code == 0, ended
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    def switchover(self, to: str, *more: str) -> dict[str, Any]:
        return self.done("switchover", "--to", to, "--confirm", to, *more)

    def failover(self, to: str, *more: str) -> dict[str, Any]:
        return self.done("failover", "--to", to, "--confirm", to, *more)

    def runs(self) -> list[dict[str, Any]]:
        """All runs, the newest first."""
        found: list[dict[str, Any]] = self.json("runs")["runs"]
        return found

    def record(self, site: str) -> dict[str, Any]:
        """The control record as it stands in a site's control bucket, read by boto3."""
        got = self.s3(site).get_object(Bucket=CONTROL_BUCKET, Key=f"record/{self.name}.json")
        found: dict[str, Any] = json.loads(got["Body"].read())
        return found

    def fence_state(self, site: str, at: str = "west") -> str:
        """What a site's record says of a fence; "" where there is none."""
        found = [f["state"] for f in self.record(at)["fences"] if f["site"] == site]
        return str(found[0]) if found else ""

    def protect_again(self, daemon: Daemon) -> None:
        """reprotect: the daemon turns round by itself; until both sides are proved equal."""
        self.done("reprotect")
        said: list[str] = []

        def proved() -> bool:
            ended = self.order("reprotect")
            assert ended.code in (0, 4), ended
            said[:] = [ended.stdout]
            return bool(json.loads(ended.stdout)["phase"] == "protected")

        try:
            eventually(proved, BUSY_S, "both sides are equal")
        except AssertionError as error:
            error.add_note(f"The last reprotect said {said}\n{daemon.last_words()}")
            raise


def seed(lab: Lab, bucket: str) -> None:
    """Versioning on, and the same objects on both sides."""
    for site in lab.status().sites:
        s3 = app(lab.status(), site.direct_endpoint)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for key, body in SEEDS.items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)


def calm(lab: Lab, bucket: str = "", sites: Sequence[str] = SITES) -> None:
    """These sites up, their links perfect, no fence on the bucket; the front door has found them
    up, is thawed, and sends clients to east."""
    for site in sites:
        lab.revive(site)
        lab.link(site, PERFECT)
    pair = Farshore(lab.folder, lab, bucket)
    for site in sites:
        if bucket and policy(pair, site):
            pair.s3(site, "operator").delete_bucket_policy(Bucket=bucket)
    asyncio.run(_to_east(lab, sites))


async def _to_east(lab: Lab, sites: Sequence[str]) -> None:
    config = load_config(lab.folder / "farshore.toml")
    (source,) = config.switch.drivers
    assert isinstance(source, HaproxySwitch)
    driver = HaproxyDriver(source, ("east", "west"))
    await driver.thaw()
    await driver.apply(await driver.plan("east"))
    for site in sites:
        await until_found(driver, site)


async def until_found(driver: HaproxyDriver, site: str) -> None:
    """Until HAProxy's health checks have found a site up: before that, whoever is sent there is
    answered by the proxy alone."""
    for _ in range(LOOKS_MAX):
        findings = (await driver.plan(site)).findings
        if not findings:
            return
        await asyncio.sleep(LOOK_S)  # the proxy tells nobody
    raise AssertionError(f"the proxy does not find {site}: {findings}")


def until_busy(running: Load, more: int) -> None:
    """Until so many further writes have ended well."""
    wanted = len(running.written) + more
    eventually(lambda: len(running.written) >= wanted, BUSY_S, f"{more} more writes")


def reachable(request: Any) -> bool:
    """Whether a request of boto3's ends well."""
    try:
        request()
    except (BotoCoreError, ClientError):
        return False
    return True
