"""HAProxy's runtime API: one command, one connection, one answer.

An answer ends with an empty line; `set map` that worked answers nothing else. A command that
was sent and got no answer may have been obeyed. Forms seen on HAProxy 2.6, and in the
"Unix Socket commands" of its management guide.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple

from farshore.switch.driver import SwitchError, SwitchUnknown
from farshore.switch.haproxy_workers import other_workers

CONNECT_SECONDS_MAX = 2.0
ANSWER_SECONDS_MAX = 3.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024

_SPECIAL = re.compile(r"([\\\s;])")
_PID = re.compile(r"^Pid: ([0-9]{1,10})$", re.MULTILINE)
_CLOCK = re.compile(r"^date_now: ([0-9]{1,12}\.[0-9]{1,12})$", re.MULTILINE)
_NOT_ADMIN = "give its `stats socket` line `level admin`"
_MAP_HINT = "name the map as the proxy's configuration does, and look that it is in use there"


class StatRow(NamedTuple):
    """One line of `show stat`: a server or a whole backend. `sessions`: in flight now;
    `requests`, `failed` (answered with 5xx): since the proxy was started."""

    backend: str
    server: str
    sessions: int
    status: str
    requests: int = 0
    failed: int = 0


def _word(text: str) -> str:
    """One word of a command, whatever it contains."""
    return _SPECIAL.sub(r"\\\1", text)


def _stat_row(row: Mapping[str, str]) -> StatRow:
    return StatRow(
        row["pxname"],
        row["svname"],
        int(row["scur"] or 0),
        row["status"],
        int(row.get("req_tot") or 0),
        int(row.get("hrsp_5xx") or 0),
    )


class Runtime:
    """The runtime API at one address: a unix socket's path, or host:port."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def show_map(self, path: str) -> dict[str, tuple[str, ...]]:
        """Key to its values: one, unless somebody added a key twice. `SwitchError`."""
        answer = await self._ask(f"show map {_word(path)}")
        found: dict[str, tuple[str, ...]] = {}
        for line in answer.splitlines():
            parts = line.split(" ", 2)
            if not line.startswith("0x") or len(parts) < 2:
                raise self._refused(f"show map {path}", answer)
            value = parts[2] if len(parts) > 2 else ""
            found[parts[1]] = (*found.get(parts[1], ()), value)
        return found

    async def put(self, path: str, entries: Mapping[str, str]) -> None:
        """Set keys, or add those that are missing. `SwitchUnknown` when no answer came."""
        for key, value in entries.items():
            words = f"map {_word(path)} {_word(key)} {_word(value)}"
            answer = await self._ask(f"set {words}", changes=True)
            if answer.startswith("entry not found"):
                answer = await self._ask(f"add {words}", changes=True)
            if answer:
                raise self._refused(f"set {words}", answer)

    async def clock(self) -> float:
        """What time it is there, in Unix seconds. `SwitchError`."""
        answer = await self._ask("show activity")
        found = _CLOCK.search(answer)
        if found is None:
            raise self._refused("show activity", answer)
        return float(found[1])

    async def other_workers(self) -> tuple[int, ...]:
        """Ids of the processes that work beside the one that answers: a reload is not over, as
        far as that can be seen from here. `SwitchError`."""
        answer = await self._ask("show info")
        found = _PID.search(answer)
        if found is None:
            raise self._refused("show info", answer)
        return await asyncio.to_thread(other_workers, self.address, int(found[1]))

    async def stat(self) -> tuple[StatRow, ...]:
        """Every backend and every server. `SwitchError`."""
        answer = await self._ask("show stat")
        header, *lines = answer.splitlines() or [""]
        if not header.startswith("# pxname,svname,"):
            raise self._refused("show stat", answer)
        names = header.removeprefix("# ").split(",")
        rows = (dict(zip(names, line.split(","), strict=False)) for line in lines if line)
        try:
            return tuple(_stat_row(row) for row in rows if row["svname"] != "FRONTEND")
        except (KeyError, ValueError):  # a field is missing, or is no number
            raise self._refused("show stat", answer) from None

    async def end_sessions(self, backend: str, server: str) -> None:
        """Break the connections of everything that is on its way to that server."""
        command = f"shutdown sessions server {backend}/{server}"
        answer = await self._ask(command, changes=True)
        if answer:
            raise self._refused(command, answer)

    async def _ask(self, command: str, *, changes: bool = False) -> str:
        """The answer without its empty line. `SwitchError`: nothing was changed;
        `SwitchUnknown`: a change was sent, and no answer came."""
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                writer.write(command.encode() + b"\n")
                await writer.drain()
                answer = await self._read(reader)
        except OSError as error:  # a timeout is one, too
            raise self._unanswered(command, type(error).__name__, changes) from error
        finally:
            writer.close()
        if not answer.endswith("\n"):
            raise self._unanswered(command, "the connection was closed", changes)
        return answer.strip()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                if self.address.startswith("/"):
                    return await asyncio.open_unix_connection(self.address)
                host, _, port = self.address.rpartition(":")
                return await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError as error:
            why = error.strerror or "no connection in time"
            raise SwitchError(
                f"proxy {self.address} does not answer: {why}",
                hint="Look whether that HAProxy runs, and whether its runtime API (`stats "
                "socket`) is where `socket` says.",
            ) from error

    async def _read(self, reader: asyncio.StreamReader) -> str:
        """Everything until the other side closes."""
        parts: list[bytes] = []
        size = 0
        while part := await reader.read(65536):
            parts.append(part)
            size += len(part)
            if size > ANSWER_BYTES_MAX:
                raise SwitchError(f"proxy {self.address} answers more than any proxy would.")
        return b"".join(parts).decode(errors="replace")

    def _unanswered(self, command: str, why: str, changes: bool) -> SwitchError:
        kind = SwitchUnknown if changes else SwitchError
        return kind(f"proxy {self.address} did not answer to `{command}`: {why}")

    def _refused(self, command: str, answer: str) -> SwitchError:
        said = " ".join(answer.split())[:200] or "nothing"
        hint = _NOT_ADMIN if "ermission denied" in said else _MAP_HINT
        return SwitchError(f"proxy {self.address} refused `{command}`: {said}", hint=hint)
