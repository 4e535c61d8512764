"""Where a pair stands: the documents, both sites asked, and the screen."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.cli import main
from farshore.cli.status import document, screen
from farshore.control.checkups import Drills, write_checkup
from farshore.control.documents import write_document
from farshore.control.standing import Standing, snapshot_of, stand
from farshore.control.status import (
    BacklogState,
    DaemonState,
    FeedReport,
    LimitState,
    ProofRecord,
    ScanState,
    StatusDocument,
    StatusReport,
    SweepState,
    moment_text,
    proof_name,
    read_local,
    read_proof,
    status_name,
    write_local,
    write_proof,
)
from farshore.core.checkup import Checkup
from farshore.core.verdict import Verdict, judge
from farshore.errors import Corrupt, StateError, StoreError, Unreachable
from farshore.s3.store import Store
from farshore.testing.store.call import Call
from farshore.testing.store.memory import MemoryStore
from tests.unit.sites import TOML, Faults, ManualClock, config_of, store_of

NOW = 1_777_644_131.4
CONTROL = "farshore-control"
PAIR = "east-west"

REPORT = StatusReport(
    pair=PAIR,
    written_at=NOW - 1,
    daemon=DaemonState("host-a", 42, "0.1.0", NOW - 3600),
    watermark=NOW - 2.5,
    proved_at=NOW - 100,
    basis="feed",
    backlog=BacklogState(3, 4096, NOW - 2.5),
    not_replicated={"EXCLUDED": {"rule": 2}},
    in_flight=2,
    versions_per_s=12.5,
    bytes_per_s=2048.0,
    scan=ScanState(NOW - 100, NOW - 90, 10, 25),
    sweep=SweepState(NOW - 50, 25, 2, 1, 7, trouble="west does not take the source's lock"),
    heartbeat_at=NOW - 2,
    source_answers=True,
    target_answers=True,
    source_offset_s=0.0,
    target_offset_s=0.0,
    feeds={
        "filer east": FeedReport(up=True, hints=3),
        "webhook": FeedReport(
            up=True,
            late_s=60.0,
            hints=2,
            foreign=1,
            unreadable=4,
            requests={"accepted": 2, "denied": 5, "malformed": 4},
            notices={"confirm": 1},
        ),
    },
    feeds_whole=True,
    feeds_late_s=2.0,
)
PROOF = ProofRecord(PAIR, NOW - 7200, NOW - 7100, True, 10, 25, 0, "host-a")


class World:
    """East and west in memory; either can be dead."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW)
        self.config = config_of(TOML, folder / "farshore.toml")
        self.stores: dict[str, MemoryStore] = {
            name: store_of(name, self.clock) for name in ("east", "west")
        }

    async def ready(self) -> World:
        for store in self.stores.values():
            await store.create_bucket(CONTROL)
            await store.put_versioning(CONTROL, True)
        return self

    @property
    def west(self) -> MemoryStore:
        return self.stores["west"]

    def kill(self, site: str) -> None:
        def refuse(call: Call) -> StoreError | None:
            return Unreachable(f"nobody listens at {site}")

        self.stores[site].hook = Faults(refuse)

    def open(self, site: str) -> Store:
        return self.stores[site]

    async def tell(self, report: StatusReport | None, proof: ProofRecord | None = None) -> None:
        if report is not None:
            await StatusDocument(self.west, CONTROL, PAIR).write(report)
        if proof is not None:
            await write_proof(self.west, CONTROL, proof)

    async def stand(self) -> Standing:
        return await stand(self.config, self.clock, self.open)

    async def judged(self) -> tuple[Verdict, str]:
        """The verdict and the screen."""
        standing = await self.stand()
        snapshot = snapshot_of(self.config, standing)
        verdict = judge(snapshot, self.config.objectives)
        return verdict, "\n".join(screen(self.config, standing, snapshot, verdict))


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path).ready()


# -- documents -------------------------------------------------------------------


async def test_the_document_says_all_that_the_report_says(world: World) -> None:
    board = StatusDocument(world.west, CONTROL, PAIR)
    assert await board.read() is None
    await board.write(REPORT)
    read = await board.read()
    assert read is not None
    assert replace(read, watermark=REPORT.watermark) == REPORT
    assert read.watermark == pytest.approx(REPORT.watermark)
    assert read.to_json() == REPORT.to_json()
    assert REPORT.to_json()["watermark"] == "2026-05-01T14:02:08.900Z"


