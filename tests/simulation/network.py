"""The simulated network between farshore and a site, and the sites themselves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal, NoReturn, Protocol, TypeVar, cast

from farshore.core.model import Version
from farshore.core.rules import OWN_PREFIX
from farshore.errors import Corrupt, OutcomeUnknown, StoreError, Unreachable
from farshore.s3.filer import FilerName
from farshore.s3.store import ALWAYS, Store
from farshore.s3.wrap import Operation
from farshore.testing.store.faults import Fault, Faulty, due, spoilt
from farshore.testing.store.lossy import LossyListingStore
from farshore.testing.store.scripts import WRITES, AlterBody, CutBody, Fail
from tests.simulation.ground import is_paired
from tests.simulation.weather import FAIR, Weather

T = TypeVar("T")

FILER_NAMES_MAX = 4
"""Names of one answer of a filer."""

LATE_S = 3.0
"""A request whose answer was given up arrives up to so much later."""


class Passing(Protocol):
    """Told of every request, right before its effect and right after it."""

    def __call__(self, action: str, *, after: bool) -> None: ...


def _nothing(action: str, *, after: bool) -> None:
    """Nobody asks."""


Form = Literal["repeatable", "conditional", "stream"]
"""How a request may arrive: a stream only while whoever sends it lives."""


class Network(Faulty):
    """One process's way to one site. Once it is `dead`, nothing passes any more.

    `offset`: the site's clock minus the daemon's. `late`: the share of requests under a
    condition whose answer is given up, and that arrive nevertheless, after that. `weather`: what
    else happens. `seen` counts it.
    """

    def __init__(
        self,
        store: Store,
        script: Callable[[str, str, str, int], Fault | None],
        rng: random.Random,
        latency_s: float,
        late: float,
        log: Callable[[str], None],
        weather: Weather = FAIR,
        seen: Counter[str] | None = None,
    ) -> None:
        super().__init__(store, script)
        self.store = store
        self._rng = rng
        self._latency_s = latency_s
        self._log = log
        self._flying: dict[int, Callable[[], Awaitable[object]]] = {}
        self.late = late
        self._weather = weather
        self._seen = Counter() if seen is None else seen
        self.dead = False
        self.is_away: Callable[[], bool] = lambda: False
        self.offset: Callable[[], float] = lambda: 0.0
        self.passing: Passing = _nothing
        self.arriving: Callable[[bool], None] = lambda _: None  # late, from now on, or no more
        self.repeating: Callable[[bool], None] = lambda _: None  # what has arrived already
        self.blind: Callable[[bool], None] = lambda _: None  # without a condition

    async def _travel(self, action: str, *, done: bool = False) -> None:
        """`done`: the answer of a request that may have changed something comes back."""
        await asyncio.sleep(self._rng.random() * self._latency_s)
        if not self.dead and not self.is_away():
            return
        if done and action.split()[0] in WRITES:
            raise OutcomeUnknown(f"{action}: sent, and no answer came", action=action)
        raise Unreachable(f"{action}: nobody answers", action=action)

    async def under(
        self,
        fault: Fault | None,
        operation: Operation,
        action: str,
        call: Callable[[], Awaitable[T]],
    ) -> T:
        if operation.name == "server_time_offset":
            await self._travel(action)
            return cast("T", self.offset())
        number, form = self._number, form_of(operation)
        if form != "stream":
            self._flying[number] = call
        try:
            await self._travel(action)
            await due(fault, action, after=False)
        finally:
            self._flying.pop(number, None)
        if self._is_late(operation, form):
            self._log(f"late: {action}")
            self._seen["request that arrives late"] += 1
            self._later(action, call)
        if form == "conditional" and self._chance(self._weather.doubled):
            self._seen["request that arrives twice"] += 1
            with suppress(StoreError):
                await call()
            call = _told_around(call, self.repeating)
        if operation.condition == ALWAYS:
            call = _told_around(call, self.blind)
        self.passing(action, after=False)
        if self.dead:
            raise Unreachable(f"{action}: whoever asks is dead", action=action)
        try:
            answer = await call()
            self.passing(action, after=True)
        except StoreError as error:
            self._log(f"{action}: {type(error).__name__}")
            raise
        self._log(action)
        await self._travel(action, done=True)
        if operation.name == "list_versions" and self._chance(self._weather.cut_pages):
            self._seen["listing cut mid-page"] += 1
            raise Corrupt(f"{action}: the answer broke off", action=action)
        if fault is not None:
            self._seen[told_of(fault)] += 1
        await due(fault, action, after=True)
        return spoilt(answer, fault, action)

    def _chance(self, share: float) -> bool:
        return share > 0.0 and self._rng.random() < share

    def _is_late(self, operation: Operation, form: Form) -> bool:
        """A condition stops most; blind writes are those of the pair's own keys."""
        if form == "conditional":
            return self._chance(max(self.late, self._weather.late))
        blind = self._weather.late_blind and operation.name in ("put", "delete")
        if not blind or form == "stream" or operation.repeatable:
            return False
        ours = is_paired(operation.bucket) and not operation.key.startswith(OWN_PREFIX)
        return ours and self._chance(self._weather.late)

    def _later(self, action: str, act: Callable[[], Awaitable[object]]) -> NoReturn:
        def arrive() -> None:
            self.arriving(True)
            run_now(act(), self._log)
            self.arriving(False)

        asyncio.get_running_loop().call_later(self._rng.random() * LATE_S, arrive)
        raise OutcomeUnknown(f"{action}: sent, and no answer came", action=action)

    def calm(self) -> None:
        """From now on the network is quick, and no request is late."""
        self.late, self._latency_s = 0.0, min(self._latency_s, 0.005)
        self._weather = replace(self._weather, cut_pages=0.0, doubled=0.0, late=0.0)

    def die(self) -> None:
        """The process was killed. What was under way arrives now, or never."""
        self.dead = True
        for act in self._flying.values():
            if self._rng.random() < 0.5:
                run_now(act(), self._log)
        self._flying.clear()


