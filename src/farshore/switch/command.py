"""A program of the user's as a driver. The contract, for people, is in docs/switch.md.

    PROGRAM [WORDS…] current|plan|apply|verify     one JSON document in, one out, no shell

    exit 0     done
    exit 3     apply: what stands there was not expected; nothing was changed
    exit 4     nothing was changed
    others     apply: unknown, as is a program that does not end in time

What stands there is read and compared before `apply` is run, and read again after it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farshore.config.switches import CommandSwitch
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchError,
    SwitchMoved,
    SwitchUnknown,
    Traits,
)
from farshore.switch.place import require_answer, site_of, stands_already, value_for

OUTPUT_BYTES_MAX = 64 * 1024
"""More output than this is not the JSON that we asked for."""

CONTRACT_VERSION = 1
DONE, MOVED, UNTOUCHED = 0, 3, 4
"""Exit codes of the contract."""


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)


class _ReadingForm(_Form):
    vantage: Annotated[str, Field(min_length=1)]
    raw: str = ""
    site: str | None = None
    error: str = ""


class _CurrentForm(_Form):
    readings: Annotated[list[_ReadingForm], Field(min_length=1)]


class _PlanForm(_CurrentForm):
    lines: list[str] = []
    propagation_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    findings: list[str] = []


AnyForm = TypeVar("AnyForm", bound=_Form)


class _Ended(NamedTuple):
    """`code` is None for a program that was ended because it said too much."""

    code: int | None
    output: bytes


class _Hung(Exception):
    """The program did not end in time, and was killed with all that it started."""


class CommandDriver:
    """A `SwitchDriver` behind one program."""

    def __init__(self, source: CommandSwitch) -> None:
        self._source = source
        self._program = PurePath(source.argv[0]).name
        self._vantages: tuple[str, ...] = (f"command {self._program}",)

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def traits(self) -> Traits:
        return Traits(cas=False, moves_live_clients=False)

    async def current(self) -> Position:
        """What the program says; `SwitchError` when it breaks the contract."""
        return await self._read("current")

    async def plan(self, to: str) -> DriverPlan:
        wanted = value_for(self.name, to, self._source.values)
        try:
            answer = self._parsed(await self._run("plan", to=to), "plan", _PlanForm)
        except _Hung:
            raise self._hung("plan") from None
        readings = [require_answer(r, self.name) for r in self._readings(answer)]
        left = [r for r in readings if r.site != to]
        lines = answer.lines or [
            f"{r.vantage}: {r.raw or 'nothing'} becomes {wanted}" for r in left
        ]
        return DriverPlan(
            driver=self.name,
            to=to,
            expect=tuple((r.vantage, r.raw) for r in readings),
            lines=tuple(lines) if left else (),
            propagation_s=answer.propagation_s if left else 0.0,
            findings=tuple(answer.findings),
        )

    async def apply(self, plan: DriverPlan) -> None:
        value_for(self.name, plan.to, self._source.values)
        if self._all_stand(plan, (await self.current()).readings):
            return
        try:
            ended = await self._run("apply", to=plan.to, expect=plan.expect)
        except _Hung:
            raise self._unknown(f"did not end within {self._source.timeout_s:g} s") from None
        if ended.code == MOVED:
            raise SwitchMoved(
                f"{self.name}: {self._program} found something else than the plan expects. "
                "Nothing was changed."
            )
        if ended.code == UNTOUCHED:
            raise self._failed("apply", f"ended with exit code {UNTOUCHED}; nothing was changed")
        if ended.code != DONE:
            raise self._unknown(f"ended with {_exit(ended.code)}")
        await self._read_back(plan.to)

    async def verify(self, to: str) -> Position:
        return await self._read("verify", to=to)

    async def aclose(self) -> None:
        """Every program has ended with the call that started it."""

    # -- what it says ----------------------------------------------------------------

    async def _read(self, verb: str, **more: object) -> Position:
        try:
            answer = self._parsed(await self._run(verb, **more), verb, _CurrentForm)
        except _Hung:
            late = f"{self._program} did not end within {self._source.timeout_s:g} s"
            return Position(tuple(Reading(place, "", "", late) for place in self._vantages))
        readings = self._readings(answer)
        if verb == "current":
            self._vantages = tuple(reading.vantage for reading in readings)
        return Position(readings)

    def _parsed(self, ended: _Ended, verb: str, form: type[AnyForm]) -> AnyForm:
        if ended.code != DONE:
            raise self._failed(verb, f"ended with {_exit(ended.code)}")
        try:
            return form.model_validate_json(ended.output)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            what = "not JSON" if first["type"] == "json_invalid" else f"{where}: {first['type']}"
            raise self._failed(verb, f"printed what is not in the contract ({what})") from None

    def _readings(self, answer: _CurrentForm) -> tuple[Reading, ...]:
        if len({one.vantage for one in answer.readings}) < len(answer.readings):
            raise self._failed("current", "names one vantage twice")
        return tuple(self._reading(one) for one in answer.readings)

    def _reading(self, one: _ReadingForm) -> Reading:
        if one.error:
            return Reading(one.vantage, "", "", one.error)
        site = site_of(one.raw, self._source.values) if one.site is None else one.site
        return Reading(one.vantage, site if site in self._source.values else "", one.raw)

    def _all_stand(self, plan: DriverPlan, readings: Sequence[Reading]) -> bool:
        """All places are held against the plan, before any is changed."""
        stand = [stands_already(plan, reading) for reading in readings]
        if len(readings) < len(plan.expect):
            raise self._failed("current", "names fewer places than when the plan was made")
        return all(stand)

    async def _read_back(self, to: str) -> None:
        try:
            found = await self.current()
        except SwitchError as error:
            raise self._unknown(f"agreed, and cannot be asked now: {error.message}") from None
        if not found.shows(to):
            raise self._unknown(f"agreed, and does not show {to}")

    # -- the process -----------------------------------------------------------------

    async def _run(self, verb: str, **more: object) -> _Ended:
        """Run it to its end. `_Hung` when it does not come; `SwitchError` when it cannot start."""
        document = {
            "version": CONTRACT_VERSION,
            "verb": verb,
            "driver": self.name,
            "values": dict(self._source.values),
            **more,
        }
        transport, program = await self._start(verb)
        try:
            program.tell(transport, json.dumps(document).encode() + b"\n")
            async with asyncio.timeout(self._source.timeout_s):
                await program.silent
            ended = _Ended(transport.get_returncode(), bytes(program.output))
        except TimeoutError:
            raise _Hung from None
        finally:
            await program.end(transport)
        return ended

    async def _start(self, verb: str) -> tuple[asyncio.SubprocessTransport, _Program]:
        try:
            return await asyncio.get_running_loop().subprocess_exec(
                _Program,
                *self._source.argv,
                verb,
                cwd=self._source.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise SwitchError(
                f"{self.name}: {self._program} cannot be started: {error.strerror}.",
                hint=f"It is started without a shell, in {self._source.folder}.",
            ) from None

    # -- errors: never what the program printed --------------------------------------

    def _failed(self, verb: str, what: str) -> SwitchError:
        return SwitchError(
            f"{self.name}: `{self._program} … {verb}` {what}.",
            hint=f"Run it yourself in {self._source.folder} to see what it says; docs/switch.md "
            "has the contract.",
        )

    def _hung(self, verb: str) -> SwitchError:
        return self._failed(verb, f"did not end within {self._source.timeout_s:g} s")

    def _unknown(self, what: str) -> SwitchUnknown:
        return SwitchUnknown(
            f"{self.name}: `{self._program} … apply` {what}: the change may stand."
        )


def _exit(code: int | None) -> str:
    if code is None:
        return f"more than {OUTPUT_BYTES_MAX} bytes of output"
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


class _Program(asyncio.SubprocessProtocol):
    """One run. `silent` is done when it has ended and nothing can come any more, or when it has
    said too much."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.silent = asyncio.get_running_loop().create_future()
        self._exited = asyncio.Event()

    def tell(self, transport: asyncio.SubprocessTransport, data: bytes) -> None:
        """Its standard input. A program need not read what it does not want to know."""
        stdin = transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(data)
        stdin.write_eof()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if len(self.output) <= OUTPUT_BYTES_MAX:
            self.output += data
        else:
            self._be_silent()

    def process_exited(self) -> None:
        self._exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_silent()

    def _be_silent(self) -> None:
        if not self.silent.done():
            self.silent.set_result(None)

    async def end(self, transport: asyncio.SubprocessTransport) -> None:
        """Nothing of its session goes on; a leader that was waited for has let its number go."""
        if transport.get_returncode() is None:
            with suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
        await self._exited.wait()
