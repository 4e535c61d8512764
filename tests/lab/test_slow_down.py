"""A target that answers SlowDown to everything: less is asked, nothing is lost, all recovers."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from tests.lab.daemon import Daemon, eventually, settle, under_load
from tests.lab.damaging_proxy import Message, damaging
from tests.lab.farshore_cli import Farshore

SLOW_S = 12.0
XML = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b"
    % (len(XML), XML)
)
HEADLESS = SLOW_DOWN.replace(XML, b"")
MORE = """
[daemon]
listen = "127.0.0.1:0"
scan_every = "2s"
deletes_count = 100000
"""


class Busy:
    """What stands before the target: refuses everything while `slow`."""

    def __init__(self) -> None:
        self.slow = False
        self.refused: list[float] = []

    def refuse(self, request: Message) -> bytes | None:
        if not self.slow:
            return None
        self.refused.append(time.monotonic())
        return HEADLESS if request.first.startswith(b"HEAD ") else SLOW_DOWN

    def between(self, began: float, end: float) -> int:
        return sum(began <= moment < end for moment in self.refused)


def exposure(daemon: Daemon) -> float:
    report: dict[str, Any] = daemon.report()
    return moment(report["written_at"]) - moment(report["watermark"])


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_target_that_asks_for_less_gets_less_and_then_everything(farshore: Farshore) -> None:
    lab = farshore.lab.status()
    busy, west = Busy(), lab.site("west")
    with damaging(west.direct_endpoint, lambda _, __: None, busy.refuse) as endpoint:
        control = farshore.own_control("west", endpoint=endpoint)
        farshore.configure(
            sites={
                "east": {"filer_grpc": lab.site("east").filer_grpc},
                "west": {"endpoint": endpoint, "control_bucket": control},
            },
            more=MORE,
        )
        with Daemon(farshore) as daemon:
            daemon.until_ready()
            farshore.put_all({"before": [b"1"]})
            settle(farshore)
            with under_load(farshore, 5) as load:
                busy.slow, began = True, time.monotonic()
                time.sleep(SLOW_S / 2)  # the outage is the test: it has to last
                half = exposure(daemon)
                time.sleep(SLOW_S / 2)
                whole, ended = exposure(daemon), time.monotonic()
                busy.slow = False
                assert whole > half > 3, "the exposure rises all through it"
                assert whole - half > SLOW_S / 4
            middle = (began + ended) / 2
            first, second = busy.between(began, middle), busy.between(middle, ended)
            assert 0 < second < min(40 * SLOW_S, 1.5 * first), (first, second)
            assert load.done > 50
            settle(farshore, 60)
            eventually(lambda: exposure(daemon) < 10, 60, "the exposure is back")
            eventually(lambda: daemon.report()["backlog"]["count"] == 0, 60, "nothing waits")
            eventually(lambda: daemon.ask("/readyz").code == 200, 60, "ready again")
            assert daemon.report()["not_replicated"].get("FAILED", {}) == {}
        assert farshore.json("verify", "--deep")["agree"] is True