class FilerLine:
    """The way to the filer of a site, by the same line. One request for each page of names."""

    def __init__(self, way: Network, filer: LossyListingStore) -> None:
        self._way, self._filer = way, filer

    async def names(
        self, bucket: str, directory: str, *, after: str = ""
    ) -> AsyncGenerator[list[FilerName], None]:
        asked = Operation("list_directory", True, bucket, directory)
        while True:
            ask = partial(self._filer.list_directory, bucket, directory, after, FILER_NAMES_MAX)
            page = await self._way.around(asked, ask)
            if not page:
                return
            yield page
            after = page[-1].name

    async def history(self, bucket: str, key: str) -> list[Version]:
        asked = Operation("history", True, bucket, key)
        return await self._way.around(asked, partial(self._filer.history, bucket, key))


def _told_around(
    call: Callable[[], Awaitable[T]], tell: Callable[[bool], None]
) -> Callable[[], Awaitable[T]]:
    """The same call; `tell` hears that it begins, and that it has ended."""

    async def told() -> T:
        tell(True)
        try:
            return await call()
        finally:
            tell(False)

    return told


def told_of(fault: Fault) -> str:
    """Its kind, in words."""
    if not isinstance(fault, Fail):
        return {CutBody: "body cut", AlterBody: "body altered"}.get(type(fault), "other fault")
    name = type(fault.error("")).__name__
    return f"{name}, after the effect" if fault.after else name


def form_of(operation: Operation) -> Form:
    """How that request may arrive."""
    if not isinstance(operation.body, bytes):
        return "stream"
    if operation.name == "complete_upload":
        return "conditional"  # an upload is completed once
    return "repeatable" if operation.condition == ALWAYS else "conditional"


def run_now(act: Awaitable[object], log: Callable[[str], None]) -> None:
    """The stores in memory never wait: what they do is done in one go."""
    steps = act.__await__()
    try:
        next(steps)
    except StopIteration:
        log("it arrived")
    except StoreError as error:
        log(f"it arrived, and was refused: {type(error).__name__}")
    else:
        raise RuntimeError("a store in memory waited")
