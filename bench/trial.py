"""One copy of a fresh source into an empty target, by one client, and what it cost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Protocol

from bench.child import ClientFailed, Cost
from bench.null_server import Endpoints, NullServer, Reading


class Client(Protocol):
    """A way to copy, working in a folder of its own. Modules `rclone` and `farshore`."""

    def prepare(self, endpoints: Endpoints, folder: str) -> None:
        """What comes before the copy and is not measured."""
        ...

    def copy(self, endpoints: Endpoints, folder: str) -> Cost:
        """Copy all of east to west, with its usual checks."""
        ...


Route = Callable[[Endpoints], AbstractContextManager[Endpoints]]
"""Puts a line between the client and the endpoints."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`objects` were copied; `server_cpu_seconds` is what the null server took for it."""

    objects: int
    cost: Cost
    reading: Reading
    server_cpu_seconds: float

    @property
    def cpu_ms_per_object(self) -> float:
        """The whole process, start and end included."""
        return self.cost.cpu_seconds * 1000 / self.objects

    @property
    def objects_per_second(self) -> float:
        """By the server's clock: from the first request (listings too) to the last answer."""
        return self.objects / self.reading.seconds


def run(client: Client, *, small: int = 0, big: int = 0, route: Route = nullcontext) -> Trial:
    """Start a null server, copy, end it. `ClientFailed` when anything was not copied."""
    server = NullServer(small=small, big=big)
    with ExitStack() as stack:
        endpoints = stack.enter_context(route(stack.enter_context(server)))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="farshore-bench-"))
        client.prepare(endpoints, folder)
        server.restart_meter()
        before = server.cpu_seconds
        cost = client.copy(endpoints, folder)
        server_cpu = server.cpu_seconds - before
        reading = server.read_meter()
    if reading.copied != small + big:
        raise ClientFailed(f"only {reading.copied} of {small + big} objects were copied")
    return Trial(reading.copied, cost, reading, server_cpu)
