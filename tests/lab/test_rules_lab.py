"""A rule is taken away while its deletes wait: they are cancelled, and shown."""

from __future__ import annotations

import re
from typing import Any

from tests.lab.daemon import Daemon, configure, eventually, settle, shape
from tests.lab.farshore_cli import Farshore

AFTER = '[[pair.rules]]\ndelete_markers = "after 1h"'
NEVER = '[[pair.rules]]\ndelete_markers = "never"'
ELSEWHERE = '[[pair.rules]]\nprefix = "elsewhere/"'


def causes(farshore: Farshore) -> list[tuple[str, str]]:
    rows: list[dict[str, Any]] = farshore.json("backlog", "list")["rows"]
    return sorted((row["key"], row["cause"]) for row in rows)


def cancelled(daemon: Daemon) -> list[str]:
    return sorted(row["key"] for row in daemon.report()["cancelled"]["latest"])


def test_deletes_that_wait_are_cancelled_with_their_rule(farshore: Farshore) -> None:
    configure(farshore, more=AFTER)
    keys = ["a", "b"]
    farshore.put_all({key: [b"1"] for key in keys})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        before = settle(farshore)
        farshore.put_all({key: [None] for key in keys})
        waiting = [(key, "DelayedMarker") for key in keys]
        eventually(lambda: causes(farshore) == waiting, 60, "both deletes wait")
        daemon.kill()
    configure(farshore, more=NEVER)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        eventually(lambda: cancelled(daemon) == keys, 60, "both are cancelled")
        eventually(lambda: causes(farshore) == [], 60, "nothing waits")
        assert any("the rules have changed: 2 waiting deletes" in line for line in daemon.said)
        metrics = daemon.ask("/metrics").body.decode()
        assert re.search(r'deletes_cancelled_total\{pair="east-west"\} 2', metrics)
        words = "2 waiting deletes, by a change of rules"
        eventually(lambda: words in farshore.run("status").stdout, 60, "on the screen")
        assert shape(farshore, "west") == [(key, False) for key in before]


def test_deletes_that_the_guard_holds_are_cancelled_with_their_rule(farshore: Farshore) -> None:
    configure(farshore, deletes_count=0, deletes_share=0.0)
    farshore.put_all({"a": [b"1"]})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.put_all({"a": [None]})
        eventually(lambda: causes(farshore) == [("a", "DeleteGuard")], 60, "it is held")
        daemon.terminate()
    configure(farshore, deletes_count=0, deletes_share=0.0, more=ELSEWHERE)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        eventually(lambda: cancelled(daemon) == ["a"], 60, "it is cancelled")
        assert daemon.report()["deletes_held"] == 0
        eventually(lambda: farshore.json("deletes")["count"] == 0, 60, "no longer listed")
        assert shape(farshore, "west") == [("a", False)]
