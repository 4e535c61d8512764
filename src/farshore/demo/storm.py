"""The demo's second half: a region dies under load, and the way back home."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from farshore.core.words import counted
from farshore.demo import witness
from farshore.demo.story import BUCKET, FAR, NEAR, Calm, Story, presigned, read_some
from farshore.demo.tree import BIG_KEY
from farshore.demo.workload import PREFIX, Workload
from farshore.errors import LabError
from farshore.lab.regions import Lab
from farshore.lab.state import LabState

WRITES_BEFORE = 60
"""Writes that the app makes before its region dies."""

WRITES_AFTER = 40
"""And after it has moved."""

EXPOSURE_S_MAX = 5.0
"""In step: so little is still to be copied."""

SETTLE_SECONDS_MAX = 60.0
END_SECONDS_MAX = 10.0
_LOOK_S = 0.25

ASKED = ("--by", "the demo", "--approved-by", "the script of the demo")


@dataclass(slots=True)
class Storm:
    """What the second half knows. `runs`: the documents of the runbooks, by verb."""

    lab: Lab
    story: Story
    state: LabState
    workload: Workload
    daemon_pid: int = 0
    killed_at: float = 0.0
    rto_s: float = 0.0
    rpo_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What was measured."""
        return {
            "rto_s": round(self.rto_s, 3),
            "rpo_s": round(self.rpo_s, 3),
            "writes_acknowledged": len(self.workload.acks),
            "writes_not_at_west_after_the_failover": len(self.lost),
            "requests_failed": len(self.workload.refused),
            "runs": self.runs,
        }


@contextmanager
def daemon(folder: Path) -> Iterator[int]:
    """`farshore run` as a process, ended at the end. Its pid."""
    log = folder / "farshore-run.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "farshore", "run"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            yield process.pid
            if process.poll() is not None:
                raise LabError(f"`farshore run` has ended: {log.read_text()[-1000:]}")
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def tell(lab: Lab, story: Story, before: Calm) -> Storm:
    """From the daemon's start until home again; `before` is what the first half left."""
    known = [item for item in before.manifest.living() if item[0] != BIG_KEY]
    storm = Storm(lab, story, before.state, Workload(before.front, BUCKET, known))
    step = story.step
    with daemon(before.state.folder) as storm.daemon_pid:
        step("farshore run keeps west in step", lambda: _in_step(storm))
        with storm.workload.at_work():
            step("an app writes and reads", lambda: _busy(storm))
            step("east dies under load (SIGKILL)", lambda: _kill(storm))
            step("farshore failover --to west", lambda: _failover(storm))
            step("RTO, as the clients saw it", lambda: _rto(storm))
        step("RPO, as the clients saw it", lambda: _rpo(storm))
        step("the app reads from west", lambda: read_some(story, before))
        step("a presigned URL made for west", lambda: presigned(story, before))
        step("east comes back, and is fenced", lambda: _revive(storm))
        step("farshore commit, divergent", lambda: _divergent(storm))
        step("farshore reprotect", lambda: _reprotect(storm, FAR))
        step("farshore verify: west, east", lambda: _verify(storm))
        with storm.workload.at_work():
            step("farshore failback, under load", lambda: _failback(storm))
        step("farshore commit, reprotect", lambda: _committed(storm, NEAR))
    step("witness: boto3, every write of it", lambda: _every_write(storm))
    return storm


# -- before ------------------------------------------------------------------------------


def _in_step(storm: Storm) -> str:
    found = _until_in_step(storm, idle=True)
    how = storm.workload.front.how
    return f"{found['verdict']}, exposure {found['exposure_s']:.1f} s; clients use {how}"


