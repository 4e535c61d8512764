"""The last full verify's record, read again and again for the metrics."""

from __future__ import annotations

import asyncio
import contextlib

from farshore.config import Config
from farshore.control.sites import open_store
from farshore.control.status import ProofRecord, read_proof
from farshore.errors import StoreError
from farshore.s3.wrap import Retrying

LOOK_EVERY_S = 60.0


class LastProof:
    """`record` is the newest that could be read; None until one was."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.record: ProofRecord | None = None

    async def read_for_ever(self) -> None:
        """Read it now and every minute. While the target is away, what was read stays."""
        config = self._config
        client = open_store(config, config.pair.target, "replicator")
        store = Retrying(client)
        try:
            while True:
                # Away: the record's age keeps rising in the metrics, and the status says why.
                with contextlib.suppress(StoreError):
                    self.record = await read_proof(
                        store, config.target.control_bucket, config.pair.name
                    )
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await client.aclose()
