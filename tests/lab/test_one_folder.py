"""Two daemons in one folder, on one address: the second stands by, and harms nothing."""

from __future__ import annotations

import json

from farshore.lab.ports import HOST, held_ports
from tests.lab.daemon import Daemon, configure, eventually, settle, shape, under_load
from tests.lab.farshore_cli import Farshore


def kept_by(farshore: Farshore) -> int:
    """Whose process wrote the folder's own status."""
    text = (farshore.state_dir / "status-east-west.json").read_text()
    pid: int = json.loads(text)["daemon"]["pid"]
    return pid


def test_the_second_stands_by_and_takes_over(farshore: Farshore) -> None:
    with held_ports(1) as (port,):  # none that the kernel may give to somebody's connection
        pass
    configure(farshore, listen=f"{HOST}:{port}")
    with Daemon(farshore) as first:
        first.until_ready()
        with Daemon(farshore) as second:
            eventually(lambda: any("standing by" in line for line in second.said), 60, "it waits")
            taken = [line for line in second.said if "until it is free" in line]
            assert len(taken) == 1
            with under_load(farshore, 7):
                eventually(lambda: len(shape(farshore, "west")) > 30, 60, "the first replicates")
                assert kept_by(farshore) == first.process.pid
                assert second.process.poll() is None
                first.kill()
            farshore.put_all({"late": [b"1", None, b"2"]})
            settle(farshore)
            second.until_ready()
            eventually(lambda: second.report()["backlog"]["count"] == 0, 60, "nothing waits")
            eventually(lambda: kept_by(farshore) == second.process.pid, 60, "the folder is its own")
            assert farshore.json("verify")["agree"] is True
            assert second.terminate() == 0


def test_an_address_that_is_not_of_this_machine_is_an_error(farshore: Farshore) -> None:
    configure(farshore, listen="192.0.2.1:9470")
    ended = farshore.run("run")
    assert ended.code == 1
    assert "192.0.2.1:9470 cannot be served" in ended.stderr
