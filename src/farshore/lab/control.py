"""The commands' end of the link's control socket."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from farshore.errors import LabError
from farshore.lab import process
from farshore.lab.process import Process
from farshore.lab.settings import LinkSettings

SOCKET_NAME = "link.sock"
ANSWER_SECONDS_MAX = 10.0
START_SECONDS_MAX = 20.0
ANSWER_BYTES_MAX = 64 * 1024
_POLL_SECONDS = 0.01


def start_link(lab_id: str, runtime: Path, log: Path, lifeline: int) -> Process:
    """Start the link process; `lifeline` becomes its standard input."""
    command = [sys.executable, "-m", "farshore.lab.link", str(runtime / SOCKET_NAME)]
    environment = {**os.environ, process.MARK: lab_id}
    return process.spawn(command, environment, log, stdin=lifeline)


class Control:
    """Asks the link of one lab. Every request is a connection of its own."""

    def __init__(self, runtime: Path) -> None:
        self._address = str(runtime / SOCKET_NAME)

    def wait(self, link: Process) -> None:
        """Until the link answers. Raises `LabError` when it ends first or takes too long."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and process.is_running(link):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(self._address) == 0:
                    return
            time.sleep(_POLL_SECONDS)
        raise LabError("the link process did not start", hint="its output is in link.log")

    def open(self, site: str) -> dict[str, int]:
        """Give a site a link; answers the ports it listens on, by door."""
        ports: dict[str, int] = self._ask(do="open", site=site)["ports"]
        return ports

    def aim(self, site: str, targets: dict[str, int] | None) -> None:
        """Where a site's own ports are now; None when it is dead."""
        self._ask(do="aim", site=site, targets=targets)

    def set(self, site: str, settings: LinkSettings) -> None:
        """Give a link new settings."""
        self._ask(do="set", site=site, settings=settings.to_json())

    def get(self, site: str) -> LinkSettings:
        """A link's settings now; a reset that has happened is no longer in them."""
        return LinkSettings(**self._ask(do="get", site=site)["settings"])

    def _ask(self, **request: Any) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(ANSWER_SECONDS_MAX)
                asked.connect(self._address)
                asked.sendall(json.dumps(request).encode() + b"\n")
                with asked.makefile("rb") as answers:
                    answer: dict[str, Any] = json.loads(answers.readline(ANSWER_BYTES_MAX))
        except (OSError, ValueError) as error:
            raise LabError(
                f"the lab's link process does not answer: {type(error).__name__}",
                hint="its output is in link.log; `farshore lab down` ends what is left",
            ) from error
        return answer
