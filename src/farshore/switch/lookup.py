"""One DNS record, asked for at one server: an authority or a resolver. Needs dnspython.

Rcodes, TTLs and the negative answer's TTL: RFC 1035, RFC 2308; signed requests: RFC 8945.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig

from farshore.config.switches import Record, Values
from farshore.switch.driver import Reading, SwitchError

ASK_SECONDS_MAX = 2.0
"""How long one question may take."""

ASKS_MAX = 2
"""Questions to a resolver: a lost datagram is no answer."""


class Answer(NamedTuple):
    """`raw`: the record's values, "" when there is none. `ttl`: how long resolvers keep this
    answer, the one that there is nothing included; seconds."""

    raw: str
    ttl: float


class KeyRefused(SwitchError):
    """The server does not take our key, or we do not take the server's signature."""

    usual_hint = (
        "Compare tsig_name, tsig_algorithm and the variable that tsig_secret names with the key "
        "in the server's own configuration."
    )


def canonical(value: str, kind: str) -> str:
    """A value in the one form in which it is compared: lower case, no last dot, short IPv6."""
    if kind == "CNAME":
        return value.rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value


def canonical_values(record: Record) -> Values:
    return {site: canonical(value, record.type) for site, value in record.values.items()}


def presentation(kind: str, value: str) -> str:
    """A canonical value as zone files have it: names end with a dot."""
    return f"{value}." if kind == "CNAME" else value


async def ask_authority(
    record: Record, server: str, key: dns.tsig.Key, seconds_max: float = ASK_SECONDS_MAX
) -> Answer:
    """Ask by TCP, signed. `KeyRefused` for the key; any other `SwitchError` is no answer."""
    question = _question(record)
    question.flags &= ~dns.flags.RD
    question.use_tsig(key)
    with no_answer(seconds_max):
        async with asyncio.timeout(seconds_max), connected(server) as line:
            answer = await exchange(line, question)
    found = _answer(record, answer)
    if not answer.flags & dns.flags.AA:
        raise SwitchError("it is no authority for this record")
    return found


async def ask_resolver(record: Record, server: str, seconds_max: float = ASK_SECONDS_MAX) -> Answer:
    """Ask by UDP, by TCP where the answer is long. `SwitchError` when there is no answer."""
    for attempt in range(ASKS_MAX):
        try:
            return _answer(record, await _ask_resolver(_question(record), server, seconds_max))
        except _Silence:
            if attempt == ASKS_MAX - 1:
                raise
    raise AssertionError("there is at least one attempt")


async def _ask_resolver(
    question: dns.message.Message, server: str, seconds_max: float
) -> dns.message.Message:
    with no_answer(seconds_max):
        async with asyncio.timeout(seconds_max):
            host, port = _host_and_port(server)
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            answer, _ = await dns.asyncquery.udp_with_fallback(
                question, str(found[0][4][0]), timeout=seconds_max, port=port
            )
    return answer


async def resolver_readings(
    record: Record, seconds_max: float = ASK_SECONDS_MAX
) -> tuple[Reading, ...]:
    """What every configured resolver answers now; all are asked at once."""
    asked = (_resolver(record, server, seconds_max) for server in record.resolvers)
    return tuple(await asyncio.gather(*asked))


async def _resolver(record: Record, server: str, seconds_max: float) -> Reading:
    vantage = f"resolver {server}"
    try:
        answer = await ask_resolver(record, server, seconds_max)
    except SwitchError as error:
        return Reading(vantage, "", "", error.message)
    return shown(vantage, answer.raw, record)


def shown(vantage: str, raw: str, record: Record) -> Reading:
    """A reading of a place that answered."""
    sites = {value: site for site, value in canonical_values(record).items()}
    return Reading(vantage, sites.get(raw, ""), raw)


class _Silence(SwitchError):
    """No answer came in time."""


@contextmanager
def no_answer(seconds_max: float) -> Iterator[None]:
    """Every way in which a question fails, as `SwitchError` or `KeyRefused`."""
    try:
        yield
    except (TimeoutError, dns.exception.Timeout):
        raise _Silence(f"it did not answer within {seconds_max:g} s") from None
    except socket.gaierror:
        raise SwitchError("its name is not known here") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise SwitchError(f"it does not answer: {reason}") from None
    except dns.tsig.PeerBadTime:
        raise KeyRefused(
            "it does not take our signature: the two clocks differ",
            hint="Set the clock of this machine and of the server: 5 minutes are too many.",
        ) from None
    except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey) as error:
        raise KeyRefused(f"it does not take our key ({type(error).__name__})") from None
    except dns.exception.DNSException as error:
        raise SwitchError(f"its answer cannot be used ({type(error).__name__})") from None


class Line(NamedTuple):
    """One TCP connection to a DNS server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@asynccontextmanager
async def connected(server: str) -> AsyncIterator[Line]:
    """A connection to host:port, closed at the end."""
    host, port = _host_and_port(server)
    line = Line(*await asyncio.open_connection(host, port))
    try:
        yield line
    finally:
        line.writer.transport.abort()


async def exchange(line: Line, message: dns.message.Message) -> dns.message.Message:
    """Send one signed message and read its signed answer (framing: RFC 1035, 4.2.2)."""
    wire = message.to_wire()
    line.writer.write(len(wire).to_bytes(2, "big") + wire)
    await line.writer.drain()
    size = int.from_bytes(await line.reader.readexactly(2), "big")
    answer = dns.message.from_wire(
        await line.reader.readexactly(size), keyring=message.keyring, request_mac=message.mac
    )
    if not message.is_response(answer) or not answer.had_tsig:
        raise dns.exception.FormError
    return answer


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def _question(record: Record) -> dns.message.Message:
    return dns.message.make_query(f"{record.name}.", record.type)


def _answer(record: Record, answer: dns.message.Message) -> Answer:
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise SwitchError(f"it answers {dns.rcode.to_text(answer.rcode())}")
    name = dns.name.from_text(f"{record.name}.")
    for rrset in answer.answer:
        if rrset.name == name and rrset.rdtype in _WORTH[record.type]:
            return Answer(_raw(rrset, record.type), float(rrset.ttl))
    return Answer("", _negative_ttl(answer.authority))


_WORTH = {
    "CNAME": (dns.rdatatype.CNAME,),
    "A": (dns.rdatatype.A, dns.rdatatype.CNAME),
    "AAAA": (dns.rdatatype.AAAA, dns.rdatatype.CNAME),
}
"""Type that is asked for to the types that stand for it at the same name: an alias takes the
place of addresses."""


def _raw(rrset: dns.rrset.RRset, kind: str) -> str:
    """The values in order, separated by spaces; another type than the asked one is named."""
    found = dns.rdatatype.to_text(rrset.rdtype)
    values = sorted(canonical(rdata.to_text(), found) for rdata in rrset)
    return " ".join(values if found == kind else [found, *values])


def _negative_ttl(authority: Sequence[dns.rrset.RRset]) -> float:
    """RFC 2308: the smaller one of the SOA's own TTL and its last field."""
    for rrset in authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return float(min(rrset.ttl, rrset[0].minimum))
    return 0.0
