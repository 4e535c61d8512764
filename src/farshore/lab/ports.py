"""Free ports on loopback, held until just before their server starts.

Ports are taken from below the kernel's ephemeral range where possible. Inside that
range an outgoing connection may be given the port of a region that is just then dead,
and a connection to the dead port may even connect to itself.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from farshore.errors import LabError

HOST = "127.0.0.1"
PORT_MIN = 10_000
"""Ports below this are often somebody's well-known service."""

TRIES_MAX = 400
"""Ports tried for one request before giving up."""

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _ephemeral_min() -> int:
    """The lowest port that the kernel hands out by itself."""
    return int(_EPHEMERAL_RANGE.read_text().split()[0])


def _candidates(count: int) -> list[int]:
    """`count` distinct ports to try; 0 means "the kernel's choice"."""
    below = range(PORT_MIN, _ephemeral_min())
    return random.SystemRandom().sample(below, count) if len(below) > count else [0] * count


def _bound(port: int) -> socket.socket:
    """A socket that holds `port`. Raises OSError when the port is taken."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        holder.bind((HOST, port))
    except OSError:
        holder.close()
        raise
    return holder


def hold(count: int) -> list[socket.socket]:
    """`count` sockets, each bound to a free port and not listening. The caller closes them."""
    held: list[socket.socket] = []
    for port in _candidates(TRIES_MAX):
        if len(held) == count:
            return held
        try:
            held.append(_bound(port))
        except OSError:
            continue  # taken: try the next
    for holder in held:
        holder.close()
    raise LabError(
        f"no {count} free ports were found on {HOST} in {TRIES_MAX} tries",
        hint="see what is listening with: ss -ltn",
    )


@contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """`count` free ports; nobody else gets them before the block ends."""
    held = hold(count)
    try:
        yield [holder.getsockname()[1] for holder in held]
    finally:
        for holder in held:
            holder.close()


def all_free(ports: Iterable[int]) -> bool:
    """Whether a server could listen on every one of `ports` at this moment.

    Closed connections that linger (TIME_WAIT) do not keep a server off its port.
    """
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True
