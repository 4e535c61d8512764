"""A fence by a program of the user's: it disables the application's keys, say.

    PROGRAM … fence SITE      exit 0: clients' writes are refused from now on
    PROGRAM … unfence SITE    exit 0: they are let through again
    PROGRAM … show SITE       exit 0, and "standing" or "absent" on standard output

`FARSHORE_BUCKETS` holds the names of the pair's buckets there, one a line, and
`FARSHORE_ENDPOINT` the site's. Every call may come again. What it says is not believed: the
application's canaries decide.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from farshore.config import Site
from farshore.errors import FarshoreError, OutcomeUnknown

WORDS_MAX = 300
"""How much of the program's own words a message repeats."""

STATES = {"standing": True, "absent": False}


class CommandBarrier:
    """Calls the program. `folder`: where it runs, the configuration's."""

    can_try = False

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder

    async def try_out(self, buckets: Sequence[str]) -> None:
        raise AssertionError("it can only be put")

    async def put(self, buckets: Sequence[str]) -> None:
        await self._call("fence", buckets)

    async def take(self, buckets: Sequence[str]) -> list[str]:
        was = await self.standing(buckets)
        await self._call("unfence", buckets)
        return [bucket for bucket in buckets if was[bucket]]

    async def standing(self, buckets: Sequence[str]) -> dict[str, bool]:
        said = (await self._call("show", buckets)).strip()
        if said not in STATES:
            raise FarshoreError(
                f'{self._named("show")} said {said[:WORDS_MAX]!a}, not "standing" or "absent".',
                hint="Mend the program: docs/fence.md says what it is asked and must answer.",
            )
        return dict.fromkeys(buckets, STATES[said])

    async def _call(self, verb: str, buckets: Sequence[str]) -> str:
        """Its standard output. `OutcomeUnknown` when it does not end in time."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._site.fence.argv,
                verb,
                self._site.name,
                cwd=self._folder,
                env={
                    **os.environ,
                    "FARSHORE_BUCKETS": "\n".join(buckets),
                    "FARSHORE_ENDPOINT": self._site.endpoint,
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise FarshoreError(
                f"{self._named(verb)} cannot be started: {error.strerror}.",
                hint=f"Correct argv under [sites.{self._site.name}.fence].",
            ) from error
        try:
            async with asyncio.timeout(self._site.fence.timeout_s):
                out, err = await process.communicate()
        except TimeoutError:
            raise OutcomeUnknown(
                f"{self._named(verb)} has not ended within {self._site.fence.timeout_s:g} s: it "
                "may have done its work, or not.",
                hint="See what it waits for; then run the same command again.",
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = err.decode(errors="replace").strip()[-WORDS_MAX:]
            raise FarshoreError(
                f"{self._named(verb)} failed with exit code {process.returncode}: {words or '-'}",
                hint="See to what it says; then run the same command again.",
            )
        return out.decode(errors="replace")

    def _named(self, verb: str) -> str:
        return f"`{Path(self._site.fence.argv[0]).name} … {verb} {self._site.name}`"
