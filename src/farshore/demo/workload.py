"""An application at work: boto3 clients that write and read through the front, and remember."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from farshore.demo.front import Front
from farshore.errors import LabError

WRITERS = 2
PAUSE_S = 0.03
"""Between two requests of a client: an app at work, not a benchmark."""

PREFIX = "live/"
_LOOK_S = 0.02


class Ack(NamedTuple):
    """One write that the storage acknowledged. Unix seconds by the client's clock."""

    key: str
    began: float
    ended: float
    md5: str


@dataclass(slots=True)
class Workload:
    """Two writers and a reader. `refused`: requests that failed after boto3's own retries.

    `wrong`: reads that brought other bytes than were written. `known`: (key, MD5) to read.
    """

    front: Front
    bucket: str
    known: Sequence[tuple[str, str]]
    acks: list[Ack] = field(default_factory=list)
    reads: int = 0
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _round: int = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Clients run while the block does; a second time, too."""
        self._over.clear()
        self._round += 1
        hands = [
            threading.Thread(target=self._write, args=(self.front.client(), number))
            for number in range(WRITERS)
        ]
        hands.append(threading.Thread(target=self._read, args=(self.front.client(),)))
        for hand in hands:
            hand.start()
        try:
            yield
        finally:
            self._over.set()
            for hand in hands:
                hand.join()

    def wait_for(self, more: int, seconds_max: float) -> None:
        """Until so many further writes are acknowledged. `LabError` when they are not."""
        wanted, deadline = len(self.acks) + more, time.monotonic() + seconds_max
        while len(self.acks) < wanted:
            if time.monotonic() > deadline:
                raise LabError(f"the clients came to a halt: {self.refused[-1:]}")
            time.sleep(_LOOK_S)

    def first_after(self, moment: float, seconds_max: float) -> Ack:
        """The first acknowledged write that began after a moment."""
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            found = [ack for ack in list(self.acks) if ack.began > moment]
            if found:
                return min(found, key=lambda ack: ack.ended)
            time.sleep(_LOOK_S)
        raise LabError(f"no client could write within {seconds_max:g} s: {self.refused[-1:]}")

    def _write(self, client: Any, number: int) -> None:
        count = 0
        while not self._over.wait(PAUSE_S):
            key = f"{PREFIX}{self._round}/{number}/{count:05}"
            count += 1
            body = f"{key} of a live app\n".encode()
            began = time.time()
            if self._done(lambda k=key, b=body: self._put(client, k, b)):
                self.acks.append(Ack(key, began, time.time(), _md5(body)))

    def _put(self, client: Any, key: str, body: bytes) -> None:
        client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def _read(self, client: Any) -> None:
        while not self._over.wait(PAUSE_S):
            key, md5 = self.known[self.reads % len(self.known)]
            self._done(lambda k=key, m=md5: self._get(client, k, m))

    def _get(self, client: Any, key: str, md5: str) -> None:
        body = client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        self.reads += 1
        if _md5(body) != md5:
            self.wrong.append(key)

    def _done(self, request: Any) -> bool:
        try:
            request()
        except (BotoCoreError, ClientError) as error:
            self.refused.append(str(error))
            return False
        return True


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
