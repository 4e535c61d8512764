"""A file that applications read: replaced as a whole, never half written.

    read ──> hold against the plan ──> temporary file, fsync ──> rename ──> fsync the folder

The folder is locked meanwhile, so that two of us never write at once; anybody else may. The
mode and the owner of the file stay; a symbolic link goes on pointing to it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from farshore.config.switches import FileSwitch
from farshore.core.whereabouts import FILE_BYTES_MAX
from farshore.faultpoints import reached
from farshore.switch.aside import aside
from farshore.switch.content import BadContent, entry_in, epoch_in, with_entry
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchError,
    SwitchUnknown,
    Traits,
)
from farshore.switch.place import plan_for, require_answer, site_of, stands_already, value_for

CALL_SECONDS_MAX = 10.0
"""A file system that does not answer within this time is given up."""

NEW_FILE_MODE = 0o644
"""Of a file that was not there: applications of other users read it."""

LOCK_TRIES_MAX = 100
LOCK_PAUSE_S = 0.02
"""Another one of us needs milliseconds."""


class _Text(NamedTuple):
    """`status` is None where there is no file yet."""

    text: str
    status: os.stat_result | None


class FileDriver:
    """A `SwitchDriver` of one file on this machine. `call_s_max`: how long its file system may
    take for one call."""

    def __init__(self, source: FileSwitch, *, call_s_max: float = CALL_SECONDS_MAX) -> None:
        self._call_s_max = call_s_max
        self._source = source
        self._vantage = f"file {source.path}"

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def traits(self) -> Traits:
        return Traits(cas=False, moves_live_clients=False, keeps_epoch=True)

    async def current(self) -> Position:
        try:
            return Position((await aside(self._look, self._call_s_max),))
        except TimeoutError:
            late = f"it cannot be read within {self._call_s_max:g} s"
            return Position((Reading(self._vantage, "", "", late),))

    async def plan(self, to: str) -> DriverPlan:
        wanted = value_for(self.name, to, self._source.values)
        (reading,) = (await self.current()).readings
        return plan_for(self.name, reading, to, wanted)

    async def apply(self, plan: DriverPlan) -> None:
        await self._in_time(lambda given_up: self._apply(plan, given_up))

    async def note_epoch(self, site: str, epoch: int) -> None:
        """See `switch.epochs`. A file that shows another site by now is left as it is."""
        await self._in_time(lambda given_up: self._note_epoch(site, epoch, given_up))

    async def lacks_epoch(self, site: str, epoch: int) -> bool:
        """See `switch.epochs`. Of a file that cannot be read nothing is known to be lacking."""
        try:
            return await aside(lambda: self._lacks_epoch(site, epoch), self._call_s_max)
        except TimeoutError:
            return False

    async def _in_time(self, work: Callable[[threading.Event], None]) -> None:
        given_up = threading.Event()
        try:
            await aside(lambda: work(given_up), self._call_s_max)
        except TimeoutError:
            given_up.set()  # the thread goes on: let it not come to its end much later
            raise SwitchUnknown(
                f"{self.name}: {self._vantage} was not written within {self._call_s_max:g} s, "
                "and may yet be."
            ) from None

    async def verify(self, to: str) -> Position:
        return await self.current()

    async def aclose(self) -> None:
        """Nothing stays open."""

    # -- in a thread -----------------------------------------------------------------

    @property
    def _real_path(self) -> Path:
        """Where a symbolic link points to: the link stays."""
        return Path(os.path.realpath(self._source.path))

    def _look(self) -> Reading:
        try:
            return self._reading(_read(self._real_path).text)
        except OSError as error:
            return Reading(self._vantage, "", "", error.strerror or type(error).__name__)
        except BadContent as error:
            return Reading(self._vantage, "", "", str(error))

    def _reading(self, text: str) -> Reading:
        """A file that names one site and has the URL of another is no site of ours."""
        entry = entry_in(text, self._source.format)
        site = site_of(entry.url, self._source.values)
        if entry.site and entry.site != site:
            return Reading(self._vantage, "", f"{entry.url} as {entry.site}")
        return Reading(self._vantage, site, entry.url)

    def _apply(self, plan: DriverPlan, given_up: threading.Event) -> None:
        value_for(self.name, plan.to, self._source.values)
        with self._untouched(), _locked(self._real_path.parent) as folder:
            if not stands_already(plan, self._look()):
                self._write(plan.to, 0, folder, given_up)

    def _note_epoch(self, site: str, epoch: int, given_up: threading.Event) -> None:
        with self._untouched(), _locked(self._real_path.parent) as folder:
            if require_answer(self._look(), self.name).site == site:
                self._write(site, epoch, folder, given_up)

    def _lacks_epoch(self, site: str, epoch: int) -> bool:
        try:
            text = _read(self._real_path).text
            return self._reading(text).site == site and epoch_in(text, self._source.format) != epoch
        except (OSError, BadContent):
            return False

    def _write(self, site: str, epoch: int, folder: int, given_up: threading.Event) -> None:
        """The whole file anew; `folder` is locked. Not when nobody waits for it any more."""
        path = self._real_path
        found = _read(path)
        text = with_entry(found.text, self._source.format, site, self._source.values, epoch)
        temporary = _write_beside(path, text, found.status)
        reached("file.written")
        if given_up.is_set():
            temporary.unlink()
            return
        os.rename(temporary, path)
        with self._renamed():
            os.fsync(folder)

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            raise SwitchError(
                f"{self.name}: another process writes in the folder of {self._vantage} just now. "
                "Nothing was changed.",
                hint="Run the same command again in a moment.",
            ) from None
        except (OSError, BadContent) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SwitchError(
                f"{self.name}: {self._vantage} cannot be written: {reason}. Nothing was changed.",
                hint="Look at the folder's rights and free space, then run the same command again.",
            ) from None

    @contextmanager
    def _renamed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SwitchUnknown(
                f"{self.name}: {self._vantage} was replaced, and may not outlive a power cut: "
                f"{error.strerror}."
            ) from None


def _read(path: Path) -> _Text:
    """The file's text, empty when it is not there in a folder that is.

    Nothing but a plain file is opened: a pipe would never end.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise BadContent("its folder is not there") from None
        return _Text("", None)
    if not stat.S_ISREG(status.st_mode):
        raise BadContent("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no file")
    if status.st_size > FILE_BYTES_MAX:
        raise BadContent(f"it is larger than {FILE_BYTES_MAX} bytes")
    try:
        return _Text(path.read_bytes().decode("utf-8"), status)
    except UnicodeDecodeError:
        raise BadContent("it is not UTF-8 text") from None


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The folder's descriptor, locked against others of us. `BlockingIOError` when taken."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for attempt in range(LOCK_TRIES_MAX):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == LOCK_TRIES_MAX - 1:
                    raise
                time.sleep(LOCK_PAUSE_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _write_beside(path: Path, text: str, status: os.stat_result | None) -> Path:
    """A whole file on the disk, under a name that only the holder of the lock uses: one that
    a killed process left is taken again."""
    temporary = path.with_name(f".{path.name}.farshore")
    with suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) if status else NEW_FILE_MODE)
            if status and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fsync(descriptor)
    except OSError:
        temporary.unlink()
        raise
    return temporary
