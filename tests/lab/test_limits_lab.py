"""Limits of a running daemon: by site, by the hour, and read again when somebody asks."""

from __future__ import annotations

import signal

from tests.lab.daemon import Daemon, configure, eventually, settle
from tests.lab.farshore_cli import Farshore

ALWAYS = """
[limits]
requests_per_s = 900
[[limits.schedule]]
hours = "00:00-12:00"
requests_per_s = 800
[[limits.schedule]]
hours = "12:00-00:00"
requests_per_s = 800
[sites.west.limits]
bytes_per_s = "50 MiB"
"""


def test_each_site_has_the_rates_of_the_hour_and_a_hangup_reads_the_file(
    farshore: Farshore,
) -> None:
    configure(farshore, more=ALWAYS)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        limits = daemon.report()["limits"]
        assert limits["east"]["requests_per_s"] == 800
        assert limits["east"]["window"].endswith("UTC")
        assert limits["west"] == {"requests_per_s": 0, "bytes_per_s": 50 * 2**20, "window": ""}
        configure(farshore, more="[limits]\nrequests_per_s = 700")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: any("read again" in line for line in daemon.said), 60, "it says so")
        eventually(lambda: daemon.report()["limits"]["west"]["requests_per_s"] == 700, 60, "taken")
        farshore.put_all({"a": [b"1", b"2"]})
        settle(farshore)
        assert daemon.terminate() == 0
