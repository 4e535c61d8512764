"""Words to a running daemon, on real regions: pause, resume, sync, deletes, limits."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.lab.background import Background
from tests.lab.farshore_cli import Ended, Farshore

STEP_S = 0.05
WAIT_S_MAX = 60.0
QUIET_S = 1.5
"""Six looks of an idle daemon at its journal."""

MORE = """
[daemon]
scan_every = 1
listen = "127.0.0.1:0"
deletes_count = 2
deletes_share = 0.0
"""


def eventually(true: Callable[[], bool], what: str, said: Sequence[str] = ()) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not true():
        assert time.monotonic() < deadline, f"it did not come about: {what}; {list(said)}"
        time.sleep(STEP_S)


class Running(NamedTuple):
    """`farshore run`, and what it says."""

    process: Background
    said: list[str]


@contextmanager
def daemon(farshore: Farshore) -> Iterator[Running]:
    """`farshore run` at work. Killed at the end, as by a power cut."""
    process = farshore.start("run")
    said: list[str] = []
    listener = threading.Thread(target=_listen, args=(process, said))
    listener.start()
    try:
        eventually(lambda: any("replicating" in line for line in said), "it replicates", said)
        local = farshore.state_dir / "status-east-west.json"

        def is_known() -> bool:
            return local.exists() and json.loads(local.read_text())["daemon"]["pid"] == process.pid

        eventually(is_known, "it reports")
        yield Running(process, said)
    finally:
        process.kill()
        process.wait()
        listener.join()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def _listen(process: Background, said: list[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)  # noqa: PERF402  a test reads it meanwhile


def on_target(farshore: Farshore) -> dict[str, int]:
    """Entries of each key."""
    page = farshore.s3("west").list_object_versions(Bucket=farshore.bucket)
    found: dict[str, int] = {}
    for row in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
        found[row["Key"]] = found.get(row["Key"], 0) + 1
    return found


def document(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_pause_resume_and_sync(farshore: Farshore) -> None:
    farshore.configure(more=MORE)
    farshore.put_all({"early/k": [b"one"]})
    alone = farshore.json("sync", "early/")
    assert (alone["by"], alone["differed"], alone["left"]) == ("this command", 1, [])
    assert on_target(farshore) == {"early/k": 1}

    with daemon(farshore) as live:
        farshore.put_all({f"p/{n}": [b"one", b"two"] for n in range(20)})
        asked = farshore.json("sync", "p/", "--bucket", farshore.bucket, "--timeout", "20")
        assert (asked["by"], asked["keys"], asked["ended"]) == ("daemon", 20, "done")
        assert on_target(farshore) == {"early/k": 1, **{f"p/{n}": 2 for n in range(20)}}

        live.process.send_signal(signal.SIGSTOP)
        farshore.put_all({"q/k": [b"one"]})
        late = farshore.run("sync", "q/", "--timeout", "1", "--json")
        assert (late.code, document(late)["ended"], document(late)["waiting"]) == (1, "timeout", 1)
        waits = farshore.start("sync", "q/")
        assert waits.stderr is not None
        assert "1 wait" in waits.stderr.readline(), "it says what it waits for"
        waits.send_signal(signal.SIGINT)
        words = waits.stderr.read()
        assert (waits.wait(WAIT_S_MAX), "interrupted" in words) == (130, True), words
        waits.communicate()
        live.process.send_signal(signal.SIGCONT)
        eventually(lambda: "q/k" in on_target(farshore), "the daemon goes on")

        farshore.json("pause", "--reason", "a test")
        farshore.put_all({"later": [b"one"]})
        refused = farshore.run("sync", "", "--json")
        assert refused.code == 5
        assert "(a test)" in refused.error["message"]
        time.sleep(QUIET_S)
        assert "later" not in on_target(farshore)

    with daemon(farshore) as live:
        eventually(
            lambda: "a test" in document(farshore.run("status", "--json"))["report"]["paused_by"],
            "the status says who paused",
        )
        assert "later" not in on_target(farshore), "a pause outlives the daemon"
        farshore.json("resume")
        eventually(lambda: "later" in on_target(farshore), "it goes on")

        farshore.configure(more=f"{MORE}\n[limits]\nrequests_per_s = 500\n")
        eventually(lambda: any("now 500 requests/s" in line for line in live.said), "the new limit")


def test_held_deletes_are_kept_released_and_discarded(farshore: Farshore) -> None:
    farshore.configure(more=MORE)
    keys = [f"{folder}/{n}" for folder in ("a", "b") for n in range(4)]
    farshore.put_all({key: [b"one"] for key in keys})
    farshore.json("backfill")
    s3 = farshore.s3("east")

    def held() -> int:
        return int(farshore.json("deletes")["count"])

    with daemon(farshore):
        for key in keys:
            s3.delete_object(Bucket=farshore.bucket, Key=key)
        eventually(lambda: held() == 6, "six are held")
        eventually(lambda: sum(on_target(farshore).values()) == len(keys) + 2, "two pass")
        before = on_target(farshore)

    with daemon(farshore):
        time.sleep(QUIET_S)
        assert (held(), on_target(farshore)) == (6, before), "a new daemon holds them too"
        asked = farshore.run("sync", "", "--json")
        assert asked.code == 1
        assert {left["cause"] for left in document(asked)["left"]} == {"DeleteGuard"}

        assert farshore.json("deletes", "discard", "--prefix", "b/", "--yes")["discarded"] > 0
        farshore.json("deletes", "release", "--yes")
        eventually(lambda: farshore.json("backlog", "list")["count"] == 0, "all is decided")
        after = farshore.json("sync", "")
        assert (after["differed"], after["left"]) == (0, [])
    found = on_target(farshore)
    assert all(found[f"a/{n}"] == 2 for n in range(4))
    assert {key for key in found if key.startswith("b/")} == {f"b/{n}" for n in range(4)}
    assert sum(found.values()) < 16, "what was discarded is still there to be read"
