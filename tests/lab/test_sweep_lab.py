"""Tags and locks that drift apart unnoticed on a real pair: the daemon's sweep mends them."""

from __future__ import annotations

import re
from typing import Any

from tests.lab.daemon import Daemon, configure, eventually, settle
from tests.lab.farshore_cli import Farshore

KEYS = [f"k/{n}" for n in range(30)]


def tags(farshore: Farshore, site: str) -> dict[str, list[Any]]:
    s3 = farshore.s3(site)
    return {key: s3.get_object_tagging(Bucket=farshore.bucket, Key=key)["TagSet"] for key in KEYS}


def set_tag(farshore: Farshore, site: str, key: str, value: str) -> None:
    tagging = {"TagSet": [{"Key": "a", "Value": value}]}
    farshore.s3(site).put_object_tagging(Bucket=farshore.bucket, Key=key, Tagging=tagging)


def test_drift_that_no_event_told_of_is_mended(farshore: Farshore) -> None:
    configure(farshore, filer=False, sweep_every="1h")
    farshore.put_all({key: [b"1", b"2"] for key in KEYS})
    for key in KEYS:
        set_tag(farshore, "east", key, "1")
    farshore.json("backfill")
    set_tag(farshore, "east", KEYS[3], "changed on the source")
    set_tag(farshore, "west", KEYS[4], "changed on the target")
    farshore.s3("west").delete_object_tagging(Bucket=farshore.bucket, Key=KEYS[5])
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        eventually(lambda: daemon.report()["sweep"]["finished_at"] is not None, 60, "a sweep")
        swept = daemon.report()["sweep"]
        assert (swept["versions"], swept["mended"], swept["left"]) == (60, 3, 0)
        assert tags(farshore, "west") == tags(farshore, "east")
        metrics = daemon.ask("/metrics").body.decode()
        assert re.search(r'farshore_sweep_mended_total\{pair="east-west"\} 3', metrics)
        words = "tags and locks of 60 versions, 3 mended"
        eventually(lambda: words in farshore.run("status").stdout, 60, "on the screen")
        daemon.kill()
    set_tag(farshore, "west", KEYS[6], "changed while nobody looked")
    configure(farshore, filer=False, sweep_every="1s")
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        eventually(lambda: daemon.report()["sweep"]["mended_total"] == 4, 60, "another sweep")
        assert tags(farshore, "west") == tags(farshore, "east")
