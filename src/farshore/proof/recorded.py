"""What a verify of everything has found, left at the target for whoever asks how a pair stands."""

from __future__ import annotations

import socket
from contextlib import aclosing

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.sites import open_store
from farshore.control.status import ProofRecord, write_proof
from farshore.errors import StoreError
from farshore.proof.verify import Proof
from farshore.s3.wrap import Retrying


async def record_proof(
    config: Config, clock: Clock, proof: Proof, *, deep: bool, began_at: float
) -> str:
    """Answers why it could not be recorded, "" when it was: the differences are the result.

    `began_at`: Unix seconds by `clock`. Recorded times are the source's: a Date header is behind
    its clock, so none of them is too late.
    """
    pair = config.pair
    async with (
        aclosing(open_store(config, pair.source, "replicator")) as source,
        aclosing(open_store(config, pair.target, "replicator")) as target,
    ):
        try:
            offset = await Retrying(source).server_time_offset()
            record = ProofRecord(
                pair=pair.name,
                began_at=began_at + offset,
                finished_at=clock.now() + offset,
                deep=deep,
                keys=proof.keys,
                versions=proof.versions,
                differences=proof.wrong,
                host=socket.gethostname(),
                scope=pair.scope,
                divergent=proof.divergent,
            )
            await write_proof(Retrying(target), config.target.control_bucket, record)
        except StoreError as error:
            return f"This result was not recorded at {pair.target}: {error.message}"
    return ""