async def test_the_status_leaves_no_trail_of_versions(world: World) -> None:
    board = StatusDocument(world.west, CONTROL, PAIR)
    for second in range(5):
        await board.write(replace(REPORT, written_at=NOW + second))
    again = StatusDocument(world.west, CONTROL, PAIR)
    await again.read()
    await again.write(REPORT)
    held = [h for h in world.west.dump(CONTROL) if h.version.key == status_name(PAIR)]
    assert len(held) == 1


async def test_proofs_are_kept_as_versions(world: World) -> None:
    assert await read_proof(world.west, CONTROL, PAIR) is None
    await write_proof(world.west, CONTROL, replace(PROOF, differences=3))
    await write_proof(world.west, CONTROL, PROOF)
    assert await read_proof(world.west, CONTROL, PAIR) == PROOF
    assert len(world.west.dump(CONTROL)) == 2


async def test_without_a_control_bucket_there_is_nothing_to_read() -> None:
    store = store_of("west", ManualClock())
    assert await StatusDocument(store, CONTROL, PAIR).read() is None
    assert await read_proof(store, CONTROL, PAIR) is None


@pytest.mark.parametrize(
    "change", [{"written_at": "yesterday"}, {"backlog": {"count": "many"}}, {"daemon": None}]
)
async def test_a_damaged_document_is_said(world: World, change: dict[str, Any]) -> None:
    body = {**REPORT.to_json(), **change}
    await write_document(world.west, CONTROL, status_name(PAIR), body)
    with pytest.raises(Corrupt, match=next(iter(change))):
        await StatusDocument(world.west, CONTROL, PAIR).read()
    verdict, text = await world.judged()
    assert verdict.word == "NOT SAFE"
    assert "trouble" in text


def test_what_a_newer_farshore_adds_is_left_out() -> None:
    assert StatusReport.from_json({**REPORT.to_json(), "mood": "calm"}).daemon == REPORT.daemon


@given(st.floats(0, 4e9))
def test_a_moment_is_never_written_too_late(seconds: float) -> None:
    report = replace(REPORT, watermark=seconds)
    read = StatusReport.from_json(report.to_json()).watermark
    assert read is not None
    assert seconds - 0.0011 < read <= seconds + 1e-6


