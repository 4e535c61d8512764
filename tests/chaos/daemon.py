"""`farshore run` that is killed, stalled and started again, and that must not end by itself."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.chaos.diary import Diary

SERVES = re.compile(r"metrics and health on (http://\S+:\d+)")
STOP_SECONDS_MAX = 30.0
ANSWER_SECONDS_MAX = 5.0
AGAIN_S = 1.0
TAIL_CHARS = 2000


class Runner:
    """One daemon in a folder. All methods may be called from any thread."""

    def __init__(self, folder: Path, diary: Diary) -> None:
        self.folder = folder
        self.log = folder / "run.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._diary = diary
        self._lock = threading.RLock()
        self._from = 0

    def start(self) -> None:
        """Begin one. A session of its own: what is typed at the terminal does not reach it."""
        with self._lock:
            self._from = self.log.stat().st_size if self.log.exists() else 0
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "farshore", "run"],
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )

    def kill(self) -> None:
        """SIGKILL, as a power cut would. One that is gone is no error."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; it must end in its time, and well."""
        code = self._end(signal.SIGTERM)
        if code not in (0, None):
            self._diary.broke("stops when it is asked to", "farshore run", f"ended with {code}")

    def send(self, number: int) -> None:
        with self._lock:
            if self.process is not None:
                self.process.send_signal(number)

    def _end(self, number: int) -> int | None:
        with self._lock:
            process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def watch(self) -> None:
        """Whether it runs on; one that ended by itself broke a promise, and is started again."""
        with self._lock:
            if self.process is None or self.process.poll() is None:
                return
            code, words = self.process.returncode, self._said()[-TAIL_CHARS:]
            self._diary.broke("the daemon lives", "farshore run", f"ended with {code}: {words}")
            time.sleep(AGAIN_S)  # a supervisor waits, too
            self.start()

    # -- what it says ------------------------------------------------------------------

    def _said(self) -> str:
        """By the one that was started last."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._from)
            return log.read().decode("utf-8", "replace")

    def report(self) -> dict[str, Any] | None:
        """What it says of itself; None while it does not answer."""
        found = SERVES.findall(self._said())
        if self.process is None or not found:
            return None
        try:
            token = (self.folder / ".farshore" / "api-token").read_text().strip()
            asked = urllib.request.Request(
                f"{found[-1]}/v1/status", headers={"Authorization": f"Bearer {token}"}
            )
            with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS_MAX) as answer:
                document: dict[str, Any] = json.loads(answer.read())
        except (OSError, ValueError):
            return None
        return document
