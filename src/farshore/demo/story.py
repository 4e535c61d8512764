"""The demo's steps, in order. Each one is a command that a user could type, or a witness."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from farshore.demo import witness
from farshore.demo.front import Front, build, has_haproxy
from farshore.demo.tree import BIG_KEY, Manifest, write
from farshore.errors import LabError
from farshore.lab.regions import Lab
from farshore.lab.state import LabState

NEAR, FAR, BUCKET = "east", "west", "files"
COMMAND_SECONDS_MAX = 300
READS = 50
"""Files that are read from the far side once the near one is dead."""

Say = Callable[[str], None]


class Line(NamedTuple):
    """One step as it was told."""

    number: int
    name: str
    seconds: float
    outcome: str


@dataclass(slots=True)
class Story:
    """What has happened so far. `objections` must stay empty."""

    folder: Path
    say: Say
    lines: list[Line] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)

    def step(self, name: str, act: Callable[[], str]) -> None:
        """Do one thing, and say in one line what came of it and how long it took."""
        began = time.monotonic()
        outcome = act()
        line = Line(len(self.lines) + 1, name, time.monotonic() - began, outcome)
        self.lines.append(line)
        self.say(f"{line.number:>2}. {line.name:<35} {line.seconds:5.1f} s  {line.outcome}")

    def command(self, *words: str, exits: tuple[int, ...] = (0, 4)) -> dict[str, Any]:
        """Run `farshore WORDS --json` in the demo's folder; differences (4) are an answer."""
        done = subprocess.run(
            [sys.executable, "-m", "farshore", *words, "--json"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if done.returncode not in exits:
            raise LabError(
                f"`farshore {' '.join(words)}` ended with {done.returncode}: "
                f"{(done.stdout or done.stderr).strip()[-1000:]}"
            )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def object_to(self, claims: list[str]) -> None:
        """Keep what a check found wrong."""
        self.objections += claims


@dataclass(frozen=True, slots=True)
class Calm:
    """What the first half leaves: the lab, and what was written into it."""

    state: LabState
    manifest: Manifest
    front: Front


def tell(lab: Lab, story: Story) -> Calm:
    """The first half, on a lab that is not up yet. The caller ends the lab.

    The story's `objections` are empty when every check agreed.
    """
    state: list[LabState] = []
    fronts: list[Front] = []
    manifest: list[Manifest] = []

    story.step("two regions and a front door", lambda: _start(lab, state, fronts))
    story.step("the app writes a tree into east", lambda: _write(state[0], manifest))
    story.step("farshore apply", lambda: _apply(story, state[0]))
    story.step("farshore backfill", lambda: _backfill(story, manifest[0]))
    story.step("farshore verify --deep", lambda: _verify(story))
    story.step("witness: a plain boto3 walk of west", lambda: _walk(story, state[0], manifest[0]))
    story.step("witness: rclone check east west", lambda: _rclone(story, state[0], manifest[0]))
    return Calm(state[0], manifest[0], fronts[0])


def _start(lab: Lab, state: list[LabState], fronts: list[Front]) -> str:
    door = has_haproxy()
    state.append(lab.up(sites=(NEAR, FAR), buckets=(BUCKET,), front_door=door))
    fronts.append(build(state[0]))
    operator = witness.client(state[0], NEAR, "operator")
    operator.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    sites = [f"{site.name} {site.endpoint}" for site in state[0].sites]
    return ", ".join([*sites, fronts[0].how])


def _write(state: LabState, manifest: list[Manifest]) -> str:
    manifest.append(write(witness.client(state, NEAR, "app"), BUCKET))
    tree = manifest[0]
    return (
        f"{len(tree.histories):,} keys, {tree.versions:,} versions, {tree.markers} deletes, "
        f"{tree.bytes / 2**20:.0f} MiB"
    )


def _apply(story: Story, state: LabState) -> str:
    story.command("apply", "--yes")
    again = story.command("apply", "--yes")
    if again.get("changes"):
        story.object_to([f"a second apply still wants to change {again['changes']}"])
    if state.front_door is None:  # the file that clients read must be there before they are
        why = ("--why", "clients begin at east", "--confirm", NEAR)
        story.command("switch", "set", NEAR, *why)
    return "versioning on, control buckets made, rights proved, listings probed; again: nothing"


def _backfill(story: Story, manifest: Manifest) -> str:
    done = story.command("backfill")
    if done["not_copied"]:
        story.object_to([f"backfill left versions out: {done['not_copied']}"])
    if (done["copied"], done["delete_markers"]) != (manifest.versions, manifest.markers):
        story.object_to(
            [
                f"backfill copied {done['copied']} versions and {done['delete_markers']} delete "
                f"markers; written were {manifest.versions} and {manifest.markers}"
            ]
        )
    rate = (done["copied"] + done["delete_markers"]) / done["seconds"]
    return (
        f"{done['copied']:,} versions and {done['delete_markers']} delete markers, "
        f"{done['copied_bytes'] / 2**20:.0f} MiB, {rate:,.0f}/s"
    )


def _verify(story: Story) -> str:
    proof = story.command("verify", "--deep")
    story.object_to([f"verify: {difference}" for difference in proof["differences"]])
    return (
        f"{proof['versions']:,} entries listed, {proof['bytes_read'] / 2**20:.0f} MiB read, "
        f"{len(proof['differences'])} differences"
    )


def _walk(story: Story, state: LabState, manifest: Manifest) -> str:
    testimony = witness.walk(witness.client(state, FAR, "app"), BUCKET, manifest)
    story.object_to([f"boto3: {objection}" for objection in testimony.objections])
    return f"{testimony.checked:,} entries examined, {len(testimony.objections)} objections"


def _rclone(story: Story, state: LabState, manifest: Manifest) -> str:
    """To rclone a key that ends with a slash is a directory: it does not count those."""
    testimony = witness.rclone_check(state, NEAR, FAR, BUCKET)
    story.object_to([f"rclone: {objection}" for objection in testimony.objections])
    files = sum(not key.endswith("/") for key, _ in manifest.living())
    if testimony.checked != files:
        story.object_to([f"rclone compared {testimony.checked} files, {files} were written"])
    return f"{testimony.checked:,} current files match, {len(testimony.objections)} objections"


def read_some(story: Story, calm: Calm) -> str:
    """The app reads what it wrote, from the far side alone."""
    far = witness.client(calm.state, FAR, "app")
    living = [item for item in calm.manifest.living() if item[0] != BIG_KEY]
    chosen = living[:: max(1, len(living) // READS)][:READS]
    for key, digest in chosen:
        body = far.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        if _md5(body) != digest:
            story.object_to([f"{key!r} read from west has other bytes than were written"])
    return f"{len(chosen)} files read with the app's own keys, bytes as written"


def presigned(story: Story, calm: Calm) -> str:
    """A client that knows nothing but a URL."""
    key, digest = next(calm.manifest.living())
    url = story.command("presign", "get", key, "--site", FAR)["url"]
    with urllib.request.urlopen(url, timeout=10) as answer:
        body = answer.read()
    if _md5(body) != digest:
        story.object_to([f"{key!r} by presigned URL has other bytes than were written"])
    return f"GET {key} → {len(body):,} bytes, as written"


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
