"""Rights proved by doing: canary objects written, read, listed and purged.

A proof is made in every bucket of the pair as the replicator and as the app. Each step
names the right that it needs, so a refusal says what to grant to whom. Whatever happens,
the canary's key ends without any version or marker; canaries that a killed run left
behind are swept after an hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

from farshore.clock import Clock
from farshore.config import Principal
from farshore.control.bucket import Access, every
from farshore.control.contact import BAD_KEYS
from farshore.core import rules
from farshore.errors import ClockSkew, Corrupt, Denied, Gone, Refused, StoreError, Unsupported
from farshore.s3.store import Store, Written

CANARY_PREFIX = rules.OWN_PREFIX
"""Where canaries live; nothing of a user's is expected below it."""

SWEEP_AFTER_SECONDS = 3600
"""Canaries older than this belong to a run that was killed."""

VERSIONS_PER_CANARY_MAX = 100
"""More entries than this under one canary's key are not ours: stop and say so."""

PROOFS_AT_ONCE = 8
"""How many buckets are proved at one time."""

_BODY = b"farshore canary: this object proves a right and is purged at once.\n"


class Proof(NamedTuple):
    """One principal in one bucket. `error` is None when all its rights are there."""

    site: str
    bucket: str
    principal: Principal
    error: StoreError | None


async def prove(accesses: Sequence[tuple[Access, Sequence[str]]], clock: Clock) -> list[Proof]:
    """Every principal in every bucket, in a fixed order. `accesses`: site and its buckets.

    Denials are answered as proofs; every other error is raised (the proof could not be
    made).
    """
    gate = asyncio.Semaphore(PROOFS_AT_ONCE)

    async def one(access: Access, bucket: str) -> list[Proof]:
        async with gate:
            return await _prove_bucket(access, bucket, clock)

    jobs = [one(access, bucket) for access, buckets in accesses for bucket in buckets]
    return [proof for proofs in await every(jobs) for proof in proofs]


async def require_two_stores(
    source: Access, target: Access, buckets: Sequence[tuple[str, str]], clock: Clock
) -> None:
    """`Refused` when both endpoints show one and the same bucket under two names.

    `buckets`: (source, target) of those that are replicated. One store may well hold
    both sides, in different buckets: only a name that both sides use is looked at.
    """
    control = (source.site.control_bucket, target.site.control_bucket)
    bucket = next((ours for ours, theirs in (control, *buckets) if ours == theirs), None)
    if bucket is None:
        return
    key = canary_key(clock)
    async with _cleaned(source, bucket, key):
        await source.replicator.put(bucket, key, _BODY)
        try:
            await target.replicator.head(bucket, key)
        except Gone:
            return
    raise Refused(
        f"{source.site.endpoint} and {target.site.endpoint} are the same store: an object "
        f"written to {bucket} at {source.site.name} stands at {target.site.name} too.",
        hint="A region cannot protect itself: give the target another endpoint.",
    )


async def _prove_bucket(access: Access, bucket: str, clock: Clock) -> list[Proof]:
    await _sweep(access.replicator, bucket, clock)
    proofs = [await _proof(access, bucket, "replicator", _replicator_steps, clock)]
    if access.app is not None and bucket != access.site.control_bucket:
        proofs.append(await _proof(access, bucket, "app", _app_steps, clock))
    return proofs


Steps = Callable[[Access, str, str], Awaitable[None]]


async def _proof(
    access: Access, bucket: str, principal: Principal, steps: Steps, clock: Clock
) -> Proof:
    key = canary_key(clock)
    try:
        async with _cleaned(access, bucket, key):
            await steps(access, bucket, key)
    except Denied as error:
        return Proof(access.site.name, bucket, principal, error)
    return Proof(access.site.name, bucket, principal, None)


async def _replicator_steps(access: Access, bucket: str, key: str) -> None:
    store = access.replicator
    name = f"the replicator at {access.site.name}"
    async with _right(name, "s3:PutObject", bucket):
        written = await store.put(bucket, key, _BODY)
    async with _right(name, "s3:GetObject and s3:GetObjectVersion", bucket):
        await _read(store, bucket, key, written)
    async with _right(name, "s3:ListBucketVersions", bucket):
        page = await store.list_versions(bucket, prefix=key)
        if [entry.version_id for entry in page.entries] != [written.version_id]:
            raise Corrupt(f"{store.site} does not list the canary {bucket}/{key} that it keeps.")
    async with _right(name, "s3:DeleteObject", bucket):
        await store.delete(bucket, key)
    async with _right(name, "s3:DeleteObjectVersion", bucket):
        await _purge_unlocked(store, bucket, key, written)


