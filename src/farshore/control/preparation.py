"""One `apply` from end to end: survey, plan, perform, prove, record, survey again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.bucket import Access, Probe, perform, resolve, survey
from farshore.control.canary import Proof, prove, require_two_stores
from farshore.control.contact import make_contact
from farshore.control.prepare import Change, Need, Plan, RecordCapabilities, needs, plan
from farshore.control.recorded import require_capabilities
from farshore.errors import ConfigError, Denied, StateError, Unsupported


@dataclass(frozen=True, slots=True)
class Preparation:
    """Both sites of a pair, open, and what is wanted of them.

    `buckets`: (source, target) of every bucket that is replicated.
    """

    config: Config
    source: Access
    target: Access
    buckets: list[tuple[str, str]]
    probe: Probe
    clock: Clock

    @classmethod
    async def begin(
        cls, config: Config, source: Access, target: Access, *, probe: Probe, clock: Clock
    ) -> Preparation:
        """`Unreachable`, `ClockSkew` and `Denied` (wrong keys) before anything else;
        `ConfigError` when no bucket is meant."""
        for access in (source, target):
            await _meet(access)
        buckets = await resolve(config, source)
        if not buckets:
            raise ConfigError(
                f"No bucket at {source.site.name} matches pair.buckets of {config.path}.",
                hint="Correct the patterns; the operator must be able to list the buckets.",
            )
        return cls(config, source, target, buckets, probe, clock)

    async def plan(self) -> Plan:
        """What is to be done now. Changes nothing."""
        wanted = self._needs()
        return plan(wanted, [await survey(access, wanted) for access in self._sides()])

    def require_possible(self, found: Plan) -> None:
        """`ConfigError` with every problem of the plan."""
        if found.problems:
            raise ConfigError("Nothing can be prepared yet.", problems=found.problems)

    async def carry_out(self, found: Plan, note: Callable[[str], None]) -> list[Proof]:
        """Make the changes, prove every right, and look again that nothing is left to do.

        Buckets first, as the operator; then the proofs, which the probe builds upon.
        """
        self.require_possible(found)
        await self._perform([c for c in found.changes if not _is_record(c)], note)
        proofs = await self._prove(note)
        await self._perform([c for c in found.changes if _is_record(c)], note)
        await self._require_listable()
        self._require_done(await self.plan())
        return proofs

    async def _perform(self, changes: list[Change], note: Callable[[str], None]) -> None:
        by_site = {access.site.name: access for access in self._sides()}
        for change in changes:
            site, what, before, after = change.row()
            note(f"{site}: {what}: {before} -> {after}")
            await perform(change, by_site[site], self.probe)

    async def _prove(self, note: Callable[[str], None]) -> list[Proof]:
        note("proving rights by canary objects")
        proofs = await prove(
            [(access, self._buckets_of(access)) for access in self._sides()], self.clock
        )
        _require_proved(proofs)
        await require_two_stores(self.source, self.target, self.buckets, self.clock)
        return proofs

    async def _require_listable(self) -> None:
        """A site whose listings lose versions cannot be replicated."""
        for access in self._sides():
            site = access.site
            if (await require_capabilities(access.replicator, site)).listing is None:
                raise Unsupported(
                    f"No way was found to list {site.name} ({site.endpoint}) completely: "
                    "versions could be missed without anybody noticing.",
                    hint=f'On SeaweedFS give its filer: [sites.{site.name}] filer = "http://…"',
                )

    def _require_done(self, left: Plan) -> None:
        if left.changes or left.problems:
            rows = [" ".join(change.row()[:2]) for change in left.changes]
            raise StateError(
                f"The sites took the changes and do not show them: {', '.join(rows)}.",
                hint="Run `farshore apply` again; if it stays so, look at the server's log.",
            )

    def _needs(self) -> list[Need]:
        return needs(self.config, self.buckets)

    def _sides(self) -> tuple[Access, Access]:
        return self.source, self.target

    def _buckets_of(self, access: Access) -> list[str]:
        return [need.bucket for need in self._needs() if need.site == access.site.name]


async def _meet(access: Access) -> None:
    """First contact as every principal."""
    await make_contact(access.operator, access.site, "operator")
    await make_contact(access.replicator, access.site, "replicator")
    if access.app is not None:
        await make_contact(access.app, access.site, "app")


def _require_proved(proofs: list[Proof]) -> None:
    """`Denied` that names every right that is missing, and who lacks it."""
    failed = [proof.error for proof in proofs if proof.error is not None]
    if not failed:
        return
    raise Denied(
        " ".join(dict.fromkeys(error.message for error in failed)),
        hint=" ".join(dict.fromkeys(error.hint for error in failed if error.hint)),
        status=failed[0].status,
        code=failed[0].code,
        action=failed[0].action,
    )


def _is_record(change: Change) -> bool:
    return isinstance(change, RecordCapabilities)
