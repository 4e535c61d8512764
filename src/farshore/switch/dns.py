"""A record of a DNS zone, changed by one signed update (RFC 2136). Needs dnspython.

The update carries the expected value as its prerequisite: the authority itself refuses it
when somebody else was faster. Nothing is written beside the record: which epoch and which
run moved it, the control record knows.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import dns.exception
import dns.name
import dns.rcode
import dns.tsig
import dns.update

from farshore.config.switches import DnsSwitch
from farshore.switch.driver import (
    DriverPlan,
    Position,
    Reading,
    SwitchError,
    SwitchUnknown,
    Traits,
)
from farshore.switch.lookup import (
    ASK_SECONDS_MAX,
    Answer,
    KeyRefused,
    ask_authority,
    canonical,
    connected,
    exchange,
    no_answer,
    presentation,
    resolver_readings,
    shown,
)
from farshore.switch.place import (
    expected_at,
    plan_for,
    stands_already,
    ttl_findings,
    value_for,
)

UPDATE_SECONDS_MAX = 5.0
"""How long the authority may take for an update: it writes its journal before it answers."""

_NOT_AS_EXPECTED = {
    dns.rcode.NXRRSET,
    dns.rcode.YXRRSET,
    dns.rcode.NXDOMAIN,
    dns.rcode.YXDOMAIN,
}
"""RFC 2136, 3.2: a prerequisite does not hold. Nothing was changed."""

_REFUSALS = {
    dns.rcode.REFUSED: "the key may not change this record; BIND calls the right `update-policy`",
    dns.rcode.NOTAUTH: "it is not the primary authority of the zone, or does not know the key",
    dns.rcode.NOTZONE: "the record is not in the zone",
    dns.rcode.FORMERR: "it cannot read the update",
    dns.rcode.NOTIMP: "it takes no updates",
}
"""Answers after which nothing was changed, and what they mean."""


def tsig_key(source: DnsSwitch, secret: str) -> dns.tsig.Key:
    """The key of `source`. `ValueError` (no text of the secret) when it is not base64."""
    try:
        data = base64.b64decode(secret, validate=True)
    except ValueError:  # binascii.Error is one
        raise ValueError("it is not base64") from None
    return dns.tsig.Key(f"{source.tsig_name}.", data, f"{source.tsig_algorithm}.")


class DnsDriver:
    """A `SwitchDriver` of one record. `propagation_max_s`: a TTL above it is a finding."""

    def __init__(
        self,
        source: DnsSwitch,
        key: dns.tsig.Key,
        propagation_max_s: float,
        *,
        ask_s_max: float = ASK_SECONDS_MAX,
        update_s_max: float = UPDATE_SECONDS_MAX,
    ) -> None:
        self._source = source
        self._record = source.record
        self._key = key
        self._propagation_max_s = propagation_max_s
        self._ask_s_max = ask_s_max
        self._update_s_max = update_s_max
        self._vantage = f"authority {source.server}"

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def traits(self) -> Traits:
        return Traits(cas=True, moves_live_clients=False)

    async def current(self) -> Position:
        """The authority's answer. `SwitchError` for a wrong key."""
        reading, _ = await self._look()
        return Position((reading,))

    async def plan(self, to: str) -> DriverPlan:
        wanted = canonical(value_for(self.name, to, self._record.values), self._record.type)
        reading, ttl = await self._look()
        if " " in reading.raw and reading.raw.startswith("CNAME "):
            raise SwitchError(
                f"{self._record.name} is an alias ({reading.raw}), and the configuration wants "
                f"type {self._record.type}.",
                hint=f'Write type = "CNAME" for the driver {self.name}, or remove the alias.',
            )
        return plan_for(
            self.name,
            reading,
            to,
            f"{wanted} (TTL {self._record.ttl})",
            propagation_s=ttl,
            findings=ttl_findings(ttl, self._record.ttl, self._propagation_max_s),
        )

    async def apply(self, plan: DriverPlan) -> None:
        expected = expected_at(plan, self._vantage)
        wanted = canonical(value_for(self.name, plan.to, self._record.values), self._record.type)
        if plan.changes_nothing:
            stands_already(plan, (await self._look())[0])
            return
        answer = await self._send(self._update(expected, wanted))
        if answer in _NOT_AS_EXPECTED:
            await self._explain(plan, answer)
        elif answer in _REFUSALS:
            raise SwitchError(
                f"{self.name}: {self._vantage} refused the change of {self._record.name} "
                f"({dns.rcode.to_text(answer)}): {_REFUSALS[answer]}.",
                hint="Look at the server's log: it names the rule. Nothing was changed.",
            )
        elif answer != dns.rcode.NOERROR:
            raise self._unknown(f"it answered {dns.rcode.to_text(answer)}")
        else:
            await self._read_back(plan.to)

    async def verify(self, to: str) -> Position:
        """The authority, and every resolver."""
        resolvers = resolver_readings(self._record, self._ask_s_max)
        (reading, _), others = await asyncio.gather(self._look(), resolvers)
        return Position((reading, *others))

    async def aclose(self) -> None:
        """Every connection has been closed by the call that opened it."""

    async def _look(self) -> tuple[Reading, float]:
        """What the authority answers, and how long resolvers keep that."""
        try:
            server = self._source.server
            answer = await ask_authority(self._record, server, self._key, self._ask_s_max)
        except KeyRefused as error:
            raise KeyRefused(
                f"{self.name}: {self._vantage}, key {self._source.tsig_name}: {error.message}.",
                hint=error.hint,
            ) from None
        except SwitchError as error:
            return Reading(self._vantage, "", "", error.message), 0.0
        return self._reading(answer), answer.ttl

    def _reading(self, answer: Answer) -> Reading:
        return shown(self._vantage, answer.raw, self._record)

    def _update(self, expected: str, wanted: str) -> dns.update.UpdateMessage:
        """One message: the prerequisite, and the record in place of what was there."""
        record = self._record
        name = dns.name.from_text(f"{record.name}.")
        update = dns.update.UpdateMessage(f"{self._source.zone}.")
        if expected:
            values = [presentation(record.type, value) for value in expected.split(" ")]
            update.present(name, record.type, *values)
        elif record.type == "CNAME":
            update.absent(name)  # an alias beside other records would be passed over in silence
        else:
            update.absent(name, record.type)
            update.absent(name, "CNAME")
        update.replace(name, record.ttl, record.type, presentation(record.type, wanted))
        update.use_tsig(self._key)
        return update

    async def _send(self, update: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        """The authority's verdict. Before the connection stands nothing has been changed."""
        async with AsyncExitStack() as stack:
            with self._untouched(), no_answer(self._ask_s_max):
                async with asyncio.timeout(self._ask_s_max):
                    line = await stack.enter_async_context(connected(self._source.server))
            with self._unclear():
                async with asyncio.timeout(self._update_s_max):
                    answer = await exchange(line, update)
        return answer.rcode()

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        try:
            yield
        except SwitchError as error:
            raise SwitchError(
                f"{self.name}: {self._vantage}: {error.message}. Nothing was changed.",
                hint=f"Bring {self._vantage} back, then run the same command again.",
            ) from None

    @contextmanager
    def _unclear(self) -> Iterator[None]:
        """The update is on its way: only a refusal of the key says that it changed nothing."""
        try:
            yield
        except dns.tsig.PeerError as error:
            raise KeyRefused(
                f"{self.name}: {self._vantage} does not take the key {self._source.tsig_name} "
                f"({type(error).__name__}). Nothing was changed."
            ) from None
        except (OSError, EOFError, dns.exception.DNSException) as error:
            raise self._unknown(f"no answer that can be used ({type(error).__name__})") from None

    def _unknown(self, why: str) -> SwitchUnknown:
        return SwitchUnknown(
            f"{self.name}: the change of {self._record.name} was sent to {self._vantage}: {why}. "
            "It may stand."
        )

    async def _explain(self, plan: DriverPlan, answer: dns.rcode.Rcode) -> None:
        """The authority saw something else than expected. Nothing was changed."""
        reading, _ = await self._look()
        if not stands_already(plan, reading):
            raise SwitchError(
                f"{self.name}: {self._vantage} answers {reading.raw or 'that there is no record'} "
                f"for {self._record.name}, but has no such record of its own "
                f"({dns.rcode.to_text(answer)}). Nothing was changed.",
                hint="Is it made by a wildcard, or is there a record of another type at that "
                "name? Write or remove it by hand once.",
            )

    async def _read_back(self, to: str) -> None:
        """RFC 2136, 3.4.2: an update that does not fit is passed over, and answered NOERROR."""
        reading, _ = await self._look()
        if reading.site != to:
            raise self._unknown(f"it agreed, and now shows {reading.error or reading.raw!r}")