async def _purge_unlocked(store: Store, bucket: str, key: str, written: Written) -> None:
    """Purge the canary; where a default retention holds it, say that instead of a right."""
    try:
        await purge_key(store, bucket, key)
    except Denied as error:
        lock = (await store.head(bucket, key, written.version_id)).attributes.lock
        if not lock.mode:
            raise
        raise Unsupported(
            f"{bucket} at {store.site} locks every new version ({lock.mode} until "
            f"{lock.retain_until}): the canary {key} cannot be purged before that.",
            hint="Take the bucket's default retention away while `farshore apply` runs.",
            action=error.action,
        ) from error


async def _app_steps(access: Access, bucket: str, key: str) -> None:
    store = access.app
    assert store is not None
    name = f"the app at {access.site.name}"
    async with _right(name, "s3:PutObject", bucket):
        written = await store.put(bucket, key, _BODY)
    async with _right(name, "s3:GetObject", bucket):
        await _read(store, bucket, key, Written("", written.etag))


async def _read(store: Store, bucket: str, key: str, written: Written) -> None:
    async with store.get(bucket, key, written.version_id) as answer:
        if await answer.read() != _BODY:
            raise Corrupt(f"{store.site} gave other bytes for {bucket}/{key} than it was sent.")


@contextlib.asynccontextmanager
async def _right(who: str, right: str, bucket: str) -> AsyncIterator[None]:
    """Turn a refusal into the right that is missing, and who lacks it."""
    try:
        yield
    except ClockSkew:
        raise
    except Denied as error:
        if error.code in BAD_KEYS:
            raise Denied(
                f"The keys of {who} are not accepted ({error.code}).",
                hint=f"Correct where the keys of {who} come from: farshore.toml names it.",
                status=error.status,
                code=error.code,
                action=error.action,
            ) from error
        raise Denied(
            f"{who[0].upper()}{who[1:]} lacks {right} in the bucket {bucket}.",
            hint=f"Grant {right} on {bucket} to {who}, or correct its credentials.",
            status=error.status,
            code=error.code,
            action=error.action,
        ) from error


@contextlib.asynccontextmanager
async def _cleaned(access: Access, bucket: str, key: str) -> AsyncIterator[None]:
    """Leave nothing of `key` behind, whatever the body did; the body's error comes first."""
    try:
        yield
    except BaseException:
        # The error under way says why; one of the clean-up would only hide it, and the
        # next apply sweeps what is left.
        with contextlib.suppress(StoreError):
            await _purge_as_anyone(access, bucket, key)
        raise
    await _purge_as_anyone(access, bucket, key)


async def _purge_as_anyone(access: Access, bucket: str, key: str) -> None:
    """The replicator may purge; where it may not, the operator cleans up behind it."""
    try:
        await purge_key(access.replicator, bucket, key)
    except Denied:
        await purge_key(access.operator, bucket, key)


async def purge_key(store: Store, bucket: str, key: str) -> None:
    """Remove every version and marker of one key. Asked again, it does nothing."""
    page = await store.list_versions(bucket, prefix=key, limit=VERSIONS_PER_CANARY_MAX)
    for entry in page.entries:
        if entry.key == key:
            await store.delete(bucket, key, entry.version_id)


async def _sweep(store: Store, bucket: str, clock: Clock) -> None:
    """Purge what killed runs left. One page at a time: the next apply goes on."""
    try:
        page = await store.list_versions(bucket, prefix=CANARY_PREFIX)
        for entry in page.entries:
            if _age(entry.key, clock) > SWEEP_AFTER_SECONDS:
                await store.delete(bucket, entry.key, entry.version_id)
    except Denied:
        return  # the proof that follows says which right is missing


def canary_key(clock: Clock) -> str:
    """A key that nobody has; its name says when it was made."""
    return f"{CANARY_PREFIX}{int(clock.now())}-{secrets.token_hex(8)}"


def _age(key: str, clock: Clock) -> float:
    """Seconds since a canary was made, by its name; 0 for a name that is not ours."""
    made, _, _ = key.removeprefix(CANARY_PREFIX).partition("-")
    return clock.now() - int(made) if made.isdecimal() and made.isascii() else 0.0
