"""A command of the nursery that runs in the background: as `subprocess.Popen` with text streams."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.nursery import Nursery, nursery

PATIENCE_S = 100.0
"""Whoever waits without a limit of his own waits for so long; what runs longer hangs."""


class Background:
    """A running `farshore`, begun when this is made. Its caller ends it, and closes its streams."""

    def __init__(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.words = ("farshore", *words)
        self.returncode: int | None = None
        ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
        self.stdout, self.stderr = (os.fdopen(end, "r", encoding="utf-8") for end in ours)
        with (
            open(os.devnull, "rb") as nothing,
            os.fdopen(theirs[0], "wb") as out,
            os.fdopen(theirs[1], "wb") as err,
        ):
            self._born = nursery().begin(words, folder, environment, (nothing, out, err))
        self.pid = self._born.pid
        self._waiting = threading.Lock()
        self._heard: tuple[str, str] | None = None

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """Its exit code, negative where a signal ended it; `subprocess.TimeoutExpired`."""
        with self._waiting:
            if self.returncode is None:
                self.returncode = Nursery.awaited(self._born, timeout, self.words)
                self._born.answer.close()
            return self.returncode

    def poll(self) -> int | None:
        """As `wait`; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """To one that has ended, none: its id may be another's by now."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float = PATIENCE_S) -> tuple[str, str]:
        """All that it says until it ends; its streams are closed then. Again: the same."""
        if self._heard is None:
            with ThreadPoolExecutor(2) as ears:
                out, err = (ears.submit(stream.read) for stream in (self.stdout, self.stderr))
                try:
                    self.wait(timeout)
                except subprocess.TimeoutExpired:
                    self.kill()  # or nobody would ever stop to listen
                    raise
                self._heard = (out.result(), err.result())
            self.stdout.close()
            self.stderr.close()
        return self._heard
