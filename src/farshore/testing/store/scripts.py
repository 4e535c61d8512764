"""The faults that can be asked for, and the scripts that ask for them.

A script decides call by call; the same script over the same calls gives the same
faults, so that a failed run can be repeated from its seed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from farshore.errors import OutcomeUnknown, ServerFault, StoreError, Throttled, Unreachable

WRITES = frozenset(
    {
        "put",
        "delete",
        "put_tags",
        "put_retention",
        "put_legal_hold",
        "create_upload",
        "put_part",
        "complete_upload",
        "abort_upload",
        "create_bucket",
        "put_versioning",
        "put_bucket_policy",
        "delete_bucket_policy",
        "put_bucket_config",
    }
)
"""Operations with an effect: only these can have an unknown outcome."""


class Crashed(BaseException):
    """The process died here. No `except Exception` may swallow it."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise `error(action)`, ahead of the effect or, with `after`, once it is done."""

    error: Callable[[str], StoreError]
    after: bool = False


@dataclass(frozen=True, slots=True)
class Crash:
    """Raise `Crashed`, ahead of the effect or after it."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """Wait until the event is set, ahead of the effect or after it; then go on."""

    event: asyncio.Event
    after: bool = False


@dataclass(frozen=True, slots=True)
class CutBody:
    """A GET whose body ends after `keep` bytes: reading it raises `Corrupt`."""

    keep: int = 0


@dataclass(frozen=True, slots=True)
class AlterBody:
    """A GET with one byte flipped at `position` (modulo the length), and no error."""

    position: int = 0


@dataclass(frozen=True, slots=True)
class CutListing:
    """A page that ends after `keep` entries and claims to be the last one."""

    keep: int = 0


@dataclass(frozen=True, slots=True)
class LoseEntries:
    """A page without its first `count` entries: keys lost between two pages."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class DisorderedListing:
    """A page whose entries come in the opposite order."""


Fault = Fail | Crash | Hang | CutBody | AlterBody | CutListing | LoseEntries | DisorderedListing

Script = Callable[[str, str, str, int], Fault | None]
"""(operation, bucket, key, number of the call from 1) -> the fault of this call, if any."""


def unreachable() -> Fail:
    """The connection broke before the request had an effect."""
    return Fail(lambda action: Unreachable(f"{action}: the connection broke", action=action))


def throttled(retry_after: float = 0.0) -> Fail:
    """SlowDown; nothing was done."""
    return Fail(
        lambda action: Throttled(
            f"{action}: the server asks for fewer requests (SlowDown)",
            status=503,
            code="SlowDown",
            action=action,
            retry_after=retry_after,
        )
    )


def server_fault(*, after: bool = False) -> Fail:
    """500, ahead of the effect or although it was done."""
    return Fail(
        lambda action: ServerFault(
            f"{action}: the server failed (InternalError)",
            status=500,
            code="InternalError",
            action=action,
        ),
        after=after,
    )


def lost_answer() -> Fail:
    """The effect was done, and the answer never came."""
    return Fail(
        lambda action: OutcomeUnknown(
            f"{action}: sent, and no answer came",
            hint="Look whether it happened before trying again.",
            action=action,
        ),
        after=True,
    )


def on(
    operation: str, fault: Fault, *, nth: int = 1, times: int = 1, key: str | None = None
) -> Script:
    """The fault on the `nth` call of this operation (of this key) and `times` - 1 after it."""
    seen = 0

    def script(name: str, _bucket: str, about: str, _number: int) -> Fault | None:
        nonlocal seen
        if name != operation or key not in (None, about):
            return None
        seen += 1
        return fault if nth <= seen < nth + times else None

    return script


def at(number: int, fault: Fault) -> Script:
    """The fault on the call with this number, whatever it is."""
    return lambda _name, _bucket, _key, call: fault if call == number else None


def first_of(*scripts: Script) -> Script:
    """Every script sees every call; the first that has a fault for it wins."""

    def script(name: str, bucket: str, key: str, number: int) -> Fault | None:
        faults = [script(name, bucket, key, number) for script in scripts]
        return next((fault for fault in faults if fault is not None), None)

    return script


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each fault happens, as shares of the calls that it fits."""

    unreachable: float = 0.0
    throttled: float = 0.0
    server_fault_before: float = 0.0
    server_fault_after: float = 0.0
    lost_answer: float = 0.0
    crash_before: float = 0.0
    crash_after: float = 0.0
    cut_body: float = 0.0
    alter_body: float = 0.0
    cut_listing: float = 0.0
    lose_entries: float = 0.0


BODY_POSITION_MAX = 1 << 20
LISTING_CUT_MAX = 8


def seeded(seed: int, rates: Rates) -> Script:
    """Faults by chance, the same for the same seed and the same order of calls."""
    if rates == Rates():
        return lambda _name, _bucket, _key, _number: None
    rng = random.Random(seed)

    def script(name: str, _bucket: str, _key: str, _number: int) -> Fault | None:
        draw, size = rng.random(), rng.randrange(BODY_POSITION_MAX)
        for share, fault in _choices(name, rates, size):
            if draw < share:
                return fault
            draw -= share
        return None

    return script


def _choices(operation: str, rates: Rates, size: int) -> list[tuple[float, Fault]]:
    """What may happen to this operation, with its share."""
    choices: list[tuple[float, Fault]] = [
        (rates.unreachable, unreachable()),
        (rates.throttled, throttled()),
        (rates.server_fault_before, server_fault()),
        (rates.crash_before, Crash()),
    ]
    if operation in WRITES:
        choices += [
            (rates.server_fault_after, server_fault(after=True)),
            (rates.lost_answer, lost_answer()),
            (rates.crash_after, Crash(after=True)),
        ]
    if operation == "get":
        choices += [(rates.cut_body, CutBody(size)), (rates.alter_body, AlterBody(size))]
    if operation == "list_versions":
        few = size % LISTING_CUT_MAX
        choices += [
            (rates.cut_listing, CutListing(few)),
            (rates.lose_entries, LoseEntries(few + 1)),
        ]
    return choices
