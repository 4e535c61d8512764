"""`farshore run` as a real process, and what a test asks it and its surroundings."""

from __future__ import annotations

import json
import random
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from subprocess import Popen
from typing import Any, NamedTuple, Self

from botocore.exceptions import BotoCoreError, ClientError

from farshore.core.rules import OWN_PREFIX
from tests.lab.background import Background
from tests.lab.farshore_cli import Farshore, Histories
from tests.lab.secrecy import require_none, secrets_of, token_of

STEP_S = 0.05
START_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
SAFE_SECONDS_MAX = 30.0
ANSWER_SECONDS_MAX = 20.0

SERVES = re.compile(r"metrics and health on (http://\S+:\d+)")


def eventually(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Ask again and again until it is true; answers how long that took. A question that takes
    long is asked less often: half of the machine is for what is waited for."""
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        if true():
            return time.monotonic() - began
        now = time.monotonic()
        assert now - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(max(STEP_S, now - asked))


class Answer(NamedTuple):
    """What the daemon's port answered."""

    code: int
    body: bytes


class Daemon:
    """One running `farshore run`. Leaving it kills what still runs."""

    def __init__(
        self, farshore: Farshore, env: Mapping[str, str] | None = None, *, alone: bool = False
    ) -> None:
        """`alone`: a Python of its own, begun as a person does it."""
        self.farshore = farshore
        self._secrets = secrets_of(farshore.lab.folder)
        self.said: list[str] = []
        self.process: Background | Popen[str] = (
            farshore.start_alone("run") if alone else farshore.start("run", env=env)
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(self.last_words())
        self.kill()

    def last_words(self) -> str:
        """For whoever reads of a failure: what it said, and how it stood."""
        try:
            stands = json.dumps(self.report(), indent=1)
        except (OSError, AssertionError) as why:
            stands = f"its port does not answer: {why}"
        return f"The daemon said:\n{''.join(self.said)}\nIt stands so:\n{stands}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self._end()

    def terminate(self) -> int:
        """SIGTERM; answers the exit code."""
        self.process.terminate()
        code = self.process.wait(STOP_SECONDS_MAX)
        self._end()
        return code

    def _end(self) -> None:
        self.process.wait()
        self._reader.join()
        self._require_secrecy("".join(self.said), "what the daemon said")
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _require_secrecy(self, said: str | bytes, where: str) -> None:
        require_none(self._secrets | token_of(self.farshore.state_dir), said, where)

    # -- its port ---------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it serves, once it has said so; after it has turned round, the newest place."""
        found: list[str] = []

        def told() -> bool:
            assert self.process.poll() is None, "".join(self.said)
            found.extend(SERVES.findall("".join(self.said)))
            return bool(found)

        eventually(told, START_SECONDS_MAX, "an address")
        return found[-1]

    def ask(self, path: str, *, token: str = "", body: bytes | None = None) -> Answer:
        """GET, or POST where there is a body."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS_MAX) as answer:
                found = Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                found = Answer(error.code, error.read())
        self._require_secrecy(found.body, f"the answer to {path}")
        return found

    @property
    def token(self) -> str:
        return (self.farshore.state_dir / "api-token").read_text().strip()

    def report(self) -> dict[str, Any]:
        """What it says of itself."""
        report: dict[str, Any] = json.loads(self.ask("/v1/status", token=self.token).body)
        return report

    def until_ready(self) -> Self:
        """It replicates, and a scan has closed."""
        self.url  # noqa: B018 - waits for the address, with a time limit of its own
        eventually(
            lambda: self.ask("/readyz").code == 200 and self.report()["scan"] is not None,
            START_SECONDS_MAX,
            "ready",
        )
        return self


# -- what is asked of the pair ---------------------------------------------------------


def configure(
    farshore: Farshore,
    *,
    filer: bool = True,
    buckets: Sequence[tuple[str, str]] = (),
    name: str = "",
    more: str = "",
    credentials: Mapping[str, Mapping[str, str]] | None = None,
    **daemon: object,
) -> None:
    """A daemon on a free port, which scans every two seconds; `daemon` replaces or adds keys."""
    keys = {"listen": "127.0.0.1:0", "scan_every": "2s", "deletes_count": 100_000, **daemon}
    lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
    grpc = farshore.lab.status().site("east").filer_grpc
    sites = {"east": {"filer_grpc": grpc}} if filer else None
    farshore.configure(
        sites=sites,
        buckets=buckets,
        name=name,
        credentials=credentials,
        more="\n".join(["[daemon]", *lines, more]),
    )


def contents(farshore: Farshore, site: str) -> Histories:
    """All histories of the bucket, as the witness reads them."""
    return farshore.histories(site)


def shape(farshore: Farshore, site: str) -> list[tuple[str, bool]]:
    """(key, is a marker) of every entry, by one listing."""
    rows = farshore.rows(site)
    return [(key, marker) for key, _, marker in rows if not key.startswith(OWN_PREFIX)]


def settle(farshore: Farshore, seconds: float = SETTLE_SECONDS_MAX) -> Histories:
    """Wait until both sides show the same entries, then compare every byte."""
    eventually(
        lambda: shape(farshore, "east") == shape(farshore, "west"), seconds, "equal histories"
    )
    east = contents(farshore, "east")
    assert contents(farshore, "west") == east
    return east


def status(farshore: Farshore) -> tuple[int, dict[str, Any]]:
    """Exit code and document of `farshore status`."""
    ended = farshore.run("status", "--json")
    document: dict[str, Any] = json.loads(ended.stdout)
    return ended.code, document


def until_safe(farshore: Farshore, seconds: float = SAFE_SECONDS_MAX) -> None:
    """Until `farshore status` says SAFE; a failure names what it says instead."""
    said: list[Any] = []

    def safe() -> bool:
        code, document = status(farshore)
        said[:] = [code, *document["reasons"]]
        return code == 0

    try:
        eventually(safe, seconds, "safe")
    except AssertionError as error:
        error.add_note(f"The last status said {said}")
        raise


def reasons(document: Mapping[str, Any]) -> set[str]:
    """The names of a verdict's reasons."""
    return {reason["name"] for reason in document["reasons"]}


# -- load ------------------------------------------------------------------------------


class Load:
    """Writes, overwrites and deletes on east, some twenty a second, until it is stopped."""

    KEYS = 24
    PAUSE_S = 0.03

    def __init__(self, farshore: Farshore, seed: int) -> None:
        self.done = 0
        self.failed = 0
        self._farshore = farshore
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        s3 = self._farshore.s3("east")
        while not self._stop.wait(self.PAUSE_S):
            try:
                self._one(s3)
                self.done += 1
            except (BotoCoreError, ClientError):
                self.failed += 1

    def _one(self, s3: Any) -> None:
        name = {"Bucket": self._farshore.bucket, "Key": f"load/{self._random.randrange(self.KEYS)}"}
        if self._random.random() < 0.15:
            s3.delete_object(**name)
        else:
            s3.put_object(**name, Body=b"%d" % self.done, Metadata={"n": str(self.done)})

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def start(self) -> None:
        self._thread.start()


@contextmanager
def under_load(farshore: Farshore, seed: int) -> Iterator[Load]:
    """Writes go on while the body runs."""
    load = Load(farshore, seed)
    load.start()
    try:
        yield load
    finally:
        load.stop()
