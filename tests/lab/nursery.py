"""Commands as forks of one process that has loaded farshore already.

Loading takes a command most of its CPU time, and the tests of this folder run a thousand. Each
still is a process of its own: its words, environment, folder, streams, signals and exit code
are a person's; what runs in the background, daemons above all, is `background.py`'s. Only its
arguments in `ps` are not. `python -m farshore` in the unit tests starts without this.

    client                         nursery (this file, run by its path)
      ── words, folder, environment, four files ──▶  fork; the child runs `farshore`
      ◀── the child's id, later its exit code ───── (through the fourth file)
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

STOP_SECONDS_MAX = 10.0
REQUEST_BYTES_MAX = 1 << 20
FILES = 4
"""Standard input, output and error; and the way back."""

LOADED = (
    "farshore.cli",
    "farshore.config",
    "farshore.control",
    "farshore.core",
    "farshore.daemon",
    "farshore.engine",
    "farshore.feed",
    "farshore.fence",
    "farshore.proof",
    "farshore.runbook",
    "farshore.s3",
    "farshore.watch",
)
"""Packages that are loaded whole. None of them begins a thread, or needs what does."""


class Born(NamedTuple):
    """A child that runs: its id, and the file in which its exit code will stand."""

    pid: int
    answer: IO[bytes]


class Nursery:
    """The client's side. One of these serves any number of threads."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__)), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._line = ours
        atexit.register(self.close)

    def close(self) -> None:
        """The other side ends when the line does."""
        self._line.close()
        self._process.wait(STOP_SECONDS_MAX)

    def run(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        input: str,
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` would, `subprocess.TimeoutExpired` included."""
        with (
            tempfile.TemporaryFile() as stdin,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
        ):
            stdin.write(input.encode())
            stdin.seek(0)
            child = self.begin(words, folder, environment, (stdin, stdout, stderr))
            with child.answer, _ended_at_last(child.pid):
                code = self.awaited(child, timeout, words)
            texts = (_read(stdout), _read(stderr))
        return subprocess.CompletedProcess(list(words), code, *texts)

    def begin(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        streams: Sequence[IO[bytes]],
    ) -> Born:
        """One child, with these three streams."""
        request = json.dumps([list(words), str(folder), dict(environment)]).encode()
        assert len(request) < REQUEST_BYTES_MAX
        there, back = os.pipe()
        try:
            files = [*(stream.fileno() for stream in streams), back]
            socket.send_fds(self._line, [request], files)
        finally:
            os.close(back)
        answer = os.fdopen(there, "rb", buffering=0)
        pid = answer.read(4)
        assert pid, "the nursery is gone"
        return Born(int.from_bytes(pid, "big"), answer)

    @staticmethod
    def awaited(child: Born, timeout: float, words: Sequence[str]) -> int:
        """Its exit code; `subprocess.TimeoutExpired` when it has not ended by then."""
        ready, _, _ = select.select([child.answer], [], [], timeout)
        if not ready:
            raise subprocess.TimeoutExpired(list(words), timeout)
        code = child.answer.read(4)
        assert code, "the nursery is gone"
        return int.from_bytes(code, "big", signed=True)


@contextmanager
def _ended_at_last(pid: int) -> Iterator[None]:
    """Nobody waits any more, after whatever error: it is killed."""
    try:
        yield
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


_lock = threading.Lock()
_nurseries: list[Nursery] = []


def nursery() -> Nursery:
    """The one of this process, begun when it is first needed."""
    with _lock:
        if not _nurseries:
            _nurseries.append(Nursery())
        return _nurseries[0]


# -- the other side --------------------------------------------------------------------


def _serve(line: socket.socket) -> None:
    """Fork a child for each request, and tell how it ended, until the client is gone."""
    _load()
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    answers: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([line.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell(answers)
        if line.fileno() in ready:
            request, files, _, _ = socket.recv_fds(line, REQUEST_BYTES_MAX, FILES)
            if not request:
                return
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                line.close()
                for stale in (woken, waker, *answers.values()):
                    os.close(stale)
                _become(request, files)
            answers[pid] = files.pop()
            _answer(answers[pid], pid)
            for file in files:
                os.close(file)


def _tell(answers: dict[int, int]) -> None:
    """Every child that has ended since; a signal that ended it is told as a negative code."""
    while answers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        back = answers.pop(pid)
        _answer(back, os.waitstatus_to_exitcode(status))
        os.close(back)


def _answer(back: int, number: int) -> None:
    """A test that was called off waits for no answer."""
    with suppress(BrokenPipeError):
        os.write(back, number.to_bytes(4, "big", signed=True))


def _become(request: bytes, files: list[int]) -> NoReturn:
    """The child: streams, folder, environment, words; then what `python -m farshore` does."""
    words, folder, environment = json.loads(request)
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["farshore", *words]
    from farshore.cli.main import main

    main()
    raise AssertionError("main exits")


def _load() -> None:
    """Everything that a command may need, so that no child has to."""
    for name in LOADED:
        package = importlib.import_module(name)
        for found in pkgutil.iter_modules(package.__path__, f"{name}."):
            importlib.import_module(found.name)
    importlib.import_module("typer._adapters")
    assert len(os.listdir("/proc/self/task")) == 1, "a fork keeps no other thread"
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _serve(given)