def _until_in_step(storm: Storm, *, idle: bool = False) -> dict[str, Any]:
    """Until the daemon itself says up to when everything is on the other side: its first scan,
    in the direction that counts now. `idle`: and has done with what its feed tells at a first
    start, of all that was written in the last minute."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        found = storm.story.command("status", exits=(0, 3, 4))
        report, exposure = found["report"], found["exposure_s"]
        ours = report is not None and report["daemon"]["pid"] == storm.daemon_pid
        busy = idle and ours and report["backlog"]["count"] > 0
        if ours and not busy and exposure is not None and exposure < EXPOSURE_S_MAX:
            return found
        time.sleep(_LOOK_S)
    raise LabError(f"`farshore run` did not come into step: {found['reasons']}")


def _busy(storm: Storm) -> str:
    work = storm.workload
    work.wait_for(WRITES_BEFORE, SETTLE_SECONDS_MAX)
    _expect_no_failures(storm, "with both sites up")
    return f"{len(work.acks)} writes and {work.reads} reads, {len(work.refused)} failed"


def _expect_no_failures(storm: Storm, when: str) -> None:
    work = storm.workload
    storm.story.object_to([f"a request failed {when}: {one}" for one in work.refused])
    storm.story.object_to([f"{key} was read with other bytes {when}" for key in work.wrong])


# -- the storm ---------------------------------------------------------------------------


def _kill(storm: Storm) -> str:
    storm.lab.kill(NEAR)
    storm.killed_at = time.time()
    try:
        witness.client(storm.state, NEAR, "app").list_objects_v2(Bucket=BUCKET, MaxKeys=1)
    except witness.GONE as error:
        return f"east answers no more ({type(error).__name__})"
    storm.story.object_to(["east still answers after SIGKILL"])
    return "east still answers"


def _failover(storm: Storm) -> str:
    why = ("--why", "east was killed", "--confirm", FAR)
    run = storm.story.command("failover", "--to", FAR, "--writes", "allow", *why, *ASKED)
    storm.runs["failover"] = run
    if run["state"] != "done":
        storm.story.object_to([f"the failover ended as {run['state']}"])
    shown = run["plan"]["shown"]
    return (
        f"approved by {run['approval']['by']}; shown: all up to {_clock(shown['watermark'])} is "
        f"in west; {len(run['steps'])} steps in {_steps_s(run):.1f} s"
    )


def _steps_s(run: dict[str, Any]) -> float:
    """From the first step's beginning to the last one's end."""
    return seconds_between(run["steps"][0]["began_at"], run["steps"][-1]["ended_at"])


def seconds_between(began: str, ended: str) -> float:
    """Of two moments in ISO 8601."""
    return _unix(ended) - _unix(began)


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _clock(moment: str | None) -> str:
    return "a moment that is not known" if moment is None else f"{moment[11:21]} UTC"


def _rto(storm: Storm) -> str:
    work = storm.workload
    first = work.first_after(storm.killed_at, SETTLE_SECONDS_MAX)
    storm.rto_s = first.ended - storm.killed_at
    work.wait_for(WRITES_AFTER, SETTLE_SECONDS_MAX)
    return (
        f"{storm.rto_s:.1f} s from the kill to the first write acknowledged by west; "
        f"{counted(len(work.refused), 'request')} failed meanwhile"
    )


def _rpo(storm: Storm) -> str:
    """Acknowledged by east, and not in west: after the moment that was shown, or an objection."""
    held = _standing(storm, FAR)
    gone = [ack for ack in storm.workload.acks if held.get(ack.key) != ack.md5]
    storm.lost = [ack.key for ack in gone]
    mark = storm.runs["failover"]["plan"]["shown"]["watermark"]
    broken = [ack for ack in gone if mark is not None and ack.ended < _unix(mark)]
    storm.story.object_to([f"{ack.key} was promised to be in west, and is not" for ack in broken])
    storm.rpo_s = max((storm.killed_at - ack.ended for ack in gone), default=0.0)
    written = counted(len(storm.workload.acks), "acknowledged write")
    if not gone:
        return f"0.0 s: all of {written} are in west"
    return f"{storm.rpo_s:.1f} s: {len(gone)} of {written} not in west, as was shown before"


def _standing(storm: Storm, site: str) -> dict[str, str]:
    """Key to ETag of the app's writes at a site, by boto3."""
    pages = witness.client(storm.state, site, "app").get_paginator("list_objects_v2")
    return {
        entry["Key"]: entry["ETag"].strip('"')
        for page in pages.paginate(Bucket=BUCKET, Prefix=PREFIX)
        for entry in page.get("Contents", [])
    }


# -- the way home ------------------------------------------------------------------------


def _revive(storm: Storm) -> str:
    storm.lab.revive(NEAR)
    began, deadline = time.monotonic(), time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        fence = storm.story.command("fence", NEAR, "--show")["recorded"]
        if fence and fence["state"] == "standing":
            return f"after {time.monotonic() - began:.1f} s; {_refused(storm)}"
        time.sleep(_LOOK_S)
    raise LabError(f"east is back and was not fenced: {fence}")


