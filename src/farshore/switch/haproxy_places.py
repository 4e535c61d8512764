"""All places of one HAProxy switch: every proxy's running map, and every map file here.

Files first, then the running maps: a reload in between finds what is wanted, not what was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from farshore.config.switches import Proxy
from farshore.errors import FarshoreError
from farshore.faultpoints import reached
from farshore.switch.driver import SwitchError, SwitchUnknown
from farshore.switch.haproxy_map import Draft, MapFile
from farshore.switch.haproxy_runtime import Runtime

Entries = Mapping[str, str]


class Seen(NamedTuple):
    """What one place says of one key. `raw` is "" where there is no such key, or no file."""

    vantage: str
    raw: str
    error: str = ""


class RunningMap:
    """The map in one proxy's memory: what decides now."""

    def __init__(self, proxy: Proxy) -> None:
        self.runtime = Runtime(proxy.socket)
        self.path = proxy.map_path
        self.is_remote = proxy.remote
        self.vantage = f"proxy {proxy.socket}"

    async def see(self, key: str) -> Seen:
        try:
            found = await self.runtime.show_map(self.path)
        except SwitchError as error:
            return Seen(self.vantage, "", error.message)
        return Seen(self.vantage, ", ".join(dict.fromkeys(found.get(key, ()))))

    async def value(self, key: str) -> str:
        """`SwitchError` when the proxy cannot be asked."""
        return ", ".join((await self.runtime.show_map(self.path)).get(key, ()))

    async def put(self, entries: Entries) -> None:
        """`SwitchError`, `SwitchUnknown`: see `Runtime.put`."""
        await self.runtime.put(self.path, entries)


class Places:
    """The running maps, and the distinct files of those that are on this machine."""

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        self.maps = tuple(RunningMap(proxy) for proxy in proxies)
        paths = dict.fromkeys(proxy.map_path for proxy in proxies if not proxy.remote)
        self.files = tuple(MapFile(path) for path in paths)

    async def see(self, key: str) -> tuple[Seen, ...]:
        """Every place at once: first the proxies, then the files."""
        files = asyncio.to_thread(lambda: tuple(_see_file(file, key) for file in self.files))
        seen = asyncio.gather(*(running.see(key) for running in self.maps))
        running, written = await asyncio.gather(seen, files)
        return (*running, *written)

    async def put(self, entries: Sequence[Entries]) -> None:
        """Write the entries of each running map, in the order of `maps`, to its file and to it.

        `SwitchError`: nothing was changed. `SwitchUnknown`: something was, or may have been.
        """
        await asyncio.to_thread(self._write_files, entries)
        reached("haproxy.file.written")
        puts = (running.put(wanted) for running, wanted in zip(self.maps, entries, strict=True))
        results = await asyncio.gather(*puts, return_exceptions=True)
        reached("haproxy.map.set")
        refuse_failures(results)

    def _write_files(self, entries: Sequence[Entries]) -> None:
        """All drafts are on the disk before the first of them is put in its place."""
        of_path = {m.path: e for m, e in reversed(list(zip(self.maps, entries, strict=True)))}
        drafts: list[Draft] = []
        try:
            for file in self.files:
                draft = file.draft(of_path[str(file.path)])
                drafts += [draft] if draft else []
            _put_all(drafts)
        finally:
            for draft in drafts:
                draft.drop()


def _put_all(drafts: Sequence[Draft]) -> None:
    for number, draft in enumerate(drafts):
        try:
            draft.put()
        except SwitchError as error:
            if number:
                raise SwitchUnknown(f"{error.message}; other map files were written") from error
            raise


def _see_file(file: MapFile, key: str) -> Seen:
    vantage = f"map file {file.path}"
    try:
        return Seen(vantage, ", ".join(dict.fromkeys(file.read().get(key, ()))))
    except SwitchError as error:
        return Seen(vantage, "", error.message)


def refuse_failures(results: Sequence[BaseException | object]) -> None:
    """Raise `SwitchUnknown` that names every place which failed; a defect is raised as it is."""
    failed = [result for result in results if isinstance(result, BaseException)]
    for failure in failed:
        if not isinstance(failure, FarshoreError):
            raise failure
    if failed:
        raise SwitchUnknown(
            f"{len(results) - len(failed)} of {len(results)} proxies did as they were told; "
            f"{'; '.join(str(failure) for failure in failed)}"
        )
