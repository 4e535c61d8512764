"""Versions that are purged on a real source before the daemon has looked: told by name."""

from __future__ import annotations

import re

from tests.lab.daemon import Daemon, configure, contents, eventually, reasons, settle, status
from tests.lab.farshore_cli import Farshore


def test_versions_that_were_purged_before_they_were_copied_are_told(farshore: Farshore) -> None:
    configure(farshore, scan_every="1h")
    east, bucket = farshore.s3("east"), farshore.bucket
    farshore.put_all({"copied": [b"1", b"2"]})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.json("pause")
        made = [
            east.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"]
            for body in (b"1", b"2", b"3")
        ]
        gone = east.put_object(Bucket=bucket, Key="gone", Body=b"1")["VersionId"]
        eventually(lambda: daemon.report()["backlog"]["count"] == 2, 60, "both keys are known")
        for key, version_id in (("k", made[1]), ("gone", gone)):
            east.delete_object(Bucket=bucket, Key=key, VersionId=version_id)
        daemon.kill()
    with Daemon(farshore) as daemon:  # what was known is known after a kill
        farshore.json("resume")
        daemon.until_ready()
        eventually(lambda: daemon.report()["expired"]["total"] == 2, 60, "two are counted")
        told = {(row["key"], row["version_id"]) for row in daemon.report()["expired"]["latest"]}
        assert told == {("k", made[1]), ("gone", gone)}
        eventually(lambda: len(contents(farshore, "west").get("k", [])) == 2, 60, "the others")
        assert contents(farshore, "west") == contents(farshore, "east")
        metrics = daemon.ask("/metrics").body.decode()
        assert re.search(r'farshore_expired_total\{pair="east-west"\} 2', metrics)
        eventually(lambda: "expired-before-replicated" in reasons(status(farshore)[1]), 60, "said")
        words = "2 versions were gone before they were copied"
        eventually(lambda: words in farshore.run("status").stdout, 60, "on the screen")

        old = [row for row in farshore.rows("east") if row[0] == "copied"][-1]
        east.delete_object(Bucket=bucket, Key="copied", VersionId=old[1])
        east.put_object(Bucket=bucket, Key="copied", Body=b"3")
        eventually(lambda: len(contents(farshore, "west")["copied"]) == 3, 60, "the new version")
        assert daemon.report()["expired"]["total"] == 2, "what was copied before has not expired"
