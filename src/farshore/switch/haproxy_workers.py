"""The workers of an HAProxy on this machine: is one from before a reload still at work?

A reload leaves the old worker to end its requests. The new one knows nothing of them: a write
that the old one carries is in no count, and lands where the old map said. Who has opened the
unix socket is the master (SO_PEERCRED, unix(7)), and its children are the workers (proc(5)).
Over TCP, or from another machine or namespace, nobody can say.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

CONNECT_SECONDS_MAX = 2.0
_CREDENTIALS = struct.Struct("3i")
_ENDED = ("Z", "X")


def other_workers(address: str, worker: int) -> tuple[int, ...]:
    """Ids of the other workers of the master whose worker `worker` answers at `address`.

    Blocks for a moment. Empty where it cannot be known.
    """
    if not address.startswith("/"):
        return ()
    try:
        children = _children(_owner(address))
    except OSError:
        return ()  # another namespace's process, or a system without these files
    return tuple(pid for pid in children if pid != worker) if worker in children else ()


def _owner(address: str) -> int:
    """The process that listens there; 0 when it is none of this namespace."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(CONNECT_SECONDS_MAX)
        asked.connect(address)
        found = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(found)[0]
    return pid


def _children(pid: int) -> list[int]:
    """Running children. `OSError` when there is no such process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [child for child in map(int, text.split()) if _runs(child)]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in _ENDED
