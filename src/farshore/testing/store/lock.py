"""Object Lock in memory: what a lock forbids, and which changes of a lock S3 accepts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NoReturn

from farshore.core.model import Lock
from farshore.errors import BadRequest, Denied

MODES = ("GOVERNANCE", "COMPLIANCE")


def seconds(text: str) -> float:
    """Unix seconds of an ISO 8601 time; one without a zone is UTC. `ValueError` if neither."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def require_unlocked(lock: Lock, now: float, action: str) -> None:
    """Raise `Denied` when the lock forbids a purge now."""
    retained = bool(lock.retain_until) and seconds(lock.retain_until) > now
    if lock.legal_hold or retained:
        reason = "a legal hold" if lock.legal_hold else f"{lock.mode} until {lock.retain_until}"
        raise Denied(
            f"{action}: the version is locked ({reason})",
            hint="Wait until the lock has ended, or let a person with the right lift it.",
            status=403,
            code="AccessDenied",
            action=action,
        )


def require_valid(lock: Lock, now: float, action: str) -> None:
    """Raise `BadRequest` unless the retention is absent, or whole and in the future."""
    if not lock.mode and not lock.retain_until:
        return
    if lock.mode not in MODES:
        _refuse(action, f"{lock.mode!r} is no retention mode")
    try:
        until = seconds(lock.retain_until)
    except ValueError:
        _refuse(action, f"{lock.retain_until!r} is no ISO 8601 time")
    if until <= now:
        _refuse(action, f"the retain-until time {lock.retain_until} is not in the future")


def require_not_weaker(old: Lock, new: Lock, now: float, action: str) -> None:
    """Raise `Denied` when a running retention would be shortened, lifted or softened."""
    if not old.retain_until or seconds(old.retain_until) <= now:
        return
    shorter = not new.retain_until or seconds(new.retain_until) < seconds(old.retain_until)
    softer = old.mode == "COMPLIANCE" and new.mode != "COMPLIANCE"
    if shorter or softer:
        raise Denied(
            f"{action}: a {old.mode} retention cannot be weakened",
            status=403,
            code="AccessDenied",
            action=action,
        )


def _refuse(action: str, reason: str) -> NoReturn:
    raise BadRequest(f"{action}: {reason}", status=400, code="InvalidArgument", action=action)