def _refused(storm: Storm) -> str:
    """A write with the app's own keys, straight at the old primary."""
    try:
        witness.client(storm.state, NEAR, "app").put_object(
            Bucket=BUCKET, Key=f"{PREFIX}too-late", Body=b"written to the old primary"
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code != "AccessDenied":
            storm.story.object_to([f"east refused the app's write with {code}"])
        return f"a write with the app's keys is refused: {code}"
    storm.story.object_to(["east took a write of the app's while it was fenced"])
    return "a write with the app's keys is TAKEN"


def _divergent(storm: Storm) -> str:
    """What east alone has is a person's to decide; the demo's script wants all of it."""
    _commit(storm, FAR)
    storm.lost = _still_lost(storm)
    found = storm.story.command("divergent", "list")["count"]
    if found != len(storm.lost):
        storm.story.object_to([f"{found} versions are divergent; {len(storm.lost)} were lost"])
    if not found:
        return "east has nothing that west does not have"
    why = ("--why", "the app was told that they are safe", "--by", "the demo")
    storm.story.command("divergent", "adopt", "--all", *why)
    return f"{counted(found, 'write')} of east's own: shown, kept there, and adopted by west"


def _still_lost(storm: Storm) -> list[str]:
    """Without what was under way when east died, and has arrived in west since."""
    held, lost = _standing(storm, FAR), set(storm.lost)
    gone = [ack for ack in storm.workload.acks if held.get(ack.key) != ack.md5]
    return [ack.key for ack in gone if ack.key in lost]


def _commit(storm: Storm, primary: str) -> None:
    storm.story.command("commit", "--why", f"{primary} stays", "--by", "the demo")
    storm.story.command("reprotect", "--by", "the demo")


def _committed(storm: Storm, primary: str) -> str:
    _commit(storm, primary)
    return _reprotect(storm, primary)


def _reprotect(storm: Storm, primary: str) -> str:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        found = storm.story.command("reprotect", "--by", "the demo")
        if found["phase"] == "protected":
            other = NEAR if primary == FAR else FAR
            return f"{primary} is primary, and copied to {other}: protected, epoch {found['epoch']}"
    raise LabError(f"{primary} was not protected again: {found['proof']['differences'][:3]}")


def _verify(storm: Storm) -> str:
    proof = storm.story.command("verify")
    storm.story.object_to([f"verify: {difference}" for difference in proof["differences"]])
    kept = proof["retained_on_target"]
    only = f"; {kept} versions of before are kept in east" if kept else ""
    return f"{proof['versions']:,} entries, {len(proof['differences'])} differences{only}"


def _failback(storm: Storm) -> str:
    work, already = storm.workload, len(storm.workload.refused)
    work.wait_for(WRITES_AFTER, SETTLE_SECONDS_MAX)
    run = _back(storm)
    work.wait_for(WRITES_AFTER, SETTLE_SECONDS_MAX)
    failed = work.refused[already:]
    if storm.state.front_door:  # without a proxy nothing makes writes wait: the fence refuses them
        storm.story.object_to([f"a request failed in the failback: {one}" for one in failed])
    steps = {one["id"]: one for one in run["steps"]}
    frozen = seconds_between(steps["freeze"]["began_at"], steps["thaw"]["ended_at"])
    became = "waited" if storm.state.front_door else "were refused by the fence"
    count = counted(len(failed), "request")
    return f"writes {became} for {frozen:.1f} s, {count} failed, east is primary"


def _back(storm: Storm) -> dict[str, Any]:
    """The daemon has to have scanned the new direction first: until then it is refused."""
    _until_in_step(storm)
    run = storm.story.command("failback", "--why", "back home", "--confirm", NEAR, *ASKED)
    storm.runs["failback"] = run
    return run


def _every_write(storm: Storm) -> str:
    """What east acknowledged before it died, what west did, what east did again."""
    held = _standing(storm, NEAR)
    acks = storm.workload.acks
    gone = [ack.key for ack in acks if held.get(ack.key) != ack.md5]
    storm.story.object_to([f"{key} was acknowledged, and is not in east" for key in gone])
    return f"{len(acks)} acknowledged writes, {len(gone)} of them missing in east"