def test_the_local_copy(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert read_local(folder, PAIR) is None
    write_local(folder, REPORT)
    write_local(folder, replace(REPORT, in_flight=7))
    read = read_local(folder, PAIR)
    assert read is not None
    assert read.in_flight == 7
    assert [path.name for path in folder.iterdir()] == [f"status-{PAIR}.json"]
    next(folder.iterdir()).write_text("torn")
    assert read_local(folder, PAIR) is None
    with pytest.raises(StateError, match="cannot be written"):
        write_local(folder / f"status-{PAIR}.json", REPORT)


# -- standing and verdict --------------------------------------------------------


async def test_all_well_is_safe(world: World) -> None:
    await world.tell(REPORT, PROOF)
    verdict, text = await world.judged()
    assert verdict == Verdict("SAFE", ())
    said = "SAFE: east -> west: everything up to 2026-05-01 14:02:08.9 UTC is on west."
    assert text.splitlines()[0] == said
    for fact in (
        "exposure        2.5 s of changes at most (objective: 1 min 0 s)",
        "3 keys, about 4.0 KiB, the oldest for 2.5 s",
        "EXCLUDED 2 (rule 2)",
        "10 keys, 25 versions on the source",
        "bytes and metadata: 0 differences among 25 versions",
        "process 42 on host-a, farshore 0.1.0; reported 1.0 s ago",
    ):
        assert fact in text


async def test_rates_that_hold_now_are_shown_with_their_window(world: World) -> None:
    limits = {"east": LimitState(200, 2**20, "00:00-06:00 UTC"), "west": LimitState()}
    await world.tell(replace(REPORT, limits=limits), PROOF)
    _, text = await world.judged()
    assert "limit           east: 200 requests/s, 1.0 MiB/s (00:00-06:00 UTC)" in text
    assert "west: none" not in text


async def test_nothing_known_is_not_safe_and_says_what_to_do(world: World) -> None:
    verdict, text = await world.judged()
    assert verdict.word == "NOT SAFE"
    assert "what west has is not known" in text
    assert "start `farshore run`" in text


async def test_with_the_source_dead_what_is_on_the_target_is_said(world: World) -> None:
    await world.tell(REPORT, PROOF)
    world.kill("east")
    verdict, text = await world.judged()
    assert verdict.word == "AT RISK"
    assert "14:02:08." in text.splitlines()[0]
    assert text.splitlines()[0].endswith("UTC is on west; after that, unknown.")
    assert "does not answer: east (http://127.0.0.1:8333) cannot be reached" in text


async def test_exposure_rises_while_the_daemon_is_silent(world: World) -> None:
    await world.tell(REPORT, PROOF)
    words = []
    for _ in range(4):
        words.append((await world.judged())[0].word)
        world.clock.time += 20
    assert words == ["SAFE", "SAFE", "AT RISK", "NOT SAFE"]


async def test_with_the_target_dead_this_machine_s_notes_are_shown(world: World) -> None:
    await world.tell(REPORT, PROOF)
    world.kill("west")
    verdict, text = await world.judged()
    assert verdict.word == "NOT SAFE"
    assert "west does not answer" in verdict.reasons[0].text
    assert "no report" in text
    write_local(world.config.state_dir, REPORT)
    verdict, text = await world.judged()
    assert verdict.word == "NOT SAFE"
    assert "by this machine's own notes" in text
    assert "last verify     not known" in text
    assert "never been verified" not in text
    assert "everything up to 2026-05-01 14:02:08." in text


@pytest.mark.parametrize("case", ["west is dead", "west has none", "west has older ones"])
async def test_check_ups_and_drills_are_read_from_whichever_side_has_the_newest(
    world: World, case: str
) -> None:
    pair, drills = world.config.pair, "drills/east.west/"
    body = {"level": "live", "passed": True}
    await write_checkup(world.stores["east"], CONTROL, pair, Checkup(NOW - 20, (), (), 9))
    at = {"ended_at": moment_text(NOW - 10)}
    await write_document(world.stores["east"], CONTROL, f"{drills}2.json", body | at)
    if case == "west has older ones":
        await write_checkup(world.west, CONTROL, pair, Checkup(NOW - 200, (), (), 7))
        at = {"ended_at": moment_text(NOW - 100)}
        await write_document(world.west, CONTROL, f"{drills}1.json", body | at)
    if case == "west is dead":
        world.kill("west")
    standing = await world.stand()
    assert standing.checkup == Checkup(NOW - 20, (), (), 9)
    assert standing.drills == Drills(NOW - 10, any=True)


async def test_a_verify_that_agreed_proves_what_no_daemon_has_said(world: World) -> None:
    await world.tell(None, replace(PROOF, began_at=NOW - 20, finished_at=NOW - 10))
    standing = await world.stand()
    snapshot = snapshot_of(world.config, standing)
    assert snapshot.watermark == pytest.approx(NOW - 20, abs=0.01)
    assert judge(snapshot, world.config.objectives).word == "AT RISK"


async def test_an_empty_scan_is_no_reason_once_a_verify_saw_something(world: World) -> None:
    empty = replace(REPORT, scan=ScanState(NOW - 100, NOW - 90, 0, 0))
    await world.tell(empty, PROOF)
    assert "saw nothing at all" in str((await world.judged())[0].reasons)
    await world.tell(empty, replace(PROOF, began_at=NOW - 50, finished_at=NOW - 40))
    assert (await world.judged())[0].word == "SAFE"


async def test_a_report_of_other_buckets_says_nothing_of_these(world: World) -> None:
    """A file that was changed while the daemon runs, or another pair of the same name."""
    await world.tell(replace(REPORT, scope=world.config.pair.scope), PROOF)
    assert (await world.judged())[0].word == "SAFE"
    await world.tell(replace(REPORT, scope="0" * 16))
    verdict, text = await world.judged()
    assert verdict.word == "NOT SAFE"
    assert "other-scope" in {reason.name for reason in verdict.reasons}
    assert "what west has is not known" not in text, "the verify was of these buckets"
    assert "everything up to 2026-05-01 12:02:11.4 UTC is on west" in text
    await world.tell(None, replace(PROOF, scope="0" * 16))
    verdict, text = await world.judged()
    assert {"nothing-known", "never-verified"} <= {reason.name for reason in verdict.reasons}
    assert "of other buckets or rules" in text


async def test_a_later_report_knows_more_than_a_verify(world: World) -> None:
    await world.tell(replace(REPORT, watermark=NOW - 9000), PROOF)
    standing = await world.stand()
    assert snapshot_of(world.config, standing).watermark == pytest.approx(NOW - 9000, abs=0.01)


async def test_a_verify_with_differences_proves_nothing_and_is_not_safe(world: World) -> None:
    await world.tell(None, replace(PROOF, differences=2, began_at=NOW - 20))
    standing = await world.stand()
    snapshot = snapshot_of(world.config, standing)
    assert snapshot.watermark is None
    assert "found 2 differences" in str(judge(snapshot, world.config.objectives).reasons)


async def test_the_source_s_clock_counts_also_when_it_is_dead(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.stores["east"] = store_of("east", world.clock, skew_seconds=100.0)
    await world.ready()
    await world.tell(replace(REPORT, source_offset_s=100.0, target_offset_s=0.0), PROOF)
    alive = (await world.stand()).now
    world.kill("east")
    dead = (await world.stand()).now
    assert alive == pytest.approx(NOW + 100.0, abs=2.0)
    assert dead == pytest.approx(alive, abs=2.0)
    assert alive >= NOW + 100.0


async def test_the_json_document_has_everything_and_no_number_for_the_unknown(
    world: World,
) -> None:
    standing = await world.stand()
    snapshot = snapshot_of(world.config, standing)
    verdict = judge(snapshot, world.config.objectives)
    body = json.loads(json.dumps(document(world.config, standing, snapshot, verdict)))
    assert body["verdict"] == "NOT SAFE"
    assert (body["watermark"], body["exposure_s"], body["report"]) == (None, None, None)
    assert body["source"]["answers"] is True
    await world.tell(REPORT, PROOF)
    standing = await world.stand()
    snapshot = snapshot_of(world.config, standing)
    body = document(world.config, standing, snapshot, judge(snapshot, world.config.objectives))
    assert body["exposure_s"] == pytest.approx(2.5, abs=0.01)
    assert body["report_age_s"] == pytest.approx(1.0, abs=0.01)
    assert body["last_verify"]["differences"] == 0


# -- the command -----------------------------------------------------------------


@pytest.fixture
def dead_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A configuration whose two endpoints nobody listens at."""
    with closing(socket.socket()) as east, closing(socket.socket()) as west:
        east.bind(("127.0.0.1", 0))
        west.bind(("127.0.0.1", 0))
        text = TOML.replace(":8333", f":{east.getsockname()[1]}")
        text = text.replace(":8334", f":{west.getsockname()[1]}")
        path = tmp_path / "farshore.toml"
        path.write_text(text)
        for name in ("EAST", "WEST"):
            monkeypatch.setenv(f"{name}_ACCESS_KEY_ID", "key")
            monkeypatch.setenv(f"{name}_SECRET_ACCESS_KEY", "secret")
        yield path


def test_with_both_sites_dead_the_command_still_answers(
    dead_pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["--config", str(dead_pair), "status", "--json"]) == 4
    body = json.loads(capsys.readouterr().out)
    assert body["verdict"] == "NOT SAFE"
    assert body["source"]["answers"] is body["target"]["answers"] is False
    assert main.run(["--config", str(dead_pair), "status"]) == 4
    assert capsys.readouterr().out.startswith("NOT SAFE: east -> west: what west has is not known")


def test_watching_as_json_is_refused(dead_pair: Path) -> None:
    assert main.run(["--config", str(dead_pair), "status", "--watch", "--json"]) == 2


def test_watching_goes_on_until_somebody_stops_it(dead_pair: Path) -> None:
    line = [sys.executable, "-m", "farshore", "--config", str(dead_pair), "status", "--watch"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
        assert ran.stdout is not None
        headlines = 0
        for shown in ran.stdout:
            headlines += shown.startswith("NOT SAFE: east -> west")
            if headlines == 2:
                ran.send_signal(signal.SIGINT)
                break
        assert ran.wait(20) == 130


def test_documents_have_their_places() -> None:
    assert (status_name(PAIR), proof_name(PAIR)) == (
        "status/east-west.json",
        "proof/east-west.json",
    )
    assert moment_text(NOW) == "2026-05-01T14:02:11.400Z"
