"""The ways to refuse clients' writes at one site, and the first of them: bucket policies.

The docstrings are the contract. Every call may be repeated; none decides anything, and
none believes that it worked: `bite` looks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from farshore.control.bucket import every
from farshore.core.policy import (
    FENCE_SID,
    PLAIN_WRITES,
    TRIAL_SID,
    WRITES,
    BadPolicy,
    Spared,
    Statement,
    deny_writes,
    found,
    merged,
    without,
)
from farshore.errors import BadRequest, Denied, Refused, Unsupported
from farshore.fence.bite import TRIAL_KEYS
from farshore.s3.store import Store

Buckets = Sequence[str]


class Barrier(Protocol):
    """One way to refuse clients' writes at one site."""

    @property
    def can_try(self) -> bool:
        """Whether it can be tried on our canaries alone, while clients go on writing."""
        ...

    async def try_out(self, buckets: Buckets) -> None:
        """Refuse writes to our canaries of trials alone. `put` or `take` ends it."""
        ...

    async def put(self, buckets: Buckets) -> None:
        """Refuse writes. An error does not say how many buckets were done.

        `Refused` where the site cannot do it: then nothing was changed in the bucket that is named.
        """
        ...

    async def take(self, buckets: Buckets) -> list[str]:
        """Refuse them no longer; answers the buckets in which something was taken away."""
        ...

    async def standing(self, buckets: Buckets) -> dict[str, bool]:
        """Whether it stands, by bucket: as it is written there, not as it was seen to bite."""
        ...


class PolicyBarrier:
    """A Deny in every bucket's policy. `store`: the site, as the operator."""

    can_try = True

    def __init__(self, store: Store, spared: Spared) -> None:
        self._store = store
        self._spared = spared

    async def try_out(self, buckets: Buckets) -> None:
        await every([self._write(bucket, below=TRIAL_KEYS) for bucket in buckets])

    async def put(self, buckets: Buckets) -> None:
        await every([self._write(bucket) for bucket in buckets])

    async def take(self, buckets: Buckets) -> list[str]:
        gone = await every([self._remove(bucket) for bucket in buckets])
        return [bucket for bucket, was in zip(buckets, gone, strict=True) if was]

    async def standing(self, buckets: Buckets) -> dict[str, bool]:
        shown = await every([self._read(bucket) for bucket in buckets])
        return {
            bucket: _find(document, FENCE_SID, self._named(bucket)) is not None
            for bucket, document in zip(buckets, shown, strict=True)
        }

    async def _write(self, bucket: str, *, below: str | None = None) -> None:
        """Put our statement into the policy.

        First with every right that changes anything; a server that refuses rights which it
        does not know gets those alone that every server knows.
        """
        document = await self._read(bucket)
        try:
            await self._merge(bucket, document, self._deny(bucket, WRITES, below))
        except BadRequest:
            try:
                await self._merge(bucket, document, self._deny(bucket, PLAIN_WRITES, below))
            except BadRequest as error:
                raise Refused(
                    f"{self._store.site} does not take a fence into {self._named(bucket)}: "
                    f"{error.message}",
                    hint=_OTHERWISE,
                ) from error

    def _deny(self, bucket: str, actions: Sequence[str], below: str | None) -> Statement:
        return deny_writes(bucket, self._spared, actions, below=below)

    async def _merge(self, bucket: str, document: str, statement: Statement) -> None:
        """Write the policy with this statement, and without any trial of an earlier one."""
        try:
            text = merged(without(document, TRIAL_SID), statement)
        except BadPolicy as error:
            raise _not_ours(self._named(bucket), str(error)) from error
        async with self._rights(bucket):
            await self._store.put_bucket_policy(bucket, text)

    async def _remove(self, bucket: str) -> bool:
        document = await self._read(bucket)
        try:
            rest = without(without(document, TRIAL_SID), FENCE_SID)
        except BadPolicy as error:
            raise _not_ours(self._named(bucket), str(error)) from error
        if rest == document:
            return False
        async with self._rights(bucket):
            if rest:
                await self._store.put_bucket_policy(bucket, rest)
            else:
                await self._store.delete_bucket_policy(bucket)
        return True

    async def _read(self, bucket: str) -> str:
        async with self._rights(bucket):
            return await self._store.get_bucket_policy(bucket)

    @asynccontextmanager
    async def _rights(self, bucket: str) -> AsyncIterator[None]:
        """Say what the operator lacks, or what the server does."""
        try:
            yield
        except Denied as error:
            raise Refused(
                f"The operator at {self._store.site} may not change {self._named(bucket)}: "
                f"{error.message}",
                hint=f"Grant s3:GetBucketPolicy, s3:PutBucketPolicy and s3:DeleteBucketPolicy on "
                f"{bucket} to the operator, and to nobody else.",
            ) from error
        except Unsupported as error:
            raise Refused(
                f"{self._store.site} has no bucket policies, so it cannot be fenced by them: "
                f"{error.message}",
                hint=_OTHERWISE,
            ) from error

    def _named(self, bucket: str) -> str:
        return f"the policy of {bucket} at {self._store.site}"


_OTHERWISE = (
    'Fence it by a program of yours: [sites.NAME.fence] by = "command", see docs/fence.md. Where '
    'there is none, by = "none" says so, and the verdict counts it.'
)


def _find(document: str, sid: str, named: str) -> Statement | None:
    try:
        return found(document, sid)
    except BadPolicy as error:
        raise _not_ours(named, str(error)) from error


def _not_ours(named: str, why: str) -> Refused:
    return Refused(
        f"{named[0].upper()}{named[1:]} is left as it is: {why}.",
        hint="Look at it with `aws s3api get-bucket-policy` and mend it; then run this again.",
    )
